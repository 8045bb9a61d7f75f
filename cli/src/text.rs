//! Text for terminals: sizes, durations, tables, and nothing that a workspace could slip into the reader's terminal.

use std::fmt::Write as _;
use std::time::Duration;

/// Replaces control characters, so that names, messages and titles from a workspace cannot move the cursor (TM-40).
pub fn printable(text: &str) -> String {
    let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if is_bad(c) || ('\u{80}'..='\u{9f}').contains(&c) { '\u{fffd}' } else { c }).collect()
}

/// "1.5 GiB"
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// "4 ms", "1.24 s", "3 min 2 s", "5 h 1 min"
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match span.as_micros() {
        0..1_000 => format!("{} us", span.as_micros()),
        1_000..1_000_000 => format!("{} ms", span.as_millis()),
        1_000_000..60_000_000 => format!("{:.2} s", span.as_secs_f64()),
        60_000_000..3_600_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// "3 min ago"
pub fn ago(unix_ms: i64) -> String {
    if unix_ms == 0 {
        return "-".into();
    }
    let seconds = (now_ms() - unix_ms).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Lines up columns; the first row is the heading. Cells are made printable.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(duration(Duration::from_micros(900)), "900 us");
        assert_eq!(duration(Duration::from_millis(1240)), "1.24 s");
        assert_eq!(duration(Duration::from_secs(182)), "3 min 2 s");
    }

    #[test]
    fn a_workspace_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}1mc\u{7}"), "a\u{fffd}[2Jb\u{fffd}1mc\u{fffd}");
        assert_eq!(table(&[vec!["NAME".into(), "X".into()], vec!["a\u{1b}".into(), "y".into()]]), "NAME  X\na\u{fffd}    y\n");
    }
}
