//! The shape report, printed and never failing: when a file grows, ask what second thing it has become.

use std::fmt::Write as _;

use super::Files;

/// Lines per file: median, nine in ten, the longest.
pub fn report(files: &Files) -> anyhow::Result<String> {
    let mut sizes: Vec<(usize, String)> = Vec::new();
    let mut unsafe_blocks = 0;
    for (path, text) in files.with_ending("rs")? {
        sizes.push((text.lines().count(), path.display().to_string()));
        unsafe_blocks += text.matches("unsafe {").count();
    }
    sizes.sort();
    let at =
        |share: usize| sizes.get((sizes.len() * share / 100).min(sizes.len().saturating_sub(1))).map_or(0, |(lines, _)| *lines);
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    let mut report = String::new();
    writeln!(
        report,
        "shape: {} Rust files, {total} lines; lines per file: median {}, nine in ten {}; unsafe blocks {unsafe_blocks}",
        sizes.len(),
        at(50),
        at(90)
    )?;
    for (lines, path) in sizes.iter().rev().take_while(|(lines, _)| *lines > 400) {
        writeln!(report, "shape: {path} has {lines} lines")?;
    }
    Ok(report)
}
