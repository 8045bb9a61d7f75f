//! The 512-byte header of a tar member, in its four dialects.

use super::Time;

/// Size of a header, and what data is padded to.
pub const BLOCK: usize = 512;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A regular file with holes, in the old GNU form.
    GnuSparse,
    /// A second name of a file earlier in this layer or a lower one.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character or block device.
    Device,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// `x`: about the next member.
    Pax,
    /// `g`: about all members that follow.
    PaxGlobal,
    /// `L`: the next member's name.
    LongName,
    /// `K`: the next member's link target.
    LongLink,
}

impl Kind {
    /// Whether no data may follow.
    pub fn is_header_only(self) -> bool {
        matches!(self, Self::HardLink | Self::Symlink | Self::Device | Self::Directory | Self::Fifo)
    }
}

/// A header, read.
pub struct Header {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: Time,
    /// As it was, for what only one dialect has.
    pub block: Box<[u8; BLOCK]>,
}

#[derive(PartialEq)]
enum Dialect {
    V7,
    Ustar,
    Gnu,
}

impl Header {
    pub fn parse(block: &[u8; BLOCK]) -> Result<Self, &'static str> {
        check_sum(block)?;
        let dialect = match &block[257..265] {
            b"ustar\x0000" => Dialect::Ustar,
            b"ustar  \0" => Dialect::Gnu,
            other if other.starts_with(b"ustar") => return Err("an unknown kind of ustar header"),
            _ => Dialect::V7,
        };
        let path = path(block, &dialect);
        let kind = kind(block[156], &dialect, &path)?;
        Ok(Self {
            kind,
            link: text(&block[157..257]).to_vec(),
            mode: (number(&block[100..108])? & 0o7777) as u32,
            uid: unsigned(&block[108..116])?,
            gid: unsigned(&block[116..124])?,
            size: unsigned(&block[124..136])?,
            mtime: Time { seconds: number(&block[136..148])?, nanoseconds: 0 },
            path,
            block: Box::new(*block),
        })
    }
}

fn kind(flag: u8, dialect: &Dialect, path: &[u8]) -> Result<Kind, &'static str> {
    Ok(match flag {
        // Before there was a type for them, directories were files whose names end in a slash.
        0 | b'0' if *dialect == Dialect::V7 && path.ends_with(b"/") => Kind::Directory,
        0 | b'0' if path.ends_with(b"/") => return Err("a regular file's name ends in a slash"),
        0 | b'0' | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'x' => Kind::Pax,
        b'g' => Kind::PaxGlobal,
        b'L' if *dialect == Dialect::Gnu => Kind::LongName,
        b'K' if *dialect == Dialect::Gnu => Kind::LongLink,
        b'S' if *dialect == Dialect::Gnu => Kind::GnuSparse,
        _ => return Err("a member of an unknown type"),
    })
}

fn path(block: &[u8; BLOCK], dialect: &Dialect) -> Vec<u8> {
    let name = text(&block[..100]);
    if *dialect != Dialect::Ustar {
        return name.to_vec();
    }
    // Schilling's star keeps times where ustar keeps the end of the prefix.
    let is_star = &block[508..] == b"tar\0";
    match text(&block[345..if is_star { 476 } else { 500 }]) {
        b"" => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub fn unsigned(field: &[u8]) -> Result<u64, &'static str> {
    u64::try_from(number(field)?).map_err(|_| "a number is negative that must not be")
}

/// Octal text, or base 256 when the first bit is set.
fn number(field: &[u8]) -> Result<i64, &'static str> {
    if field[0] & 0x80 != 0 {
        return base_256(field);
    }
    let is_filler = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_filler(byte)).unwrap_or(field.len());
    let end = field[start..].iter().position(is_filler).map_or(field.len(), |length| start + length);
    if !field[end..].iter().all(is_filler) {
        return Err("a number has something behind it");
    }
    let mut value: i64 = 0;
    for byte in &field[start..end] {
        if !matches!(byte, b'0'..=b'7') {
            return Err("a number has a digit that is not octal");
        }
        value =
            value.checked_mul(8).and_then(|value| value.checked_add(i64::from(byte - b'0'))).ok_or("a number is too large")?;
    }
    Ok(value)
}

fn base_256(field: &[u8]) -> Result<i64, &'static str> {
    let is_negative = field[0] & 0x40 != 0;
    let mut value: i128 = if is_negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        let byte = if index == 0 && !is_negative { byte & 0x3f } else { *byte };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| "a number is too large")
}

/// The sum of all bytes with the field itself as spaces; some old programs summed signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), &'static str> {
    let said = number(&block[148..156])?;
    let counted = |index: usize, byte: u8| if (148..156).contains(&index) { b' ' } else { byte };
    let bytes = || block.iter().enumerate().map(|(index, byte)| counted(index, *byte));
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    match said == unsigned || said == signed {
        true => Ok(()),
        false => Err("a header's checksum is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_and_nothing_else() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Ok(256));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert_eq!(unsigned(&[0xff; 12]), Err("a number is negative that must not be"));
        for field in [b"0000648\0", b"64 4    ", b"-000644\0", b"0x1ff  \0", b"644\x001234"] {
            number(field).expect_err("not octal");
        }
        number(&[0xbf; 12]).expect_err("too large");
    }
}
