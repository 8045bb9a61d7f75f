//! A hostile `.gitpod.yml` costs little (TM-19). Alone in its process, so that the memory it took can be seen.

use std::time::Duration;

use domain::gitpod_yml::{MAX_BYTES, MAX_TASKS, parse};

/// What a file may take.
const TIME: Duration = Duration::from_millis(100);
const MEMORY_KIB: u64 = 16 * 1024;

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// What this thread has had of a processor, in steps of 10 ms: other tests on a busy machine do not count.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("/proc");
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    // Fields 14 and 15 of proc(5), the third after the name being the first here.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Files that were made to hurt, each at most as large as is read, and a few that are larger.
fn hostile() -> Vec<(&'static str, String)> {
    let fill = |unit: &str| unit.repeat(MAX_BYTES / unit.len());
    let laughs: String = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let before = level - 1;
        format!("{text}a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 9].join(", "))
    });
    let quadratic = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(20_000), "*a,".repeat(20_000));
    let anchors: String = (0..20_000).map(|number| format!("- &n{number} x\n")).collect();
    let merges: String = format!("m: &m {{a: 1}}\n{}", (0..10_000).map(|n| format!("k{n}: {{<<: *m}}\n")).collect::<String>());
    let block_depth: String = (0..500).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    vec![
        ("laughs", laughs),
        ("quadratic", quadratic),
        ("anchors", anchors),
        ("merges", merges),
        ("flow depth", "[".repeat(MAX_BYTES)),
        ("map depth", "{a: ".repeat(MAX_BYTES / 4)),
        ("block depth", block_depth),
        ("sequence depth", fill("- ")),
        ("tasks", format!("tasks:\n{}", "  - command: x\n".repeat(17_000))),
        ("ports", format!("ports:\n{}", "  - port: 1-2\n".repeat(18_000))),
        ("wide", (0..20_000).map(|number| format!("k{number}: x\n")).collect()),
        ("unknown in tasks", format!("tasks:\n - {}", "x: 1\n   ".repeat(25_000))),
        ("doubled", "env: {A: b}\n".repeat(20_000)),
        ("one scalar", format!("image: {}", "x".repeat(MAX_BYTES - 7))),
        ("one key", fill("x")),
        ("quotes", fill("\"")),
        ("question marks", fill("? ")),
        ("tags", fill("!!binary ")),
        ("comments", fill("#\n")),
        ("documents", fill("---\n")),
        ("folded", format!("a: >\n{}", "  x\n\n".repeat(52_000))),
        ("escapes", format!("a: \"{}\"", "\\u0041".repeat(40_000))),
        ("percent", fill("%YAML 1.2\n")),
        ("large", "a: b\n".repeat(MAX_BYTES)),
    ]
}

#[test]
fn a_hostile_file_is_read_within_a_tenth_of_a_second_and_sixteen_mebibytes() {
    let files = hostile();
    // Debug builds are some ten times slower than what ships; the promise is about that.
    let allowed = if cfg!(debug_assertions) { TIME * 10 } else { TIME };
    for (name, text) in &files {
        let before = peak_memory_kib();
        let begin = processor_time();
        let parsed = parse(text.as_bytes());
        let (took, grown) = (processor_time() - begin, peak_memory_kib() - before);
        println!("{name}: {took:?}, {grown} KiB, {} problems, {} tasks", parsed.problems.len(), parsed.config.tasks.len());
        assert!(took < allowed, "{name} took {took:?}");
        assert!(grown < MEMORY_KIB, "{name} took {grown} KiB");
        assert!(parsed.config.tasks.len() <= MAX_TASKS && parsed.problems.len() <= 100, "{name}");
    }
}
