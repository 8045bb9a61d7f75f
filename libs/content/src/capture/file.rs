//! Reads one regular file, which may change meanwhile: each reading lies between two equal looks at its attributes, or
//! is done again, or the file is noted as fuzzy.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{SeekFrom, Stat, fstat, seek};
use rustix::io::Errno;

use super::xattrs;
use crate::chunker::{self, Chunker};
use crate::digest::Digest;
use crate::error::ContentError;
use crate::frame;
use crate::repository::Writer;
use crate::tree::{Chunk, File};

/// How often a file that changes is read.
const TRIES: usize = 3;
/// How much is read at once.
const PIECE: usize = 1 << 20;

/// Either the file system or the store failed.
pub(super) enum Failed {
    /// The file could not be read.
    Read(Errno),
    /// Its chunks could not be stored.
    Store(ContentError),
}

impl From<Errno> for Failed {
    fn from(error: Errno) -> Self {
        Self::Read(error)
    }
}

/// A file as it was read.
pub(super) struct Taken {
    /// Attributes before the reading.
    pub stat: Stat,
    /// Its bytes.
    pub file: File,
    /// Its extended attributes.
    pub xattrs: xattrs::Found,
    /// Whether it was the same before and after.
    pub stable: bool,
}

/// What one thread needs to read files and give their chunks away.
pub(super) struct FileReader<'w> {
    writer: &'w Writer<'w>,
    frames: frame::Builder,
    chunker: Chunker,
    buffer: Vec<u8>,
}

impl<'w> FileReader<'w> {
    pub fn new(writer: &'w Writer<'w>) -> std::io::Result<Self> {
        Ok(Self { writer, frames: frame::Builder::new()?, chunker: Chunker::default(), buffer: vec![0; PIECE] })
    }

    /// Reads an open regular file.
    pub fn take(&mut self, fd: BorrowedFd<'_>) -> Result<Taken, Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let stat = fstat(fd)?;
            let xattrs = xattrs::read(fd, &mut self.buffer)?;
            self.buffer.resize(PIECE, 0);
            let file = self.read(fd, &stat)?;
            let stable = file.size == stat.st_size as u64 && same(&stat, &fstat(fd)?);
            if stable || tries == TRIES {
                return Ok(Taken { stat, file, xattrs, stable });
            }
        }
    }

    /// Gives the last, unfinished frame away.
    pub fn finish(&mut self) -> Result<(), ContentError> {
        self.frames.finish().map_or(Ok(()), |frame| self.writer.push(&frame))
    }

    /// Extended attributes of an open directory.
    pub fn xattrs(&mut self, fd: BorrowedFd<'_>) -> Result<xattrs::Found, Errno> {
        let found = xattrs::read(fd, &mut self.buffer);
        self.buffer.resize(PIECE, 0);
        found
    }

    fn read(&mut self, fd: BorrowedFd<'_>, stat: &Stat) -> Result<File, Failed> {
        let size = stat.st_size as u64;
        let sparse = (stat.st_blocks as u64) < size.div_ceil(512);
        let holes = if sparse { find_holes(fd, size)? } else { Vec::new() };
        let mut file = File { size, holes, ..File::default() };
        if file.data_length() <= chunker::MIN as u64 {
            self.read_small(fd, &mut file)?
        } else {
            self.read_big(fd, &mut file)?
        }
        Ok(file)
    }

    fn read_small(&mut self, fd: BorrowedFd<'_>, file: &mut File) -> Result<(), Failed> {
        let mut filled = 0;
        for (start, length) in file.data_ranges() {
            let target = &mut self.buffer[filled..filled + length as usize];
            let got = read_at(fd, target, start)?;
            filled += got;
            if (got as u64) < length {
                ends_at(file, start + got as u64);
                break;
            }
        }
        if filled > 0 {
            let bytes = &self.buffer[..filled];
            let digest = Digest::of(bytes);
            give(self.writer, &mut self.frames, digest, bytes).map_err(Failed::Store)?;
            (file.digest, file.chunks) = (Some(digest), vec![Chunk { digest, length: filled as u32 }]);
        }
        Ok(())
    }

    fn read_big(&mut self, fd: BorrowedFd<'_>, file: &mut File) -> Result<(), Failed> {
        let (writer, frames, chunker) = (self.writer, &mut self.frames, &mut self.chunker);
        let (mut whole, mut chunks) = (blake3::Hasher::new(), Vec::new());
        let mut found = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            chunks.push(Chunk { digest, length: bytes.len() as u32 });
            whole.update(bytes);
            give(writer, frames, digest, bytes).map_err(Failed::Store)
        };
        'ranges: for (start, length) in file.data_ranges() {
            let mut at = start;
            while at < start + length {
                let want = (start + length - at).min(PIECE as u64) as usize;
                let got = read_at(fd, &mut self.buffer[..want], at)?;
                chunker.push(&self.buffer[..got], &mut found)?;
                at += got as u64;
                if got < want {
                    ends_at(file, at);
                    break 'ranges;
                }
            }
        }
        chunker.finish(&mut found)?;
        if let [only] = chunks.as_slice() {
            file.digest = Some(only.digest);
        } else if !chunks.is_empty() {
            file.digest = Some(Digest(*whole.finalize().as_bytes()));
        }
        file.chunks = chunks;
        Ok(())
    }
}

fn give(writer: &Writer<'_>, frames: &mut frame::Builder, digest: Digest, bytes: &[u8]) -> Result<(), ContentError> {
    if !writer.claim(digest) {
        return Ok(());
    }
    frames.push(digest, bytes).map_or(Ok(()), |frame| writer.push(&frame))
}

/// The file was cut off while it was read: what was read is what there is.
fn ends_at(file: &mut File, end: u64) {
    file.holes.retain(|(start, length)| start + length <= end);
    file.size = end;
}

fn same(a: &Stat, b: &Stat) -> bool {
    let key = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    key(a) == key(b)
}

/// Reads until the buffer is full or the file ends.
fn read_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Asks the file system where nothing is.
fn find_holes(fd: BorrowedFd<'_>, size: u64) -> Result<Vec<(u64, u64)>, Errno> {
    let (mut at, mut holes) = (0, Vec::new());
    while at < size {
        let data = match seek(fd.as_fd(), SeekFrom::Data(at)) {
            Err(Errno::NXIO) => size,
            // A file system that cannot say has no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => break,
            data => data?.min(size),
        };
        if data > at {
            holes.push((at, data - at));
        }
        at = if data < size { seek(fd.as_fd(), SeekFrom::Hole(data))? } else { size };
    }
    Ok(holes)
}
