//! Extended headers: `LENGTH KEY=VALUE\n`, POSIX.1-2001 `pax`. A record that is not exactly that is an error.

use super::Time;
use super::sparse::PaxSparse;

/// Prefix of the keys that hold extended attributes, as star, GNU tar and Go write them.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// All attributes of a file together; more than any Linux file system stores.
const MAX_XATTRS: usize = 128;

/// What an extended header says that we act on.
#[derive(Debug, Default)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Option<PaxSparse>,
}

impl Records {
    pub fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = split(bytes)?;
            records.take(key, value)?;
            bytes = rest;
        }
        Ok(records)
    }

    /// Whether anything in it would change how entries are read or written.
    pub fn changes_entries(&self) -> bool {
        self.path.is_some()
            || self.link.is_some()
            || self.size.is_some()
            || self.uid.is_some()
            || self.gid.is_some()
            || !self.xattrs.is_empty()
            || self.sparse.is_some()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => once(&mut self.path, name(value)?),
            b"linkpath" => once(&mut self.link, name(value)?),
            b"size" => once(&mut self.size, decimal(value)?),
            b"uid" => once(&mut self.uid, decimal(value)?),
            b"gid" => once(&mut self.gid, decimal(value)?),
            b"mtime" => once(&mut self.mtime, time(value)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse.get_or_insert_default().take(&key[11..], value),
            _ if key.starts_with(XATTR) => self.xattr(&key[XATTR.len()..], value),
            // Access times, user names, comments, and what vendors add: nothing that we write.
            _ => Ok(()),
        }
    }

    fn xattr(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if key.is_empty() || self.xattrs.iter().any(|(known, _)| known == key) {
            return Err("an extended attribute has no name, or comes twice");
        }
        if self.xattrs.len() >= MAX_XATTRS {
            return Err("a file has more than 128 extended attributes");
        }
        self.xattrs.push((key.to_vec(), value.to_vec()));
        Ok(())
    }
}

/// A record's key and value, and the bytes behind it.
type Split<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The first record.
fn split(bytes: &[u8]) -> Result<Split<'_>, &'static str> {
    const BROKEN: &str = "a record of an extended header is not LENGTH KEY=VALUE";
    let space = bytes.iter().take(8).position(|byte| *byte == b' ').ok_or(BROKEN)?;
    let length = usize::try_from(decimal(&bytes[..space])?).map_err(|_| BROKEN)?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return Err(BROKEN);
    }
    let record = &bytes[space + 1..length - 1];
    let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
    let key = &record[..equals];
    if key.is_empty() || key.contains(&0) || key.contains(&b'\n') {
        return Err(BROKEN);
    }
    Ok((key, &record[equals + 1..], &bytes[length..]))
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("a key comes twice in an extended header"),
    }
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.is_empty() || value.contains(&0) {
        return Err("a name in an extended header is empty or has a NUL");
    }
    Ok(value.to_vec())
}

/// Digits only: no sign, no space.
pub fn decimal(value: &[u8]) -> Result<u64, &'static str> {
    let is_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let parsed = std::str::from_utf8(value).ok().filter(|_| is_digits).and_then(|text| text.parse::<u64>().ok());
    parsed.filter(|value| i64::try_from(*value).is_ok()).ok_or("a number in an extended header is not one")
}

/// `[-]SECONDS[.FRACTION]`.
fn time(value: &[u8]) -> Result<Time, &'static str> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err("a time in an extended header is not one");
    }
    let seconds = decimal(whole)? as i64;
    let digit = |index: usize| fraction.get(index).map_or(0, |byte| u32::from(byte - b'0'));
    let nanoseconds = (0..9).fold(0, |value, index| value * 10 + digit(index));
    Ok(match (is_negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_posix_writes_them() {
        let records = Records::parse(b"12 path=a/b\n20 mtime=1700000.25\n28 SCHILY.xattr.user.k=v\0\nw\n19 comment=ignored\n");
        let records = records.expect("well-formed");
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.mtime, Some(Time { seconds: 1_700_000, nanoseconds: 250_000_000 }));
        assert_eq!(records.xattrs, [(b"user.k".to_vec(), b"v\0\nw".to_vec())]);
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(time(b"-1.25"), Ok(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time(b"-3"), Ok(Time { seconds: -3, nanoseconds: 0 }));
    }

    fn record(key: &str, value: &str) -> Vec<u8> {
        let rest = format!(" {key}={value}\n");
        let length = (1..).map(|digits| rest.len() + digits).find(|length| length.to_string().len() + rest.len() == *length);
        format!("{}{rest}", length.expect("some length fits")).into_bytes()
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for bytes in [
            &b"12 path=a/b"[..],
            b"13 path=a/b\n",
            b"11 path=a/b\n",
            b"path=a/b\n",
            b" 12 path=a/b\n",
            b"+12 path=a/b\n",
            b"0 path=a\n",
            b"8 =novl\n",
            b"9 novalu\n",
            b"99999999999999999999 path=a\n",
            b"12 path=a/b\n\0",
        ] {
            Records::parse(bytes).expect_err(&String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn values_that_are_not_what_their_key_wants_are_refused() {
        for (key, value) in [
            ("path", ""),
            ("path", "a\0b"),
            ("linkpath", ""),
            ("size", "-1"),
            ("size", "+1"),
            ("size", " 1"),
            ("size", "0x1"),
            ("size", "99999999999999999999"),
            ("size", "9223372036854775808"),
            ("uid", ""),
            ("mtime", "1.x"),
            ("mtime", ""),
            ("SCHILY.xattr.", "x"),
            ("GNU.sparse.unknown", "1"),
            ("GNU.sparse.map", "1,,2"),
            ("GNU.sparse.numbytes", "1"),
        ] {
            Records::parse(&record(key, value)).expect_err(key);
        }
        let twice = [record("path", "a"), record("path", "b")].concat();
        Records::parse(&twice).expect_err("two names");
        Records::parse(&[record("uid", "1"), record("comment", "x=y\n"), record("comment", "z")].concat()).expect("fine");
    }
}
