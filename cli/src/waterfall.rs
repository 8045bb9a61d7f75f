//! The start waterfall: what happened when, how long it took, how much it moved, and whether it was there already.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use api::v1::Step;

use crate::text;

const BAR: usize = 24;

/// The table of `crannog timeline`.
pub fn render(steps: &[Step], now_us: i64) -> String {
    let steps = in_order(steps);
    let Some(first) = steps.iter().map(|step| step.started_unix_us).min() else {
        return "nothing has started yet\n".into();
    };
    let last = steps.iter().map(|step| end_of(step, now_us)).max().unwrap_or(first).max(first + 1);
    let mut rows = vec![["STEP", "AT", "TOOK", "MOVED", "", "DETAIL"].map(str::to_owned).to_vec()];
    rows.extend(steps.iter().map(|step| row(step, first, last, now_us)));
    text::table(&rows)
}

fn in_order(steps: &[Step]) -> Vec<Step> {
    let mut steps = steps.to_vec();
    steps.sort_by(|a, b| (a.started_unix_us, &a.name).cmp(&(b.started_unix_us, &b.name)));
    steps
}

fn end_of(step: &Step, now_us: i64) -> i64 {
    if step.ended_unix_us > 0 { step.ended_unix_us } else { now_us.max(step.started_unix_us) }
}

fn span(from_us: i64, to_us: i64) -> String {
    text::duration(Duration::from_micros(u64::try_from(to_us - from_us).unwrap_or(0)))
}

fn row(step: &Step, first: i64, last: i64, now_us: i64) -> Vec<String> {
    let end = end_of(step, now_us);
    let took =
        if step.ended_unix_us > 0 { span(step.started_unix_us, end) } else { format!("{} …", span(step.started_unix_us, end)) };
    vec![
        step.name.clone(),
        span(first, step.started_unix_us),
        took,
        moved(step),
        bar(step.started_unix_us - first, end - first, last - first),
        remark(step),
    ]
}

fn moved(step: &Step) -> String {
    match (step.bytes, step.total_bytes) {
        (0, 0) => String::new(),
        (done, total) if step.ended_unix_us == 0 && total > 0 => format!("{} of {}", text::bytes(done), text::bytes(total)),
        (done, _) => text::bytes(done),
    }
}

fn remark(step: &Step) -> String {
    let failed = format!("failed: {}", step.error);
    let parts = [if step.hit { "hit" } else { "" }, &step.detail, if step.error.is_empty() { "" } else { &failed }];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn bar(from: i64, to: i64, all: i64) -> String {
    let cell = |at: i64| usize::try_from(at * BAR as i64 / all.max(1)).unwrap_or(0).min(BAR);
    let (start, end) = (cell(from).min(BAR - 1), cell(to));
    let filled = end.saturating_sub(start).max(1);
    format!("{}{}{}", "·".repeat(start), "█".repeat(filled), "·".repeat(BAR - start - filled))
}

/// Shows a start as it goes: redrawn in place on a terminal, one line for each ended step elsewhere.
pub struct Live {
    drawn: usize,
    told: std::collections::HashSet<String>,
    is_terminal: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self { drawn: 0, told: Default::default(), is_terminal: std::io::stderr().is_terminal() }
    }
}

impl Live {
    /// Takes in the newest state.
    pub fn update(&mut self, steps: &[Step]) {
        if self.is_terminal { self.redraw(steps) } else { self.tell(steps) }
    }

    fn redraw(&mut self, steps: &[Step]) {
        let drawing = render(steps, text::now_ms() * 1000);
        let mut out = std::io::stderr().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
        }
        let width = usize::try_from(crate::terminal::size().columns).unwrap_or(80).max(20);
        for line in drawing.lines() {
            let cut: String = line.chars().take(width - 1).collect();
            let _ = writeln!(out, "{cut}");
        }
        self.drawn = drawing.lines().count();
    }

    fn tell(&mut self, steps: &[Step]) {
        for step in in_order(steps).iter().filter(|step| step.ended_unix_us > 0) {
            if self.told.insert(format!("{}@{}", step.name, step.started_unix_us)) {
                let facts = [span(step.started_unix_us, step.ended_unix_us), moved(step), remark(step)];
                let facts: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
                eprintln!("{:<20} {}", step.name, text::printable(&facts.join(", ")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, from: i64, to: i64) -> Step {
        Step { name: name.into(), started_unix_us: from, ended_unix_us: to, ..Default::default() }
    }

    #[test]
    fn steps_are_shown_in_the_order_they_began_with_their_share_of_the_time() {
        let mut image = step("image", 1_000, 5_000);
        (image.hit, image.detail) = (true, "host".into());
        let text = render(&[step("clone", 5_000, 9_000), image], 9_000);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("image") && lines[1].contains("hit, host") && lines[1].contains("4 ms"), "{text}");
        assert!(lines[2].starts_with("clone") && lines[2].contains("············████████████"), "{text}");
    }

    #[test]
    fn a_running_step_counts_up_and_a_failed_one_says_why() {
        let mut failed = step("pull", 1_000, 2_000);
        failed.error = "registry away".into();
        let text = render(&[failed, step("clone", 1_000, 0)], 3_000_000);
        assert!(text.contains("failed: registry away") && text.contains("3.00 s …"), "{text}");
    }

    #[test]
    fn bars_never_leave_their_column() {
        for (from, to, all) in [(0, 0, 0), (10, 10, 10), (0, 10, 10), (9, 10, 10), (5, 400, 10)] {
            assert_eq!(bar(from, to, all).chars().count(), BAR, "{from} {to} {all}");
        }
    }
}
