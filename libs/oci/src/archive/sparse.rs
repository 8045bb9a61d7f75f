//! Files with holes: the old GNU form (type `S`) and GNU's three forms inside pax headers. Format: GNU tar manual,
//! "Storing Sparse Files".

use std::io::Read;

use super::header::{BLOCK, unsigned};
use super::pax::decimal;
use super::{Archive, ArchiveError, Entry, Kind};

/// Most pieces of one file; a gigabyte with a hole in every other page would have 131,072.
const MAX_SEGMENTS: usize = 1 << 18;

/// `GNU.sparse.*` records, as they came.
#[derive(Debug, Default)]
pub struct PaxSparse {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    /// Forms 0.0 and 0.1: offset, length, offset, length…
    numbers: Vec<u64>,
}

impl PaxSparse {
    pub fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"major" => self.major = Some(decimal(value)?),
            b"minor" => self.minor = Some(decimal(value)?),
            b"name" if !value.is_empty() && !value.contains(&0) => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(decimal(value)?),
            b"offset" if self.numbers.len().is_multiple_of(2) => self.numbers.push(decimal(value)?),
            b"numbytes" if !self.numbers.len().is_multiple_of(2) => self.numbers.push(decimal(value)?),
            b"map" if self.numbers.is_empty() => self.numbers = map(value)?,
            b"numblocks" => drop(decimal(value)?),
            _ => return Err("a record about a sparse file is unknown or out of place"),
        }
        match self.numbers.len() > 2 * MAX_SEGMENTS {
            true => Err("a sparse file has too many pieces"),
            false => Ok(()),
        }
    }
}

fn map(value: &[u8]) -> Result<Vec<u64>, &'static str> {
    value.split(|byte| *byte == b',').filter(|_| !value.is_empty()).map(decimal).collect()
}

/// A file whose pax header says it is sparse; in form 1.0 the map comes before the data.
pub fn from_pax<R: Read>(archive: &mut Archive<R>, records: PaxSparse, entry: &mut Entry) -> Result<(), ArchiveError> {
    let numbers = match (records.major, records.minor) {
        (Some(1), Some(0)) if records.numbers.is_empty() => read_map(archive)?,
        (None | Some(0), None | Some(0 | 1)) => records.numbers,
        _ => return Err(archive.malformed("a sparse file of an unknown form")),
    };
    let real_size = records.real_size.ok_or_else(|| archive.malformed("a sparse file without its size"))?;
    if let Some(name) = records.name {
        entry.path = name;
    }
    finish(archive, entry, pairs(&numbers), real_size)
}

/// The old form: four pieces in the header, then blocks of 21 more as long as each says that another follows.
pub fn from_gnu<R: Read>(archive: &mut Archive<R>, block: &[u8; BLOCK], entry: &mut Entry) -> Result<(), ArchiveError> {
    let real_size = unsigned(&block[483..495]).map_err(|problem| archive.malformed(problem))?;
    let mut segments = Vec::new();
    let mut is_extended = read_table(archive, &block[386..482], block[482], &mut segments)?;
    while is_extended {
        let mut more = [0; BLOCK];
        if archive.fill(&mut more)? < BLOCK {
            return Err(ArchiveError::Truncated { offset: archive.offset });
        }
        is_extended = read_table(archive, &more[..504], more[504], &mut segments)?;
    }
    entry.kind = Kind::File;
    finish(archive, entry, segments, real_size)
}

/// Reads pieces up to the first empty slot; returns whether another block of them follows.
fn read_table<R: Read>(
    archive: &Archive<R>,
    table: &[u8],
    extended: u8,
    segments: &mut Vec<(u64, u64)>,
) -> Result<bool, ArchiveError> {
    for slot in table.chunks_exact(24).take_while(|slot| slot[0] != 0) {
        let offset = unsigned(&slot[..12]).map_err(|problem| archive.malformed(problem))?;
        let length = unsigned(&slot[12..]).map_err(|problem| archive.malformed(problem))?;
        segments.push((offset, length));
    }
    if segments.len() > MAX_SEGMENTS {
        return Err(archive.malformed("a sparse file has too many pieces"));
    }
    match extended {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(archive.malformed("a sparse file's table is malformed")),
    }
}

/// Form 1.0: the count, then offsets and lengths, a decimal number on each line, padded to a block.
fn read_map<R: Read>(archive: &mut Archive<R>) -> Result<Vec<u64>, ArchiveError> {
    let mut lines = Lines::default();
    let count = lines.next(archive)?;
    if count > MAX_SEGMENTS as u64 {
        return Err(archive.malformed("a sparse file has too many pieces"));
    }
    (0..2 * count).map(|_| lines.next(archive)).collect()
}

#[derive(Default)]
struct Lines {
    block: Vec<u8>,
    at: usize,
}

impl Lines {
    fn next<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<u64, ArchiveError> {
        let mut digits = Vec::new();
        loop {
            match self.byte(archive)? {
                b'\n' => return decimal(&digits).map_err(|problem| archive.malformed(problem)),
                byte if digits.len() < 20 => digits.push(byte),
                _ => return Err(archive.malformed("a sparse file's map is malformed")),
            }
        }
    }

    fn byte<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<u8, ArchiveError> {
        if self.at == self.block.len() {
            if archive.left < BLOCK as u64 {
                return Err(archive.malformed("a sparse file's map runs into its end"));
            }
            self.block = archive.extension(BLOCK as u64)?;
            self.at = 0;
        }
        self.at += 1;
        Ok(self.block[self.at - 1])
    }
}

fn pairs(numbers: &[u64]) -> Vec<(u64, u64)> {
    // An odd one at the end names a piece without a length: kept, so that the sums do not match.
    numbers.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(u64::MAX))).collect()
}

/// Pieces must ascend, not overlap, stay in the file, and account for every stored byte.
fn finish<R: Read>(
    archive: &Archive<R>,
    entry: &mut Entry,
    segments: Vec<(u64, u64)>,
    real_size: u64,
) -> Result<(), ArchiveError> {
    let mut end = 0;
    let mut stored: u64 = 0;
    for (offset, length) in &segments {
        let after = offset.checked_add(*length).filter(|after| *offset >= end && *after <= real_size);
        end = after.ok_or_else(|| archive.malformed("a sparse file's pieces overlap or leave it"))?;
        stored += length;
    }
    if stored != archive.left {
        return Err(archive.malformed("a sparse file's pieces do not add up to its data"));
    }
    entry.size = real_size;
    entry.segments = Some(segments);
    Ok(())
}
