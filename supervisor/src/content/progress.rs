//! Reads what Git says on stderr with `--progress`: numbers for the timeline, and the last other lines for the reason
//! when it fails. A remote writes there too ("remote: …"), without bounds, so everything is bounded here.

/// How many bytes of plain lines are kept: the last ones, where Git says why it failed.
const KEPT: usize = 8 << 10;
/// The longest line that is read; the rest of it is passed over.
const LINE_MAX: usize = 1 << 10;

/// How far a command is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// "Receiving objects", "Resolving deltas", "Updating files".
    pub stage: String,
    /// Objects, deltas or files so far.
    pub done: u64,
    /// Of how many; 0 if not known.
    pub total: u64,
    /// Bytes received so far.
    pub bytes: u64,
}

/// A reader of one command's stderr.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    plain: String,
    progress: Progress,
}

impl Reader {
    /// Takes the next bytes; true when the progress changed.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let before = self.progress.clone();
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => self.end_line(),
                byte if self.line.len() < LINE_MAX => self.line.push(*byte),
                _ => {}
            }
        }
        before != self.progress
    }

    /// How far the command is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The last lines that were no progress.
    pub fn finish(mut self) -> (Progress, String) {
        self.end_line();
        (self.progress, self.plain)
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        match (parse(line.strip_prefix("remote: ").unwrap_or(line)), line.starts_with("remote: ")) {
            (Some(progress), false) => self.advance(progress),
            (Some(_), true) => {}
            (None, _) => self.keep(line),
        }
    }

    /// Bytes are of receiving only; later stages keep the sum.
    fn advance(&mut self, next: Progress) {
        self.progress = Progress { bytes: next.bytes.max(self.progress.bytes), ..next };
    }

    fn keep(&mut self, line: &str) {
        self.plain.push_str(line);
        self.plain.push('\n');
        if self.plain.len() > KEPT {
            let cut = self.plain.len() - KEPT;
            let cut = (cut..self.plain.len()).find(|at| self.plain.is_char_boundary(*at)).unwrap_or(self.plain.len());
            self.plain.drain(..cut);
        }
    }
}

/// "Receiving objects:  45% (1234/2742), 1.20 MiB | 3.10 MiB/s" and the like.
fn parse(line: &str) -> Option<Progress> {
    let (stage, rest) = line.split_once(": ")?;
    if stage.len() > 40 || !stage.chars().all(|c| c.is_ascii_alphabetic() || c == ' ') {
        return None;
    }
    let rest = rest.trim_start();
    let (done, total) = match rest.split_once("% (") {
        Some((_, counts)) => {
            let (done, total) = counts.split_once(')')?.0.split_once('/')?;
            (done.parse().ok()?, total.parse().ok()?)
        }
        None => (rest.split([',', ' ']).next()?.parse().ok()?, 0),
    };
    let bytes = rest.split(", ").find_map(size).unwrap_or(0);
    Some(Progress { stage: stage.to_owned(), done, total, bytes })
}

/// "1.20 MiB | 3.10 MiB/s" in bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split('|').next()?.trim().split_once(' ')?;
    let factor = match unit.trim() {
        "bytes" | "byte" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_come_in_pieces() {
        let mut reader = Reader::default();
        assert!(!reader.push(b"remote: Counting objects: 100% (9/9), done.\nReceiving obj"));
        assert!(reader.push(b"ects:  45% (1234/2742), 1.50 MiB | 3.10 MiB/s\r"));
        let expected = Progress { stage: "Receiving objects".into(), done: 1234, total: 2742, bytes: 1_572_864 };
        assert_eq!(reader.progress(), &expected);
        assert!(reader.push(b"Resolving deltas: 100% (7/7), done.\n"));
        assert_eq!(reader.progress().bytes, 1_572_864);
        assert_eq!(reader.progress().stage, "Resolving deltas");
    }

    #[test]
    fn the_reason_of_a_failure_is_kept_and_progress_is_not() {
        let mut reader = Reader::default();
        reader.push(b"Enumerating objects: 12, done.\nfatal: repository 'https://e.org/a/' not found\n");
        assert_eq!(reader.finish().1, "fatal: repository 'https://e.org/a/' not found\n");
    }

    #[test]
    fn a_remote_that_floods_takes_no_memory() {
        let mut reader = Reader::default();
        for _ in 0..1000 {
            reader.push(&[b'x'; 4096]);
            reader.push("ü\n".as_bytes());
        }
        reader.push(b"fatal: the end\n");
        let (_, plain) = reader.finish();
        assert!(plain.len() <= KEPT && plain.ends_with("fatal: the end\n"));
    }
}
