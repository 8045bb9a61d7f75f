//! Saving, looking into and restoring trees: a restore is exact, an interruption loses nothing, damage is found.

mod kit;

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use content::check::check;
use content::diff::{What, diff};
use content::repository::Repository;
use content::store::{Listed, LocalStore, Store};
use content::tree::Node;
use content::{ContentError, Digest, read};
use kit::{Step, build, look, noise, restore_to, save_dir};
use proptest::prelude::*;

fn local(root: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::open(root).expect("open").unwrap_or_else(|| LocalStore::create(root).expect("create")))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || {
        let free = proptest::collection::vec(prop_oneof![1u8..b'/', b'0'..], 1..9);
        prop_oneof![free, Just(b"-rf".to_vec()), Just(b"a\nb".to_vec()), Just(vec![0xff; 255]), Just(b"\xc3\xa9".to_vec())]
            .prop_filter("a name", |name| name != b"." && name != b"..")
    };
    let step = prop_oneof![
        3 => (any::<u8>(), name()).prop_map(|(n, name)| Step::Dir(n, name)),
        4 => (any::<u8>(), name(), 0usize..9_000).prop_map(|(n, name, size)| Step::File(n, name, size)),
        1 => (any::<u8>(), name(), 0usize..5_000_000).prop_map(|(n, name, size)| Step::File(n, name, size)),
        1 => (any::<u8>(), name(), 8u32..40_000_000).prop_map(|(n, name, hole)| Step::Sparse(n, name, hole)),
        2 => (any::<u8>(), name(), any::<u8>()).prop_map(|(n, name, of)| Step::Link(n, name, of)),
        2 => (any::<u8>(), name(), proptest::collection::vec(1u8.., 1..300)).prop_map(|(n, a, b)| Step::Symlink(n, a, b)),
        1 => (any::<u8>(), name()).prop_map(|(n, name)| Step::Fifo(n, name)),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(n, mode)| Step::Mode(n, mode)),
        2 => (any::<u8>(), any::<i32>(), any::<u32>()).prop_map(|(n, s, ns)| Step::Time(n, s, ns)),
        1 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..2000)).prop_map(|(n, value)| Step::Xattr(n, value)),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn a_restored_tree_is_the_one_that_was_saved(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        build(&source, &steps);
        let store = local(&dir.path().join("store"));
        let receipt = save_dir(&store, &source, None).unwrap();
        let before = look(&source);
        prop_assert_eq!(receipt.entries as usize + 1, before.len());
        restore_to(&store, receipt.snapshot, &dir.path().join("back")).unwrap();
        prop_assert_eq!(look(&dir.path().join("back")), before);
        prop_assert_eq!(check(&store, true).unwrap().problems, vec![]);
    }
}

/// A tree with something of everything, in a fresh directory.
fn sample() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("temp dir");
    let source = dir.path().join("source");
    fs::create_dir(&source).expect("dir");
    let name = |text: &str| text.as_bytes().to_vec();
    let steps = [
        Step::File(0, name("big"), 6_000_000),
        Step::Dir(0, name("sub")),
        Step::File(1, name("small"), 100),
        Step::File(1, name("same"), 100),
        Step::Sparse(1, name("sparse"), 300_000),
        Step::Link(1, name("link"), 0),
        Step::Symlink(0, name("to"), name("/etc/passwd")),
    ];
    build(&source, &steps);
    (dir, source)
}

#[test]
fn any_range_of_a_file_is_read_without_a_restore() {
    let (dir, source) = sample();
    let store = local(&dir.path().join("store"));
    let receipt = save_dir(&store, &source, None).expect("save");
    let repository = Repository::open(store).expect("open");
    let (snapshot, mut reader) = (repository.snapshot(receipt.snapshot).expect("snapshot"), repository.reader());
    for path in ["big", "sub/sparse", "sub/small"] {
        let whole = fs::read(source.join(path)).expect("read");
        let Node::File(file) = read::find(&mut reader, &snapshot, path.as_bytes()).expect("find").node else { panic!("a file") };
        let size = whole.len();
        for (at, length) in [(0, size), (1, size), (size / 2, 1_000_000), (size - 1, 1), (size, 5), (299_990, 30)] {
            let mut out = Vec::new();
            read::copy(&mut reader, &file, at as u64, length as u64, &mut out).expect("copy");
            assert!(out == whole[at.min(size)..(at + length).min(size)], "{path} {at} {length}");
        }
    }
    read::find(&mut reader, &snapshot, b"sub/small/x").expect_err("below a file");
}

#[test]
fn a_save_of_what_did_not_change_reads_and_stores_nothing_of_it() {
    let (dir, source) = sample();
    let (store, cache) = (local(&dir.path().join("store")), dir.path().join("cache"));
    // The cache trusts no change younger than a second, and its clock is the files' own: so make the files old by
    // waiting for their file system's clock, not for a fixed time.
    let old = fs::metadata(source.join("sub")).expect("stat").modified().expect("time");
    while old.elapsed().is_ok_and(|age| age.as_millis() < 1100) {
        std::thread::yield_now();
    }
    let first = save_dir(&store, &source, Some(&cache)).expect("save");
    let second = save_dir(&store, &source, Some(&cache)).expect("save");
    assert_eq!((second.changed, second.tree), (0, first.tree));
    fs::write(source.join("sub/small"), b"another").expect("write");
    let third = save_dir(&store, &source, Some(&cache)).expect("save");
    assert_eq!((third.changed, third.head), (1, Some(("main".to_owned(), 3))));
    assert!(third.stored < 3000, "{} bytes for seven", third.stored);
    let repository = Repository::open(store).expect("open");
    let changes = diff(&mut repository.reader(), first.tree, third.tree).expect("diff");
    let changes: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.change)).collect();
    assert_eq!(changes, [("sub/small", What::Content)]);
}

#[test]
fn an_empty_directory_does_not_replace_a_full_one() {
    let (dir, source) = sample();
    let store = local(&dir.path().join("store"));
    let first = save_dir(&store, &source, None).expect("save");
    fs::create_dir(dir.path().join("empty")).expect("dir");
    let refused = save_dir(&store, &dir.path().join("empty"), None).expect_err("refused");
    assert!(matches!(refused, ContentError::Shrunk { new: 0, .. }), "{refused}");
    assert_eq!(Repository::open(store).expect("open").resolve("main").expect("head"), first.snapshot);
}

#[test]
fn a_restore_overwrites_nothing_and_leaves_nothing_behind_when_it_fails() {
    let (dir, source) = sample();
    let store = local(&dir.path().join("store"));
    let receipt = save_dir(&store, &source, None).expect("save");
    restore_to(&store, receipt.snapshot, &source).expect_err("taken");
    let pack = store.list("packs").expect("list").remove(0).key;
    let path = dir.path().join("store").join(&pack);
    let mut bytes = fs::read(&path).expect("read");
    bytes[10] ^= 1;
    fs::write(&path, bytes).expect("damage");
    restore_to(&store, receipt.snapshot, &dir.path().join("back")).expect_err("damaged");
    let left: Vec<_> = fs::read_dir(dir.path()).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_file_that_is_written_while_it_is_saved_is_some_state_of_it_or_listed() {
    let (dir, source) = sample();
    let (store, path) = (local(&dir.path().join("store")), source.join("busy"));
    fs::write(&path, vec![0; 8_000_000]).expect("write");
    let (file, stop) = (fs::File::options().write(true).open(&path).expect("open"), AtomicBool::new(false));
    let receipt = std::thread::scope(|scope| {
        // In small steps and without a pause, so that each reading meets at least two states.
        scope.spawn(|| {
            for step in 0u64.. {
                let state = [(step / 2000) as u8 ^ 1; 4000];
                file.write_all_at(&state, step % 2000 * 4000).expect("write");
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let receipt = save_dir(&store, &source, None);
        stop.store(true, Ordering::Relaxed);
        receipt
    });
    let receipt = receipt.expect("save");
    restore_to(&store, receipt.snapshot, &dir.path().join("back")).expect("restore");
    let back = fs::read(dir.path().join("back/busy")).expect("read");
    let mixed = back.iter().any(|byte| *byte != back[0]);
    assert!(receipt.fuzzy == ["busy"] || !mixed, "mixed and not listed");
}

/// A store whose writes stop working: the process "dies" before or after one of them.
struct Dying {
    inner: Arc<dyn Store>,
    left: AtomicUsize,
    applied: bool,
}

impl Dying {
    fn write(&self, key: &str, write: impl FnOnce() -> Result<bool, ContentError>) -> Result<bool, ContentError> {
        let dead = || ContentError::store("write", key)(std::io::Error::other("killed"));
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(1) if self.applied => write().and_then(|_| Err(dead())),
            Ok(2..) => write(),
            _ => Err(dead()),
        }
    }
}

impl Store for Dying {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ContentError> {
        self.inner.get(key)
    }
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, ContentError> {
        self.inner.get_range(key, range)
    }
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<bool, ContentError> {
        self.write(key, || self.inner.put_if_absent(key, bytes))
    }
    fn compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, ContentError> {
        self.write(key, || self.inner.compare_and_set(key, expected, new))
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, ContentError> {
        self.inner.list(prefix)
    }
    fn delete(&self, key: &str) -> Result<(), ContentError> {
        self.inner.delete(key)
    }
}

#[test]
fn a_save_that_dies_at_any_write_leaves_the_last_one_and_the_next_one_succeeds() {
    for (at, applied) in (1..=5).flat_map(|at| [(at, false), (at, true)]) {
        let (dir, source) = sample();
        let inner = local(&dir.path().join("store"));
        let first = save_dir(&inner, &source, None).expect("save");
        let before = look(&source);
        fs::write(source.join("sub/new"), noise(at, 2_000_000)).expect("write");
        let dying: Arc<dyn Store> = Arc::new(Dying { inner: inner.clone(), left: AtomicUsize::new(at), applied });
        let died = save_dir(&dying, &source, None);
        // Four writes: chunks, trees, snapshot, head. At the fifth there is nothing left to break.
        assert_eq!(died.is_err(), at < 5, "write {at}");
        assert_eq!(check(&inner, true).expect("check").problems, vec![], "write {at}, applied {applied}");
        restore_to(&inner, first.snapshot, &dir.path().join("old")).expect("the last one");
        assert_eq!(look(&dir.path().join("old")), before);
        let next = save_dir(&inner, &source, None).expect("the next one");
        assert!(!applied || at == 5 || next.stored < 100_000, "what arrived was stored again: {}", next.stored);
        restore_to(&inner, next.snapshot, &dir.path().join("new")).expect("restore");
        assert_eq!(look(&dir.path().join("new")), look(&source));
    }
}

#[test]
fn a_flipped_bit_of_any_object_is_found_and_so_is_a_missing_object() {
    let (dir, source) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    fs::write(source.path().join("text"), "some text, some text, some text").expect("write");
    fs::create_dir(source.path().join("sub")).expect("dir");
    fs::write(source.path().join("sub/noise"), noise(1, 400)).expect("write");
    let store = local(dir.path());
    save_dir(&store, source.path(), None).expect("save");
    for prefix in ["packs", "snapshots", "heads"] {
        for listed in store.list(prefix).expect("list") {
            let path = dir.path().join(&listed.key);
            let whole = fs::read(&path).expect("read");
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                fs::write(&path, bytes).expect("damage");
                let report = check(&store, true).expect("check");
                assert!(!report.problems.is_empty(), "{} byte {at}", listed.key);
            }
            fs::remove_file(&path).expect("remove");
            if prefix != "heads" {
                assert!(!check(&store, false).expect("check").problems.is_empty(), "{} missing", listed.key);
            }
            fs::write(&path, whole).expect("repair");
        }
    }
    assert_eq!(check(&store, true).expect("check").problems, vec![]);
}

#[test]
fn check_names_the_paths_that_a_damaged_pack_touches() {
    let (dir, source) = sample();
    let store = local(&dir.path().join("store"));
    let receipt = save_dir(&store, &source, None).expect("save");
    let repository = Repository::open(store.clone()).expect("open");
    let at = repository.find(content::index::Kind::Chunks, Digest::of(&noise(100, 100))).expect("the chunk of small");
    let key = at.pack.key("packs");
    let path = dir.path().join("store").join(&key);
    let mut bytes = fs::read(&path).expect("read");
    bytes[at.frame.offset as usize + 3] ^= 1;
    fs::write(&path, bytes).expect("damage");
    assert_eq!(check(&store, false).expect("structure").problems, vec![]);
    let report = check(&store, true).expect("data");
    let touched: Vec<_> = report.problems.iter().flat_map(|problem| &problem.paths).collect();
    assert!(touched.contains(&&(receipt.snapshot, "sub/small".to_owned())), "{report:?}");
    assert!(touched.contains(&&(receipt.snapshot, "sub/same".to_owned())), "{report:?}");
    assert_eq!(report.problems[0].object, key);
}
