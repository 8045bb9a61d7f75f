//! The index and the trailer of a pack: what is in it, covered by the pack's name. `docs/formats/frame-and-pack.md`.

use crate::digest::Digest;
use crate::error::FormatError;
use crate::frame::{self, Encoding};

/// Length of the trailer in bytes.
pub const TRAILER: usize = 64;
const RECORD: usize = 44;
const MAGIC: &[u8; 8] = b"CRNGPACK";
const VERSION: u8 = 1;

/// What the blobs of a pack are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Pieces of files.
    Chunks = 1,
    /// Tree objects.
    Trees = 2,
}

/// One frame of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRecord {
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
    /// Where they begin in the pack; follows from those before.
    pub offset: u64,
    /// How many they are.
    pub stored: u32,
    /// How many they are when opened.
    pub plain: u32,
    /// How they are encoded.
    pub encoding: Encoding,
}

/// One blob of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRecord {
    /// BLAKE3 of the plain bytes.
    pub digest: Digest,
    /// In which frame.
    pub frame: u32,
    /// Where in the plain frame.
    pub offset: u32,
    /// How many bytes, at least one.
    pub length: u32,
}

/// All that is known of a pack without opening a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// What the blobs are.
    pub kind: Kind,
    /// In the order of the file.
    pub frames: Vec<FrameRecord>,
    /// Ascending by digest.
    pub blobs: Vec<BlobRecord>,
}

/// Where a trailer says that the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    kind: Kind,
    frames: u32,
    blobs: u32,
    /// Offset of the index in the pack.
    pub index_offset: u64,
    /// Its length.
    pub index_length: u32,
    index_digest: Digest,
}

fn refuse(why: &'static str) -> FormatError {
    FormatError::Malformed { object: "pack", why }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(&bytes[at..at + 32]);
    Digest(digest)
}

impl Trailer {
    /// Reads the last 64 bytes of a pack of `size` bytes.
    pub fn decode(bytes: &[u8], size: u64) -> Result<Self, FormatError> {
        if bytes.len() != TRAILER || &bytes[..8] != MAGIC {
            return Err(refuse("it does not end with a trailer"));
        }
        if bytes[8] != VERSION {
            return Err(FormatError::Version { object: "pack", found: bytes[8].into() });
        }
        let kind = match bytes[9] {
            1 => Kind::Chunks,
            2 => Kind::Trees,
            _ => return Err(refuse("its kind is unknown")),
        };
        let index_offset = u64::from(u32_at(bytes, 24)) | u64::from(u32_at(bytes, 28)) << 32;
        let (frames, blobs, index_length) = (u32_at(bytes, 12), u32_at(bytes, 16), u32_at(bytes, 20));
        let trailer = Self { kind, frames, blobs, index_offset, index_length, index_digest: digest_at(bytes, 32) };
        trailer.check(bytes, size)
    }

    fn check(self, bytes: &[u8], size: u64) -> Result<Self, FormatError> {
        let expected = (u64::from(self.frames) + u64::from(self.blobs)) * RECORD as u64;
        if bytes[10..12] != [0, 0] {
            return Err(refuse("reserved bytes are not zero"));
        }
        if self.frames == 0 || self.blobs == 0 || u64::from(self.index_length) != expected {
            return Err(refuse("its counts do not agree"));
        }
        let end = self.index_offset.checked_add(expected).and_then(|end| end.checked_add(TRAILER as u64));
        if end == Some(size) { Ok(self) } else { Err(refuse("its lengths do not agree")) }
    }
}

impl Index {
    /// The bytes of index and trailer.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.frames.len() + self.blobs.len()) * RECORD + TRAILER);
        for frame in &self.frames {
            out.extend_from_slice(&frame.digest.0);
            out.extend_from_slice(&frame.stored.to_le_bytes());
            out.extend_from_slice(&frame.plain.to_le_bytes());
            out.extend_from_slice(&[frame.encoding as u8, 0, 0, 0]);
        }
        for blob in &self.blobs {
            out.extend_from_slice(&blob.digest.0);
            for number in [blob.frame, blob.offset, blob.length] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let (length, digest) = (out.len() as u32, Digest::of(&out));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, self.kind as u8, 0, 0]);
        for number in [self.frames.len() as u32, self.blobs.len() as u32, length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.data_length().to_le_bytes());
        out.extend_from_slice(&digest.0);
        out
    }

    /// Bytes of all frames: where the index begins.
    pub fn data_length(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.offset + u64::from(frame.stored))
    }

    /// Reads index and trailer of the pack `name` of `size` bytes.
    pub fn decode(name: Digest, bytes: &[u8], size: u64) -> Result<Self, FormatError> {
        let split = bytes.len().checked_sub(TRAILER).ok_or_else(|| refuse("it is shorter than a trailer"))?;
        let (index, trailer_bytes) = bytes.split_at(split);
        let trailer = Trailer::decode(trailer_bytes, size)?;
        if Digest::of(bytes) != name || Digest::of(index) != trailer.index_digest {
            return Err(FormatError::Altered { object: "pack", expected: name });
        }
        if index.len() != trailer.index_length as usize {
            return Err(refuse("its index has another length"));
        }
        let (frames, blobs) = index.split_at(trailer.frames as usize * RECORD);
        let index = Self { kind: trailer.kind, frames: decode_frames(frames)?, blobs: decode_blobs(blobs) };
        index.check(trailer.index_offset)?;
        Ok(index)
    }

    fn check(&self, index_offset: u64) -> Result<(), FormatError> {
        if self.data_length() != index_offset {
            return Err(refuse("its frames do not end where the index begins"));
        }
        if self.blobs.windows(2).any(|pair| pair[0].digest >= pair[1].digest) {
            return Err(refuse("its blobs are not in order"));
        }
        let inside = |blob: &BlobRecord| {
            let plain = self.frames.get(blob.frame as usize).map(|frame| u64::from(frame.plain));
            blob.length > 0 && plain.is_some_and(|plain| u64::from(blob.offset) + u64::from(blob.length) <= plain)
        };
        if self.blobs.iter().all(inside) { Ok(()) } else { Err(refuse("a blob is outside its frame")) }
    }
}

fn decode_frames(bytes: &[u8]) -> Result<Vec<FrameRecord>, FormatError> {
    let mut offset = 0u64;
    let mut frames = Vec::with_capacity(bytes.len() / RECORD);
    for record in bytes.chunks_exact(RECORD) {
        let encoding = Encoding::parse(record[40]).ok_or_else(|| refuse("an unknown encoding"))?;
        let (stored, plain) = (u32_at(record, 32), u32_at(record, 36));
        if record[41..] != [0, 0, 0] || stored == 0 || plain == 0 || plain as usize > frame::MAX || stored > plain {
            return Err(refuse("a frame's record breaks a rule"));
        }
        frames.push(FrameRecord { digest: digest_at(record, 0), offset, stored, plain, encoding });
        offset += u64::from(stored);
    }
    Ok(frames)
}

fn decode_blobs(bytes: &[u8]) -> Vec<BlobRecord> {
    let blob = |record: &[u8]| BlobRecord {
        digest: digest_at(record, 0),
        frame: u32_at(record, 32),
        offset: u32_at(record, 36),
        length: u32_at(record, 40),
    };
    bytes.chunks_exact(RECORD).map(blob).collect()
}
