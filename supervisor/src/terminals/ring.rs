//! Bytes of a terminal by absolute offset, the last so many of them.

use std::collections::VecDeque;

use bytes::Bytes;

/// How far to look for the end of a line when a reader has to begin in the middle.
const RESYNC: usize = 4096;

/// Keeps the newest `capacity` bytes. Memory grows only as far as there are bytes.
#[derive(Debug)]
pub struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    end: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes between where the reader wanted to be and `offset` that are gone.
    pub skipped: u64,
    /// Offset of the first byte of `data`.
    pub offset: u64,
    /// May be empty: nothing new.
    pub data: Bytes,
}

impl Piece {
    /// Where to go on.
    pub fn next(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}

impl Ring {
    /// An empty ring.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, end: 0 }
    }

    /// Offset after the newest byte: how many there were in all.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Offset of the oldest byte that is kept.
    pub fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// Adds bytes, forgetting the oldest.
    pub fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(self.capacity)..];
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.bytes.extend(bytes);
    }

    /// Up to `most` bytes from `from` on. A reader whose place is gone begins at the next line, so that neither a
    /// character nor an escape sequence is cut in two.
    pub fn read(&self, from: u64, most: usize) -> Piece {
        let start = self.start();
        let offset = if from < start { start + self.resync(0) as u64 } else { from.min(self.end) };
        self.piece(from, offset, most)
    }

    /// Where a viewer that joins now begins: `last` bytes back, at the beginning of a line.
    pub fn replay_from(&self, last: usize) -> u64 {
        if self.start() == 0 && self.bytes.len() <= last {
            return 0;
        }
        let index = self.bytes.len().saturating_sub(last);
        self.start() + (index + self.resync(index)) as u64
    }

    fn piece(&self, from: u64, offset: u64, most: usize) -> Piece {
        let index = (offset - self.start()) as usize;
        let until = (index + most).min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let data = if until <= front.len() {
            Bytes::copy_from_slice(&front[index..until])
        } else if index >= front.len() {
            Bytes::copy_from_slice(&back[index - front.len()..until - front.len()])
        } else {
            [&front[index..], &back[..until - front.len()]].concat().into()
        };
        Piece { skipped: offset.saturating_sub(from), offset, data }
    }

    /// Bytes to leave out from `index` on: to the next line, or at least to the next character.
    fn resync(&self, index: usize) -> usize {
        let mut near = self.bytes.range(index..(index + RESYNC).min(self.bytes.len()));
        if let Some(line) = near.clone().position(|&byte| byte == b'\n') {
            return line + 1;
        }
        near.position(|&byte| byte & 0xc0 != 0x80).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(capacity: usize, text: &str) -> Ring {
        let mut ring = Ring::new(capacity);
        ring.push(text.as_bytes());
        ring
    }

    #[test]
    fn a_reader_that_keeps_up_gets_every_byte() {
        let mut ring = Ring::new(8);
        let mut seen = Vec::new();
        let mut at = 0;
        for number in 0..100u8 {
            ring.push(&[number; 3]);
            let piece = ring.read(at, 64);
            assert_eq!(piece.skipped, 0);
            at = piece.next();
            seen.extend_from_slice(&piece.data);
        }
        assert_eq!(seen, (0..100u8).flat_map(|number| [number; 3]).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_lost_its_place_begins_at_a_line_and_knows_how_much_it_missed() {
        let ring = ring(16, "first line\nsecond\nthird\n");
        // Kept: "ine\nsecond... " is cut to "e\nsecond\nthird\n" by the capacity.
        let piece = ring.read(2, 64);
        assert_eq!(piece.data, "second\nthird\n");
        assert_eq!(piece.skipped, 9);
        assert_eq!(piece.next(), ring.end());
    }

    #[test]
    fn a_character_is_not_cut_where_there_is_no_line() {
        let ring = ring(5, "ääää");
        assert_eq!(ring.read(0, 64).data, "ää");
    }

    #[test]
    fn one_piece_larger_than_the_ring_leaves_its_end() {
        let ring = ring(4, "0123456789");
        assert_eq!((ring.start(), ring.end()), (6, 10));
        assert_eq!(ring.read(6, 2).data, "67");
        assert_eq!(ring.read(99, 2).data, "");
    }

    #[test]
    fn a_replay_is_whole_when_nothing_was_lost_and_else_begins_at_a_line() {
        assert_eq!(ring(64, "one\ntwo\n").replay_from(64), 0);
        assert_eq!(ring(64, "one\ntwo\n").replay_from(6), 4);
        assert_eq!(ring(64, "one\ntwo\n").replay_from(0), 8);
    }
}
