//! Raw-byte paths as text and back: `\` and every byte outside printable ASCII become `\xNN`.

use std::fmt::Write;

/// The text for JSON and terminals; different bytes have different texts.
pub fn to_text(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path {
        match byte {
            b'\\' | ..b' ' | 0x7f.. => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
    out
}

/// The bytes of a path that a person typed: `\xNN` is a byte, all else is itself.
pub fn from_text(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let escaped = bytes[at..].strip_prefix(b"\\x").and_then(|rest| rest.get(..2)).and_then(|d| hex::decode(d).ok());
        match escaped {
            Some(byte) => {
                out.extend(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_text(&to_text(&all)), all);
        assert_eq!(to_text(b"a b\n\\"), "a b\\x0a\\x5c");
    }
}
