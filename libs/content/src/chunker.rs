//! Cuts the data of a file by its content, so that an insertion changes the chunks around it only.
//! Parameters belong to the format: `docs/formats/chunk.md`.

use fastcdc::v2020::FastCDC;

/// Data of at most this many bytes are one chunk.
pub const MIN: usize = 128 << 10;
/// What a chunk of random data has on average, about.
pub const AVERAGE: usize = 512 << 10;
/// No chunk is longer.
pub const MAX: usize = 2 << 20;

/// Where the first chunk of `data` ends. Only right when `data` has at least [`MAX`] bytes or is all that is left.
pub fn first_cut(data: &[u8]) -> usize {
    if data.len() <= MIN {
        return data.len();
    }
    FastCDC::new(data, MIN, AVERAGE, MAX).cut(0, data.len()).1
}

/// A buffer that is filled at its end and gives chunks off its front.
#[derive(Debug, Default)]
pub struct Chunker {
    buffer: Vec<u8>,
    start: usize,
}

impl Chunker {
    /// Adds data and calls `found` with each chunk that is now certain.
    pub fn push<E>(&mut self, data: &[u8], mut found: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.buffer.extend_from_slice(data);
        while self.buffer.len() - self.start >= MAX {
            self.cut(&mut found)?;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        Ok(())
    }

    /// Calls `found` with what is left; the chunker is then as new.
    pub fn finish<E>(&mut self, mut found: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.start < self.buffer.len() {
            self.cut(&mut found)?;
        }
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }

    fn cut<E>(&mut self, found: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let rest = &self.buffer[self.start..];
        let chunk = &rest[..first_cut(rest)];
        self.start += chunk.len();
        found(chunk)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Bytes without pattern, the same on every run: BLAKE3 as a stream.
    fn noise(length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        blake3::Hasher::new().update(b"chunker").finalize_xof().fill(&mut out);
        out
    }

    fn lengths(data: &[u8], step: usize) -> Vec<usize> {
        let (mut chunker, mut found) = (Chunker::default(), Vec::new());
        let mut note = |chunk: &[u8]| {
            found.push(chunk.len());
            Ok::<_, Infallible>(())
        };
        for part in data.chunks(step) {
            chunker.push(part, &mut note).unwrap();
        }
        chunker.finish(&mut note).unwrap();
        found
    }

    #[test]
    fn cuts_do_not_depend_on_how_the_data_arrive() {
        let data = noise(7 << 20);
        let whole = lengths(&data, data.len());
        assert_eq!(whole, lengths(&data, 65_537));
        assert_eq!(whole, lengths(&data, 1 << 20));
        assert!(whole.iter().all(|length| *length <= MAX));
    }

    #[test]
    fn the_cuts_are_those_of_the_format() {
        let text: Vec<String> = lengths(&noise(8 << 20), 1 << 20).iter().map(usize::to_string).collect();
        assert_eq!(text.join("\n"), include_str!("../tests/golden/chunks.txt").trim_end());
    }

    #[test]
    fn an_insertion_changes_only_the_chunks_near_it() {
        let data = noise(8 << 20);
        let mut edited = data.clone();
        edited.splice(1_000_000..1_000_000, *b"inserted");
        let (old, new) = (lengths(&data, 1 << 20), lengths(&edited, 1 << 20));
        let same_tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(same_tail + 4 >= old.len(), "{same_tail} of {} chunks survive", old.len());
    }
}
