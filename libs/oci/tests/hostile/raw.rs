//! Tar archives byte by byte, so that they can be wrong.

/// An archive being written.
#[derive(Clone, Default)]
pub struct Raw {
    pub bytes: Vec<u8>,
}

/// A header before its checksum.
#[derive(Clone)]
pub struct Header {
    pub block: [u8; 512],
}

impl Header {
    /// A POSIX header of the calling user's.
    pub fn new(kind: u8, name: &str, link: &str, size: u64) -> Self {
        let mut header = Self { block: [0; 512] };
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        header.text(0, 100, name.as_bytes()).text(157, 100, link.as_bytes());
        header.octal(100, 8, if kind == b'5' { 0o755 } else { 0o644 }).octal(108, 8, uid.into()).octal(116, 8, gid.into());
        header.octal(124, 12, size).octal(136, 12, 1_700_000_000).text(257, 8, b"ustar\x0000");
        header.block[156] = kind;
        header
    }

    pub fn text(&mut self, at: usize, length: usize, text: &[u8]) -> &mut Self {
        let text = &text[..text.len().min(length)];
        self.block[at..at + length].fill(0);
        self.block[at..at + text.len()].copy_from_slice(text);
        self
    }

    pub fn octal(&mut self, at: usize, length: usize, value: u64) -> &mut Self {
        let text = format!("{value:0width$o}\0", width = length - 1);
        self.text(at, length, text.as_bytes())
    }

    /// Base 256, for what octal cannot hold.
    pub fn binary(&mut self, at: usize, length: usize, value: u64) -> &mut Self {
        self.block[at..at + length].fill(0);
        self.block[at + length - 8..at + length].copy_from_slice(&value.to_be_bytes());
        self.block[at] |= 0x80;
        self
    }

    pub fn ones(&mut self, range: std::ops::Range<usize>) -> &mut Self {
        self.block[range].fill(0xff);
        self
    }

    /// GNU's dialect.
    pub fn gnu(&mut self) -> &mut Self {
        self.text(257, 8, b"ustar  \0")
    }

    /// With the right checksum.
    pub fn done(&self) -> [u8; 512] {
        let mut block = self.block;
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

impl Raw {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn header(mut self, header: &Header) -> Self {
        self.bytes.extend(header.done());
        self
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// A member of any kind, with what its header says.
    pub fn member(self, kind: u8, name: &str, link: &str, change: impl FnOnce(&mut Header) -> &mut Header) -> Self {
        let mut header = Header::new(kind, name, link, 0);
        change(&mut header);
        self.header(&header)
    }

    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.header(&Header::new(b'0', name, "", data.len() as u64)).data(data)
    }

    pub fn dir(self, name: &str) -> Self {
        self.member(b'5', name, "", |header| header)
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.member(b'2', name, target, |header| header)
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(b'1', name, target, |header| header)
    }

    /// An extended header for the next member.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.extension(b'x', &records)
    }

    /// A header of extension with any content.
    pub fn extension(self, kind: u8, content: &[u8]) -> Self {
        let mut header = Header::new(kind, "PaxHeaders/x", "", content.len() as u64);
        if matches!(kind, b'L' | b'K') {
            header.gnu();
        }
        self.header(&header).data(content)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// With the end mark.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).bytes
    }
}

/// `LENGTH KEY=VALUE\n`.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length).expect("some length fits");
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Offsets at which a well-formed archive of short members without extensions may end.
pub fn boundaries(archive: &[u8]) -> Vec<usize> {
    let mut found = vec![0];
    let mut at = 0;
    while at + 512 <= archive.len() && archive[at] != 0 {
        let size = std::str::from_utf8(&archive[at + 124..at + 135]).ok().and_then(|text| usize::from_str_radix(text, 8).ok());
        let is_extension = archive[at + 156] == b'x';
        at += 512 + size.unwrap_or(0).next_multiple_of(512);
        if !is_extension {
            found.push(at);
        }
    }
    found
}
