//! An independent judge of HTTP/1 framing. hyper reads requests leniently in places where two readers could come to
//! differ about where one request ends (RFC 9112 lets a server repair what it got); an edge must not guess. The judge
//! looks at the same bytes before hyper does, without I/O, and where it meets anything that has two readings it
//! overwrites the rest with zeros, which hyper answers with 400 and a closed connection. It never changes the meaning of
//! what it lets through.
//!
//! Refused: a line that ends without CR, or with a CR inside; white space before a colon; folded header lines;
//! Content-Length beside Transfer-Encoding, twice, or not plain digits; any Transfer-Encoding but one "chunked", and any
//! at all in HTTP/1.0; more than one Host; a body on a request that wants another protocol, and bytes sent before
//! that protocol was agreed; chunk sizes that are not plain hex; framing fields in trailers.

pub mod guard;

/// Longest single line of a head, chunk size or trailer, in bytes.
const MAX_CHUNK_LINE: usize = 1024;

/// Why bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation(pub &'static str);

/// Where in a message the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    RequestLine,
    Header,
    /// Bytes of a body of known length that are still to come.
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    /// A request asked for another protocol: nothing may come until it is answered.
    Hold,
    /// Another protocol: no business of ours.
    Tunnel,
    Poisoned,
}

/// What the head that is being read has said about its framing so far.
#[derive(Debug, Default, Clone, Copy)]
struct Framing {
    old_version: bool,
    length: Option<u64>,
    chunked: bool,
    hosts: u8,
    upgrade: bool,
}

/// Follows one connection, in one direction.
#[derive(Debug)]
pub struct Judge {
    place: Place,
    framing: Framing,
    /// A line of which the end has not come yet.
    partial: Vec<u8>,
    head_bytes: usize,
    max_head: usize,
}

impl Judge {
    /// A judge for a fresh connection; a head longer than `max_head` bytes is refused (hyper does so first, with 431).
    pub fn new(max_head: usize) -> Self {
        Self { place: Place::RequestLine, framing: Framing::default(), partial: Vec::new(), head_bytes: 0, max_head }
    }

    /// Whether a head has begun and is not whole.
    pub fn in_head(&self) -> bool {
        self.place == Place::Header || (self.place == Place::RequestLine && self.head_bytes > 0)
    }

    /// Whether a request has asked for another protocol and was not answered.
    pub fn holds(&self) -> bool {
        self.place == Place::Hold
    }

    /// Whether something was refused: nothing that comes on this connection counts any more.
    pub fn is_poisoned(&self) -> bool {
        self.place == Place::Poisoned
    }

    /// The answer to such a request: everything further is another protocol's, or it stays HTTP.
    pub fn answered(&mut self, tunnel: bool) {
        if self.place == Place::Hold {
            self.place = if tunnel { Place::Tunnel } else { Place::RequestLine };
        }
    }

    /// Reads bytes that arrived. At the first one that is refused, it and all after it become zeros.
    pub fn inspect(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..]) {
                Ok(used) => at += used,
                Err(violation) => {
                    self.place = Place::Poisoned;
                    bytes[at..].fill(0);
                    return Err(violation);
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        match self.place {
            Place::Tunnel => Ok(rest.len()),
            Place::Poisoned => Err(Violation("bytes after a refused request")),
            Place::Hold => Err(Violation("bytes sent before the other protocol was agreed")),
            Place::Body(left) => Ok(self.skip(rest, left, Place::RequestLine, Place::Body)),
            Place::ChunkData(left) => Ok(self.skip(rest, left, Place::ChunkEnd, Place::ChunkData)),
            Place::RequestLine | Place::Header | Place::ChunkSize | Place::ChunkEnd | Place::Trailer => self.line(rest),
        }
    }

    fn skip(&mut self, rest: &[u8], left: u64, then: Place, still: fn(u64) -> Place) -> usize {
        let used = (rest.len() as u64).min(left);
        self.place = if used == left { then } else { still(left - used) };
        used as usize
    }

    /// Takes one line, or keeps what there is of it.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(rest.len(), |end| end + 1);
        self.count(used)?;
        if end.is_none() {
            self.partial.extend_from_slice(rest);
            return Ok(used);
        }
        if self.partial.is_empty() {
            self.whole_line(&rest[..used])?;
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&rest[..used]);
            self.whole_line(&line)?;
        }
        Ok(used)
    }

    fn count(&mut self, more: usize) -> Result<(), Violation> {
        match self.place {
            Place::RequestLine | Place::Header | Place::Trailer => {
                self.head_bytes += more;
                // hyper answers 431 at its own limit; this one only bounds what is kept here.
                if self.head_bytes > self.max_head + 4096 { Err(Violation("a head without end")) } else { Ok(()) }
            }
            _ if self.partial.len() + more > MAX_CHUNK_LINE => Err(Violation("a chunk size line without end")),
            _ => Ok(()),
        }
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let line = line.strip_suffix(b"\r\n").ok_or(Violation("a line that ends without CR"))?;
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(Violation("CR or NUL inside a line"));
        }
        match self.place {
            Place::RequestLine => self.request_line(line),
            Place::Header if line.is_empty() => self.end_of_head(),
            Place::Header => self.header(line),
            Place::ChunkSize => self.chunk_size(line),
            Place::ChunkEnd if line.is_empty() => self.go(Place::ChunkSize),
            Place::ChunkEnd => Err(Violation("a chunk longer than its size")),
            Place::Trailer if line.is_empty() => self.next_request(),
            Place::Trailer => trailer(line),
            _ => Err(Violation("a line where none belongs")),
        }
    }

    fn go(&mut self, place: Place) -> Result<(), Violation> {
        self.place = place;
        Ok(())
    }

    fn next_request(&mut self) -> Result<(), Violation> {
        self.head_bytes = 0;
        self.go(Place::RequestLine)
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        // One empty line before a request is allowed by RFC 9112 §2.2; `count` bounds how many.
        if line.is_empty() {
            return Ok(());
        }
        self.framing = Framing { old_version: line.ends_with(b" HTTP/1.0"), ..Framing::default() };
        if !self.framing.old_version && !line.ends_with(b" HTTP/1.1") {
            return Err(Violation("not a request line of HTTP/1"));
        }
        if line.iter().filter(|byte| **byte == b' ').count() != 2 {
            return Err(Violation("a request line of other than three parts"));
        }
        self.go(Place::Header)
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.transfer_encoding(value)
        } else if name.eq_ignore_ascii_case(b"host") {
            self.framing.hosts += 1;
            if self.framing.hosts > 1 { Err(Violation("more than one Host")) } else { Ok(()) }
        } else {
            self.framing.upgrade |= name.eq_ignore_ascii_case(b"upgrade");
            Ok(())
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.framing.length.is_some() {
            return Err(Violation("Content-Length twice"));
        }
        self.framing.length = Some(number(value, 10).ok_or(Violation("a Content-Length that is not plain digits"))?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.framing.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation("a Transfer-Encoding other than one \"chunked\""));
        }
        self.framing.chunked = true;
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Violation> {
        let Framing { old_version, length, chunked, upgrade, .. } = self.framing;
        if chunked && length.is_some() {
            return Err(Violation("Content-Length beside Transfer-Encoding"));
        }
        if chunked && old_version {
            return Err(Violation("Transfer-Encoding in HTTP/1.0"));
        }
        self.head_bytes = 0;
        match (upgrade, chunked, length.unwrap_or(0)) {
            (true, false, 0) => self.go(Place::Hold),
            (true, ..) => Err(Violation("a body on a request for another protocol")),
            (false, true, _) => self.go(Place::ChunkSize),
            (false, false, 0) => self.go(Place::RequestLine),
            (false, false, length) => self.go(Place::Body(length)),
        }
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Violation> {
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        match number(digits, 16).ok_or(Violation("a chunk size that is not plain hex"))? {
            0 => self.go(Place::Trailer),
            size => self.go(Place::ChunkData(size)),
        }
    }
}

/// Splits a field line into its name, a token, and its value without the white space around it (RFC 9112 §5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(Violation("a folded header line"));
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Violation("a header line without a colon"))?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Violation("a header name that is not a token"));
    }
    Ok((name, line[colon + 1..].trim_ascii()))
}

fn trailer(line: &[u8]) -> Result<(), Violation> {
    let (name, _) = field(line)?;
    let framing = [&b"content-length"[..], b"transfer-encoding", b"host", b"trailer", b"connection", b"upgrade"];
    if framing.iter().any(|refused| name.eq_ignore_ascii_case(refused)) {
        return Err(Violation("a framing field in the trailers"));
    }
    Ok(())
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Plain digits of a base, at least one, at most 16: no sign, no "0x", no white space.
fn number(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(|digit| char::from(*digit).is_digit(base)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, base).ok()
}

#[cfg(test)]
mod tests;
