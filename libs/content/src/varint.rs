//! LEB128 numbers in their shortest form, and a reader that never goes beyond its bytes.

use crate::error::FormatError;

/// Appends a number.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number in zigzag form.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value.wrapping_shl(1) ^ (value >> 63)) as u64);
}

/// Appends bytes after their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes values off the front of bytes; every refusal names the object being read.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    object: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as an `object`.
    pub fn new(object: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, object }
    }

    /// The refusal for breaking the rule `why`.
    pub fn refuse(&self, why: &'static str) -> FormatError {
        FormatError::Malformed { object: self.object, why }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (front, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.refuse("it ends too early"))?;
        self.rest = rest;
        Ok(front)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, FormatError> {
        Ok(self.take(1)?[0])
    }

    /// The next 32 bytes.
    pub fn digest(&mut self) -> Result<crate::Digest, FormatError> {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.take(32)?);
        Ok(crate::Digest(bytes))
    }

    /// The next number, at most `limit`.
    pub fn number(&mut self, limit: u64) -> Result<u64, FormatError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part.checked_shl(shift).is_none_or(|v| v >> shift != part) {
                return Err(self.refuse("a number beyond 64 bits"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.refuse("a number that is not in its shortest form"));
                }
                return if value <= limit { Ok(value) } else { Err(self.refuse("a number beyond its limit")) };
            }
        }
        Err(self.refuse("a number beyond 64 bits"))
    }

    /// The next signed number.
    pub fn signed(&mut self) -> Result<i64, FormatError> {
        let raw = self.number(u64::MAX)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Bytes after their length, which is at most `limit`.
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8], FormatError> {
        let length = self.number(limit as u64)?;
        self.take(length as usize)
    }

    /// Refuses bytes that are left over.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.refuse("bytes after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_comes_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            put_signed(&mut out, signed);
            let mut reader = Reader::new("test", &out);
            prop_assert_eq!(reader.number(u64::MAX).unwrap(), value);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            reader.finish().unwrap();
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new("test", &bytes);
            if let Ok(value) = reader.number(u64::MAX) {
                let mut out = Vec::new();
                put(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..bytes.len() - reader.left()]);
            }
        }
    }
}
