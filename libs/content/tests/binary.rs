//! The binary as a person or a script uses it; and killed, as machines do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(store: &Path, arguments: &[&str]) -> Output {
    command(store, arguments).output().expect("run")
}

fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crannog-content"));
    let cache = store.with_extension("cache");
    command.arg("--store").arg(format!("file://{}", store.display())).args(arguments).env("CRANNOG_CONTENT_CACHE", cache);
    command
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_directory_is_saved_looked_into_changed_compared_and_restored() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (store, source, back) = (dir.path().join("store"), dir.path().join("source"), dir.path().join("back"));
    fs::create_dir_all(source.join("src")).expect("dir");
    fs::write(source.join("src/main.rs"), "fn main() {}\n").expect("write");
    fs::write(source.join("README"), "read me").expect("write");
    let source = source.to_str().expect("text");
    let saved = run(&store, &["save", source, "-o", "json"]);
    let receipt = json(&saved);
    assert!(String::from_utf8_lossy(&saved.stderr).contains("made a new store"));
    assert_eq!((&receipt["entries"], &receipt["bytes"], &receipt["verified"]), (&3.into(), &20.into(), &true.into()));
    let first = receipt["snapshot"].as_str().expect("snapshot");
    assert_eq!(run(&store, &["cat", "main", "src/main.rs", "--offset", "3", "--length", "4"]).stdout, b"main");
    let listed = json(&run(&store, &["ls", &first[..8], "-o", "json"]));
    assert_eq!((&listed[0]["name"], &listed[1]["kind"]), (&"README".into(), &"directory".into()));
    fs::write(dir.path().join("source/new"), "new").expect("write");
    json(&run(&store, &["save", source, "-o", "json"]));
    assert_eq!(run(&store, &["diff", first, "main"]).stdout, b"+ new\n");
    let restored = json(&run(&store, &["restore", "main", back.to_str().expect("text"), "src", "-o", "json"]));
    assert_eq!(restored["entries"], 2);
    assert_eq!(fs::read(back.join("src/main.rs")).expect("read"), b"fn main() {}\n");
    assert!(!back.join("README").exists());
    assert_eq!(json(&run(&store, &["check", "--read-data", "-o", "json"]))["problems"], serde_json::json!([]));
    assert_eq!(json(&run(&store, &["stats", "-o", "json"]))["heads"][0]["generation"], 2);
}

#[test]
fn bad_input_gets_a_hint_and_a_code_of_its_own() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = dir.path().join("store");
    let codes = [
        (3, run(&store, &["ls", "main"])),
        (2, run(Path::new("relative"), &["stats"])),
        (3, run(&store, &["save", "/nowhere/at/all"])),
    ];
    for (code, output) in codes {
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!store.exists(), "nothing was made by what failed");
}

#[test]
fn a_save_that_is_killed_at_any_moment_leaves_the_last_one_whole() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (store, source) = (dir.path().join("store"), dir.path().join("source"));
    fs::create_dir(&source).expect("dir");
    for file in 0..300u32 {
        let mut bytes = vec![0; 60_000];
        blake3::Hasher::new().update(&file.to_le_bytes()).finalize_xof().fill(&mut bytes);
        fs::write(source.join(file.to_string()), bytes).expect("write");
    }
    let path = source.to_str().expect("text");
    let mut last = json(&run(&store, &["save", path, "--no-cache", "-o", "json"]))["snapshot"].clone();
    for round in 0..8u32 {
        for file in (round..300).step_by(7) {
            fs::write(source.join(file.to_string()), format!("{round} {file}").repeat(4000)).expect("write");
        }
        let mut child =
            command(&store, &["save", path, "--no-cache"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run");
        // The moment is chosen by what the store has got, not by a clock: the n-th look at it.
        for _ in 0..round * 400 {
            std::hint::black_box(fs::read_dir(store.join("packs")).expect("packs").count());
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        let report = json(&run(&store, &["check", "--read-data", "-o", "json"]));
        assert_eq!(report["problems"], serde_json::json!([]), "round {round}");
        let head = json(&run(&store, &["stats", "-o", "json"]))["heads"][0].clone();
        let moved = head["previous"] == last;
        assert!(moved || head["snapshot"] == last, "round {round}: {head}");
        last = json(&run(&store, &["save", path, "--no-cache", "-o", "json"]))["snapshot"].clone();
    }
}
