//! Layers made at random. Whatever they ask for, nothing outside the root changes; and where they ask for files,
//! directories and whiteouts, the root is what a model of the image spec says it is.

#[path = "hostile/ground.rs"]
#[expect(dead_code, reason = "shared with the corpus, which uses more of it")]
mod ground;
#[path = "model/overlay.rs"]
mod overlay;
#[path = "hostile/raw.rs"]
#[expect(dead_code, reason = "shared with the corpus, which uses more of it")]
mod raw;

use ground::Ground;
use overlay::{Model, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use raw::Raw;

/// Paths of few names, so that they meet.
fn path() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b", "c"]), 1..=3).prop_map(|names| names.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => path().prop_map(Step::File),
        3 => path().prop_map(Step::Directory),
        2 => path().prop_map(Step::Whiteout),
        1 => path().prop_map(Step::Opaque),
    ]
}

/// Names that may be anything a hostile author thinks of.
fn wild_path() -> impl Strategy<Value = String> {
    let names = vec!["a", "b", "l", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh...", "canary", "file", "passwd", "proc", "self"];
    vec(prop::sample::select(names), 0..=5).prop_map(|names| names.join("/"))
}

#[derive(Debug, Clone)]
struct Wild {
    kind: u8,
    path: String,
    link: String,
    data: Vec<u8>,
    long: bool,
}

fn wild() -> impl Strategy<Value = Wild> {
    let kinds = prop::sample::select(b"0000111222255533467".to_vec());
    (kinds, wild_path(), wild_path(), vec(any::<u8>(), 0..40), any::<bool>()).prop_map(|(kind, path, link, data, long)| Wild {
        kind,
        path,
        link,
        data,
        long,
    })
}

fn write(raw: Raw, member: &Wild) -> Raw {
    let has_data = matches!(member.kind, b'0' | b'7');
    let raw = match member.long && !member.path.is_empty() {
        true => raw.pax(&[("path", member.path.as_bytes())]),
        false => raw,
    };
    let size = if has_data { member.data.len() as u64 } else { 0 };
    let raw = raw.member(member.kind, &member.path, &member.link, |header| header.octal(124, 12, size));
    if has_data { raw.data(&member.data) } else { raw }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_random_layers_reach_beyond_their_root(layers in vec(vec(wild(), 1..12), 1..4)) {
        let ground = Ground::new();
        let before = ground.outside();
        let layers: Vec<_> = layers.iter().map(|members| members.iter().fold(Raw::new(), write).end()).collect();
        drop(ground.apply(&layers, None));
        prop_assert_eq!(ground.outside(), before);
        prop_assert_eq!(ground.check_inside(), Ok(()));
    }

    #[test]
    fn random_bytes_in_good_headers_are_noticed_or_harmless(
        members in vec(wild(), 1..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let ground = Ground::new();
        let before = ground.outside();
        let mut layer = members.iter().fold(Raw::new(), write).end();
        for (index, byte) in changes {
            let at = index.index(layer.len());
            layer[at] = byte;
        }
        mend(&mut layer);
        drop(ground.apply(&[layer], None));
        prop_assert_eq!(ground.outside(), before);
        prop_assert_eq!(ground.check_inside(), Ok(()));
    }

    #[test]
    fn the_root_is_what_the_image_spec_says(layers in vec(vec(step(), 0..10), 1..4)) {
        let ground = Ground::new();
        let mut model = Model::default();
        let mut is_fine = true;
        for steps in &layers {
            is_fine = is_fine && model.apply(steps);
        }
        let written: Vec<_> = layers.iter().map(|steps| steps.iter().fold(Raw::new(), overlay::write).end()).collect();
        let result = ground.apply(&written, None);
        prop_assert_eq!(result.is_ok(), is_fine, "{:?}", result);
        if is_fine {
            prop_assert_eq!(ground.inside(), model.listing());
        }
    }
}

/// Makes the checksums of all headers right again, so that what was changed gets past them.
fn mend(layer: &mut [u8]) {
    for block in layer.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
