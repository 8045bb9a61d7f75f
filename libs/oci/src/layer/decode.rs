//! From packed bytes to tar bytes: which format it is (by its first bytes, as Docker does, not by what a manifest
//! claims), unpacking, hashing, and the guard against bombs.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::limits::{Limits, within};
use super::{Digest, LayerError};
use crate::digest::{Algorithm, Hasher};

/// Largest zstd window: 64 MiB, as level 22 with long-distance matching asks for at most by default.
const ZSTD_WINDOW_LOG: u32 = 26;
/// Unpacked bytes that are allowed whatever the packed size.
const RATIO_FREE: u64 = 64 << 20;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const UNUSED: [(&[u8], &str); 3] = [(b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x04\x22\x4d\x18", "lz4")];

/// An unpacked layer that hashes itself while it is read.
pub struct Decoded<'a> {
    reader: Box<dyn Read + 'a>,
    hasher: Hasher,
    out: u64,
    packed: Arc<AtomicU64>,
    limits: Limits,
    stop: &'a AtomicBool,
}

/// Counts what the decoder took in.
struct Counting<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<'a> Decoded<'a> {
    /// Looks at the first bytes and puts the right decoder in front.
    pub fn new(input: impl Read + 'a, algorithm: Algorithm, limits: Limits, stop: &'a AtomicBool) -> Result<Self, LayerError> {
        let packed = Arc::new(AtomicU64::new(0));
        let mut input = BufReader::with_capacity(256 * 1024, Counting { inner: input, taken: packed.clone() });
        let mut magic = Vec::new();
        let opened = (&mut input).take(6).read_to_end(&mut magic);
        opened.map_err(LayerError::io("read", b"the layer"))?;
        if let Some((_, format)) = UNUSED.iter().find(|(prefix, _)| magic.starts_with(prefix)) {
            return Err(LayerError::Packing { format });
        }
        let is_gzip = magic.starts_with(GZIP);
        let is_zstd = magic.starts_with(ZSTD);
        let whole = Cursor::new(magic).chain(input);
        let reader: Box<dyn Read + 'a> = match (is_gzip, is_zstd) {
            (true, _) => Box::new(MultiGzDecoder::new(whole)),
            (_, true) => Box::new(zstd(whole).map_err(LayerError::io("unpack", b"the layer"))?),
            _ => Box::new(whole),
        };
        Ok(Self { reader, hasher: Hasher::new(algorithm), out: 0, packed, limits, stop })
    }

    /// The digest and number of all bytes that were read.
    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.out)
    }

    /// Every byte of a layer passes here, so this is where it is stopped, too.
    fn guard(&self) -> Result<(), LayerError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(LayerError::Stopped);
        }
        within(self.out, self.limits.image_bytes, "bytes unpacked")?;
        let packed = self.packed.load(Ordering::Relaxed);
        let allowed = packed.saturating_mul(self.limits.ratio).saturating_add(RATIO_FREE);
        within(self.out.saturating_sub(allowed), 0, "unpacked bytes for what it is packed (a decompression bomb)")
    }
}

fn zstd<'a>(input: impl Read + 'a) -> io::Result<impl Read + 'a> {
    let mut decoder = zstd::stream::read::Decoder::new(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.out += read as u64;
        self.guard().map_err(io::Error::other)?;
        Ok(read)
    }
}
