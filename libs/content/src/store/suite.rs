//! What every store must do; each implementation's tests call [`check`] with a way to open the same store again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Store;

/// Runs all of it against one empty store; `open` is called once for each of several clients.
pub(crate) fn check(open: &(dyn Fn() -> Box<dyn Store> + Sync)) {
    objects_are_written_once(open);
    ranges_are_exact(open);
    heads_move_only_from_what_was_read(open);
    one_of_many_wins(open);
    listings_are_whole(open);
}

fn objects_are_written_once(open: &dyn Fn() -> Box<dyn Store>) {
    let store = open();
    assert_eq!(store.get("packs/aa/one").expect("get"), None);
    assert!(store.put_if_absent("packs/aa/one", b"first").expect("put"));
    assert!(!store.put_if_absent("packs/aa/one", b"second").expect("put"));
    assert_eq!(open().get("packs/aa/one").expect("get").as_deref(), Some(&b"first"[..]));
    store.delete("packs/aa/one").expect("delete");
    store.delete("packs/aa/one").expect("delete bears repeating");
    assert_eq!(open().get("packs/aa/one").expect("get"), None);
}

fn ranges_are_exact(open: &dyn Fn() -> Box<dyn Store>) {
    let store = open();
    store.put_if_absent("packs/bb/two", b"0123456789").expect("put");
    assert_eq!(store.get_range("packs/bb/two", 3..6).expect("range"), b"345");
    store.get_range("packs/bb/two", 8..11).expect_err("beyond the end");
    store.get_range("packs/bb/absent", 0..1).expect_err("absent");
}

fn heads_move_only_from_what_was_read(open: &dyn Fn() -> Box<dyn Store>) {
    let store = open();
    assert!(!store.compare_and_set("heads/w", Some(b"old"), b"new").expect("absent is not old"));
    assert!(store.compare_and_set("heads/w", None, b"1").expect("first"));
    assert!(!store.compare_and_set("heads/w", None, b"2").expect("taken"));
    assert!(!store.compare_and_set("heads/w", Some(b"0"), b"2").expect("not as expected"));
    assert!(store.compare_and_set("heads/w", Some(b"1"), b"2").expect("as expected"));
    assert_eq!(open().get("heads/w").expect("get").as_deref(), Some(&b"2"[..]));
}

fn one_of_many_wins(open: &(dyn Fn() -> Box<dyn Store> + Sync)) {
    let (moved, put) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..8u8 {
            let (moved, put) = (&moved, &put);
            scope.spawn(move || {
                let store = open();
                let bytes = [client; 9];
                moved.fetch_add(store.compare_and_set("heads/race", None, &bytes).expect("set").into(), Ordering::SeqCst);
                put.fetch_add(store.put_if_absent("packs/cc/race", &bytes).expect("put").into(), Ordering::SeqCst);
            });
        }
    });
    assert_eq!((moved.into_inner(), put.into_inner()), (1, 1));
}

fn listings_are_whole(open: &dyn Fn() -> Box<dyn Store>) {
    let store = open();
    for key in ["snapshots/ab/x", "snapshots/aa/z", "snapshots/aa/y"] {
        store.put_if_absent(key, key.as_bytes()).expect("put");
    }
    let listed = open().list("snapshots").expect("list");
    let keys: Vec<_> = listed.iter().map(|listed| (listed.key.as_str(), listed.size)).collect();
    assert_eq!(keys, [("snapshots/aa/y", 14), ("snapshots/aa/z", 14), ("snapshots/ab/x", 14)]);
    assert_eq!(store.list("nothing").expect("list"), []);
}
