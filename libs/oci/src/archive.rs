//! A strict reader of tar archives: one parser, one pass, every doubtful byte an error. Archives of two meanings are how
//! extractors were fooled (RUSTSEC-2025-0110, 2026-0066, -0068, -0112): here a size has one source, a name has one
//! source, and what another tool might read differently is refused. Formats: POSIX.1-2001 pax, ustar, GNU, v7.

mod header;
mod pax;
mod sparse;

use std::io::{self, Read};

pub use header::Kind;
use header::{BLOCK, Header};
use pax::Records;

/// Longest extended header (`x`, `g`, `L`, `K`): a megabyte holds any set of attributes Linux would store.
const MAX_EXTENSION: u64 = 1 << 20;

/// A point in time: seconds since 1970 and nanoseconds into the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name as written, never with a NUL.
    pub path: Vec<u8>,
    /// What a link points to; empty for others.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, setuid, setgid and sticky among them.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// When it was last written.
    pub mtime: Time,
    /// Bytes of the file once written, holes included.
    pub size: u64,
    /// Extended attributes, in the order written.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// For a sparse file, where the stored bytes belong: (offset, length), ascending.
    pub segments: Option<Vec<(u64, u64)>>,
}

/// Why a stream is not an archive that can be trusted to mean one thing.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream itself failed; a decoder's complaint comes as this, too.
    #[error("read the archive at byte {offset}")]
    Read {
        /// How far into the unpacked stream.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends within a header or a file.
    #[error("the archive ends early, at byte {offset}")]
    Truncated {
        /// How far into the unpacked stream.
        offset: u64,
    },
    /// A header breaks the format.
    #[error("the archive is malformed near byte {offset}: {problem}")]
    Malformed {
        /// How far into the unpacked stream.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Reads entries one after the other; the data of an entry comes before the next.
pub struct Archive<R> {
    input: R,
    offset: u64,
    /// Bytes of the present entry's data not yet read, then its padding.
    left: u64,
    padding: u64,
    ended: bool,
}

/// What headers of extension said about the entry that follows.
#[derive(Default)]
struct Extensions {
    pax: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Archive<R> {
    /// An archive read from its first byte.
    pub fn new(input: R) -> Self {
        Self { input, offset: 0, left: 0, padding: 0, ended: false }
    }

    /// Gives back what it reads from.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry; what was not read of the present one is skipped. `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.next_header()? else {
                return match extensions.is_empty() {
                    true => Ok(None),
                    false => Err(self.malformed("an extended header belongs to no entry")),
                };
            };
            match header.kind {
                Kind::Pax => self.take_pax(&header, &mut extensions)?,
                Kind::PaxGlobal => self.check_global(&header)?,
                Kind::LongName => extensions.long_name = Some(self.take_long(&header, &extensions.long_name)?),
                Kind::LongLink => extensions.long_link = Some(self.take_long(&header, &extensions.long_link)?),
                _ => return self.finish_entry(header, extensions).map(Some),
            }
        }
    }

    /// Reads stored data of the present entry; 0 at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let read = self.read_some(&mut buffer[..want])?;
        if read == 0 {
            return Err(ArchiveError::Truncated { offset: self.offset });
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Reads on to the end of the stream; behind the end mark there may be zeros only.
    pub fn drain(&mut self) -> Result<(), ArchiveError> {
        self.skip()?;
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.read_some(&mut buffer)? {
                0 => return Ok(()),
                read if buffer[..read].iter().all(|byte| *byte == 0) => {}
                _ => return Err(self.malformed("there are bytes behind the end of the archive")),
            }
        }
    }

    fn next_header(&mut self) -> Result<Option<Header>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        self.skip()?;
        let mut block = [0; BLOCK];
        let read = self.fill(&mut block)?;
        if read == 0 || block.iter().all(|byte| *byte == 0) && read == BLOCK {
            self.ended = true;
            return Ok(None);
        }
        if read < BLOCK {
            return Err(ArchiveError::Truncated { offset: self.offset });
        }
        let header = Header::parse(&block).map_err(|problem| self.malformed(problem))?;
        if header.kind.is_header_only() && header.size != 0 {
            return Err(self.malformed("a directory, link or special file claims to have data"));
        }
        self.expect_data(header.size);
        Ok(Some(header))
    }

    fn expect_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn take_pax(&mut self, header: &Header, extensions: &mut Extensions) -> Result<(), ArchiveError> {
        if extensions.pax.is_some() {
            return Err(self.malformed("two extended headers belong to one entry"));
        }
        let bytes = self.extension(header.size)?;
        extensions.pax = Some(Records::parse(&bytes).map_err(|problem| self.malformed(problem))?);
        Ok(())
    }

    /// A global header may carry a comment (`git archive` writes one), nothing that changes entries: Go ignores it
    /// there, GNU tar does not.
    fn check_global(&mut self, header: &Header) -> Result<(), ArchiveError> {
        let bytes = self.extension(header.size)?;
        let records = Records::parse(&bytes).map_err(|problem| self.malformed(problem))?;
        if records.changes_entries() {
            return Err(self.malformed("a global header changes names, sizes, owners or attributes"));
        }
        Ok(())
    }

    fn take_long(&mut self, header: &Header, before: &Option<Vec<u8>>) -> Result<Vec<u8>, ArchiveError> {
        if before.is_some() {
            return Err(self.malformed("two long names belong to one entry"));
        }
        let mut bytes = self.extension(header.size)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(self.malformed("a long name is empty or has a NUL within"));
        }
        Ok(bytes)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > MAX_EXTENSION {
            return Err(self.malformed("an extended header is longer than a megabyte"));
        }
        let mut bytes = vec![0; size as usize];
        let mut at = 0;
        while at < bytes.len() {
            at += self.read_data(&mut bytes[at..])?;
        }
        Ok(bytes)
    }

    fn finish_entry(&mut self, header: Header, extensions: Extensions) -> Result<Entry, ArchiveError> {
        let is_both = extensions.pax.is_some() && (extensions.long_name.is_some() || extensions.long_link.is_some());
        if is_both {
            return Err(self.malformed("GNU and pax extensions belong to one entry"));
        }
        let pax = extensions.pax.unwrap_or_default();
        let stored = pax.size.unwrap_or(header.size);
        if header.kind.is_header_only() && stored != 0 {
            return Err(self.malformed("a directory, link or special file claims to have data"));
        }
        self.expect_data(stored);
        let mut entry = Entry {
            path: extensions.long_name.or(pax.path).unwrap_or(header.path),
            link: extensions.long_link.or(pax.link).unwrap_or(header.link),
            kind: header.kind,
            mode: header.mode,
            uid: pax.uid.unwrap_or(header.uid),
            gid: pax.gid.unwrap_or(header.gid),
            mtime: pax.mtime.unwrap_or(header.mtime),
            size: stored,
            xattrs: pax.xattrs,
            segments: None,
        };
        match (header.kind, pax.sparse) {
            (Kind::GnuSparse, None) => sparse::from_gnu(self, &header.block, &mut entry)?,
            (Kind::GnuSparse, Some(_)) => return Err(self.malformed("a file is sparse in two ways")),
            (Kind::File, Some(records)) => sparse::from_pax(self, records, &mut entry)?,
            (_, Some(_)) => return Err(self.malformed("something that is no file claims to be sparse")),
            (_, None) => {}
        }
        Ok(entry)
    }

    fn skip(&mut self) -> Result<(), ArchiveError> {
        let mut buffer = [0; 16 * 1024];
        while self.read_data(&mut buffer)? > 0 {}
        let padding = std::mem::take(&mut self.padding) as usize;
        match self.fill(&mut buffer[..padding])? {
            read if read == padding => Ok(()),
            _ => Err(ArchiveError::Truncated { offset: self.offset }),
        }
    }

    /// Reads until the buffer is full or the stream ends.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let mut at = 0;
        while at < buffer.len() {
            match self.read_some(&mut buffer[at..])? {
                0 => break,
                read => at += read,
            }
        }
        Ok(at)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            match self.input.read(buffer) {
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Read { offset: self.offset, source }),
            }
        }
    }

    fn malformed(&self, problem: &'static str) -> ArchiveError {
        ArchiveError::Malformed { offset: self.offset, problem }
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}
