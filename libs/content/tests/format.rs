//! The encodings: what is written today is what was written then, it comes back the same, and damage is refused.

use content::frame;
use content::head::Head;
use content::index::{Index, Kind, Trailer};
use content::pack;
use content::snapshot::{self, Root, Snapshot};
use content::tree::{Chunk, Entry, File, Meta, Node, Subtree, Totals, Tree, link_group};
use content::{Digest, FormatError};
use proptest::prelude::*;

fn meta() -> Meta {
    let xattrs = vec![(b"user.a".to_vec(), vec![]), (b"user.b".to_vec(), vec![0, 255])];
    Meta { mode: 0o4755, uid: 0, gid: 65_534, mtime_s: -1, mtime_ns: 999_999_999, xattrs }
}

fn entry(name: &[u8], node: Node) -> Entry {
    Entry { name: name.to_vec(), meta: meta(), node }
}

fn tree() -> Tree {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let chunks = vec![Chunk { digest: a, length: 2 << 20 }, Chunk { digest: b, length: 7 }];
    let big = File { size: (2 << 20) + 7, digest: Some(Digest::of(b"whole")), chunks, ..File::default() };
    let one = vec![Chunk { digest: a, length: 3 }];
    let holes = vec![(0, 4096), (4099, 1 << 40)];
    let group = link_group(b"first");
    let sparse = File { link_group: group, size: (1 << 40) + 4099, holes, digest: Some(a), chunks: one };
    let below = Subtree { digest: b, totals: Totals { entries: 3, files: 2, bytes: 1 } };
    Tree {
        entries: vec![
            entry(b"-rf\n\xff", Node::File(big)),
            entry(b"dir", Node::Dir(below)),
            entry(b"empty", Node::File(File::default())),
            entry(b"fifo", Node::Fifo),
            entry(b"link", Node::Symlink(b"../..\xfe".to_vec())),
            entry(b"sparse", Node::File(sparse)),
        ],
    }
}

fn snapshot() -> Snapshot {
    let omitted = vec![snapshot::Omitted { path: "a\\x0a".into(), why: "a socket".into() }];
    Snapshot {
        bytes: 1,
        created: 1_700_000_000,
        creator: "golden".into(),
        entries: 6,
        files: 3,
        fuzzy: vec!["log".into()],
        fuzzy_count: 1,
        image: None,
        kind: snapshot::Kind::Running,
        omitted,
        omitted_count: 1,
        parent: Some(Digest::of(b"parent")),
        root: Root::new(Digest::of(b"root"), &meta()),
        version: snapshot::VERSION,
    }
}

/// A fixture; it is never written again once a release has written its like.
fn golden(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read(path).expect("fixture")
}

fn sample_pack() -> pack::Pack {
    let (mut frames, mut packer) = (frame::Builder::new().expect("zstd"), pack::Builder::new(Kind::Chunks));
    for blob in [&b"hello"[..], &[7; 300_000], b"!"] {
        if let Some(frame) = frames.push(Digest::of(blob), blob) {
            assert!(packer.push(&frame).is_none());
        }
    }
    packer.push(&frames.finish().expect("the last frame"));
    packer.finish().expect("a pack")
}

#[test]
fn a_tree_written_by_the_first_release_is_read_and_written_the_same() {
    let kept = golden("tree-1.bin");
    assert_eq!(Tree::decode(&kept).expect("decodes"), tree());
    assert_eq!(tree().encode(), kept);
}

#[test]
fn a_snapshot_and_a_head_written_by_the_first_release_are_read() {
    let kept = golden("snapshot-1.json");
    let name = Digest::of(&kept);
    assert_eq!(Snapshot::decode(name, &kept).expect("decodes"), snapshot());
    let head = Head::following("main", Some(&Head::following("main", None, Digest::of(b"old"))), name);
    let kept = golden("head-1.json");
    assert_eq!(Head::decode("main", &kept).expect("decodes"), head);
    assert_eq!(head.generation, 2);
    Head::decode("other", &kept).expect_err("swapped");
}

/// The bytes of zstd may differ between its releases, so a pack is only read, never compared.
#[test]
fn a_pack_written_by_the_first_release_is_read() {
    let kept = golden("pack-1.bin");
    let index = read_index(&kept, None).expect("index");
    let plain = [&b"hello"[..], &[7; 300_000], b"!"];
    for blob in &index.blobs {
        let record = index.frames[blob.frame as usize];
        let stored = kept[record.offset as usize..][..record.stored as usize].to_vec();
        let bytes = frame::open(stored, record.encoding, record.plain).expect("opens");
        let bytes = &bytes[blob.offset as usize..][..blob.length as usize];
        assert_eq!(Digest::of(bytes), blob.digest);
        assert!(plain.contains(&bytes));
    }
    assert_eq!(index.blobs.len(), 3);
}

fn read_index(pack: &[u8], name: Option<Digest>) -> Result<Index, FormatError> {
    let size = pack.len() as u64;
    let trailer = Trailer::decode(&pack[pack.len() - 64..], size)?;
    let tail = &pack[trailer.index_offset as usize..];
    Index::decode(name.unwrap_or_else(|| Digest::of(tail)), tail, size)
}

#[test]
fn every_byte_of_a_pack_is_covered() {
    let pack = sample_pack();
    let frames = &pack.index.frames;
    for at in 0..pack.bytes.len() {
        let mut bytes = pack.bytes.clone();
        bytes[at] ^= 1;
        let seen = match read_index(&bytes, Some(pack.digest)) {
            Err(_) => true,
            Ok(index) => frames.iter().zip(&index.frames).any(|(frame, read)| {
                let stored = &bytes[frame.offset as usize..][..frame.stored as usize];
                Digest::of(stored) != read.digest
            }),
        };
        assert!(seen, "byte {at}");
    }
}

#[test]
fn every_byte_of_a_snapshot_and_a_head_is_covered() {
    let (bytes, head) = (snapshot().encode(), Head::following("main", None, Digest::of(b"s")).encode());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        Snapshot::decode(Digest::of(&bytes), &changed).expect_err("altered");
    }
    for at in 0..head.len() {
        let mut changed = head.clone();
        changed[at] ^= 1;
        Head::decode("main", &changed).expect_err("altered");
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = tree().encode();
    bytes[8] = 2;
    assert_eq!(Tree::decode(&bytes), Err(FormatError::Version { object: "tree", found: 2 }));
    let text = String::from_utf8(snapshot().encode()).expect("text").replace("\"version\":1", "\"version\":9");
    let refused = Snapshot::decode(Digest::of(text.as_bytes()), text.as_bytes());
    assert_eq!(refused, Err(FormatError::Version { object: "snapshot", found: 9 }));
}

#[test]
fn snapshots_in_another_spelling_are_refused() {
    let text = String::from_utf8(snapshot().encode()).expect("text").replacen(':', ": ", 1);
    Snapshot::decode(Digest::of(text.as_bytes()), text.as_bytes()).expect_err("not canonical");
}

fn any_node() -> impl Strategy<Value = Node> {
    let digest = any::<[u8; 32]>().prop_map(Digest);
    let file = (any::<u32>(), 1u64..2_000_000, proptest::collection::vec((1u64..9_000_000, 1u64..1 << 40), 0..3), digest);
    let file = file.prop_map(|(group, tail, spans, digest)| {
        let (mut at, mut holes) = (0, Vec::new());
        for (gap, length) in spans {
            holes.push((at + gap, length));
            at += gap + length;
        }
        let mut file = File { link_group: u64::from(group) * 2 + 1, size: at + tail, holes, ..File::default() };
        let mut left = file.data_length();
        while left > 0 {
            let length = left.min(1 << 20);
            file.chunks.push(Chunk { digest, length: length as u32 });
            left -= length;
        }
        file.digest = Some(digest);
        file
    });
    prop_oneof![
        file.prop_map(Node::File),
        proptest::collection::vec(1u8.., 1..40).prop_map(Node::Symlink),
        Just(Node::Fifo),
        (any::<[u8; 32]>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(digest, entries, files, bytes)| {
            Node::Dir(Subtree { digest: Digest(digest), totals: Totals { entries, files, bytes } })
        }),
    ]
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let name = proptest::collection::vec(prop_oneof![1u8..b'/', b'0'..], 3..20);
    proptest::collection::btree_map(name, (any_node(), any::<i64>(), 0u32..1_000_000_000, 0u32..0o10000), 0..12).prop_map(|map| {
        let entries = map.into_iter().map(|(name, (node, mtime_s, mtime_ns, mode))| {
            let meta = Meta { mtime_s, mtime_ns, mode, ..meta() };
            Entry { name, meta, node }
        });
        Tree { entries: entries.collect() }
    })
}

proptest! {
    #[test]
    fn a_tree_comes_back(tree in any_tree()) {
        prop_assert_eq!(Tree::decode(&tree.encode()).unwrap(), tree);
    }

    #[test]
    fn what_decodes_has_no_other_encoding(tree in any_tree(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = tree.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = Tree::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Trailer::decode(&noise, noise.len() as u64);
        let _ = Index::decode(Digest::of(&noise), &noise, noise.len() as u64);
        let _ = Head::decode("x", &noise);
        let headed = [&b"CRNGTREE\x01"[..], &noise].concat();
        if let Ok(read) = Tree::decode(&headed) {
            prop_assert_eq!(read.encode(), headed);
        }
    }
}
