//! A frame: consecutive chunks compressed together. `docs/formats/frame-and-pack.md`.

use crate::digest::Digest;
use crate::error::FormatError;

/// A frame with at least this many plain bytes is closed.
pub const TARGET: usize = 256 << 10;
/// A chunk that would make a frame of chunks longer than this starts the next one.
pub const MAX_CHUNKS: usize = (2 << 20) + TARGET;
/// No frame is longer: a tree object is one blob, and may be large.
pub const MAX: usize = 1 << 30;
/// Beyond level 3, source code gets 4 % smaller for twice the time.
const LEVEL: i32 = 3;

/// How a frame is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// As it is.
    Plain = 0,
    /// One zstd frame.
    Zstd = 1,
}

impl Encoding {
    /// Reads the byte of the index.
    pub fn parse(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Zstd].into_iter().find(|encoding| *encoding as u8 == byte)
    }
}

/// A blob in a frame: the digest of its plain bytes, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Digest of the plain bytes.
    pub digest: Digest,
    /// Where they begin in the plain frame.
    pub offset: u32,
    /// How many they are.
    pub length: u32,
}

/// A frame ready to be stored.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The stored bytes.
    pub stored: Vec<u8>,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
    /// How they are encoded.
    pub encoding: Encoding,
    /// How many plain bytes they hold.
    pub plain: u32,
    /// The blobs in it.
    pub parts: Vec<Part>,
}

/// Gathers blobs and compresses them; one for each thread, since it holds a compressor.
pub struct Builder {
    plain: Vec<u8>,
    parts: Vec<Part>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl Builder {
    /// An empty one.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { plain: Vec::new(), parts: Vec::new(), compressor: zstd::bulk::Compressor::new(LEVEL)? })
    }

    /// Adds a blob (not empty, below [`MAX`]); gives back a frame when one became full.
    pub fn push(&mut self, digest: Digest, bytes: &[u8]) -> Option<Frame> {
        let before = if self.plain.len() + bytes.len() > MAX_CHUNKS { self.finish() } else { None };
        self.parts.push(Part { digest, offset: self.plain.len() as u32, length: bytes.len() as u32 });
        self.plain.extend_from_slice(bytes);
        // Two frames at once cannot be: one that was too full left an empty builder, and what is full now waits for
        // the next push or finish.
        before.or_else(|| if self.plain.len() >= TARGET { self.finish() } else { None })
    }

    /// The frame of what was gathered, if anything was.
    pub fn finish(&mut self) -> Option<Frame> {
        if self.parts.is_empty() {
            return None;
        }
        let plain = self.plain.len() as u32;
        let (stored, encoding) = match self.compressor.compress(&self.plain) {
            Ok(packed) if packed.len() < self.plain.len() => (packed, Encoding::Zstd),
            _ => (self.plain.clone(), Encoding::Plain),
        };
        self.plain.clear();
        self.plain.shrink_to(MAX_CHUNKS);
        Some(Frame { digest: Digest::of(&stored), stored, encoding, plain, parts: std::mem::take(&mut self.parts) })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("plain", &self.plain.len()).field("parts", &self.parts.len()).finish()
    }
}

/// Gives the plain bytes of a stored frame, which must be exactly `plain` many.
pub fn open(stored: Vec<u8>, encoding: Encoding, plain: u32) -> Result<Vec<u8>, FormatError> {
    let refuse = |why| FormatError::Malformed { object: "frame", why };
    let bytes = match encoding {
        Encoding::Plain => stored,
        Encoding::Zstd => {
            zstd::bulk::decompress(&stored, plain as usize).map_err(|_| refuse("it does not decompress to its length"))?
        }
    };
    if bytes.len() == plain as usize { Ok(bytes) } else { Err(refuse("it does not have its plain length")) }
}
