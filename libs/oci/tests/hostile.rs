//! Layers made to do harm, and harmless ones that look odd. Each is applied to a root that lies in a directory with
//! canaries; whatever happens, nothing outside the root may have changed, and nothing inside may be a device.

#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/ground.rs"]
mod ground;
#[path = "hostile/raw.rs"]
mod raw;

use corpus::{Case, Expect};
use domain::class::Classify;
use ground::Ground;

#[test]
fn no_layer_of_the_corpus_reaches_beyond_its_root() {
    let cases = corpus::all();
    assert!(cases.len() >= 90, "the corpus has {} cases", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(|case| judge(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn judge(case: &Case) -> Result<(), String> {
    let ground = Ground::new();
    let before = ground.outside();
    let result = ground.apply(&case.layers, case.limits);
    let name = case.name;
    if ground.outside() != before {
        return Err(format!("{name}: something outside the root changed"));
    }
    ground.check_inside().map_err(|problem| format!("{name}: {problem}"))?;
    match (&case.expect, result) {
        (Expect::Refused(reason), Err(error)) if error.reason() == *reason => Ok(()),
        (Expect::Refused(reason), Err(error)) => Err(format!("{name}: refused as {} ({error}), not {reason}", error.reason())),
        (Expect::Refused(reason), Ok(())) => Err(format!("{name}: applied, not refused as {reason}")),
        (Expect::Has(_), Err(error)) => {
            Err(format!("{name}: refused: {} {error} {:?}", error.reason(), std::error::Error::source(&error)))
        }
        (Expect::Has(wanted), Ok(())) => {
            let inside = ground.inside();
            let same = inside.iter().map(String::as_str).eq(wanted.iter().copied());
            if same { Ok(()) } else { Err(format!("{name}: the root has {inside:?}, not {wanted:?}")) }
        }
    }
}

#[test]
fn every_layer_cut_short_anywhere_is_refused_and_harms_nothing() {
    let whole =
        raw::Raw::new().dir("d").file("d/f", &[7; 700]).symlink("s", "d").pax(&[("path", b"d/long")]).file("x", b"data").end();
    let ground = Ground::new();
    let before = ground.outside();
    for length in (0..whole.len() - 1024).step_by(61) {
        ground.empty();
        let cut = whole[..length].to_vec();
        // A cut between two members is an archive without its end mark: its diff_id would tell.
        let between = raw::boundaries(&whole).contains(&length);
        let result = ground.apply(&[cut], None);
        assert!(between || result.is_err(), "cut at {length}");
        assert_eq!(ground.outside(), before, "cut at {length}");
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_noticed_or_harmless() {
    let whole = raw::Raw::new().dir("d").symlink("s", "/etc").hard_link("h", "s").file("d/f", b"data").end();
    let ground = Ground::new();
    let before = ground.outside();
    for index in 0..whole.len() {
        ground.empty();
        let mut flipped = whole.clone();
        flipped[index] ^= 1 << (index % 8);
        drop(ground.apply(&[flipped], None));
        assert_eq!(ground.outside(), before, "byte {index}");
        ground.check_inside().expect("no devices");
    }
}

#[test]
fn a_digest_that_does_not_fit_is_told() {
    let ground = Ground::new();
    let layer = raw::Raw::new().file("a", b"a").end();
    let wrong = oci::digest::Digest::of(b"something else");
    let error = ground.apply_as(&layer, &wrong).expect_err("another digest");
    assert_eq!(error.reason(), "DigestMismatch");
}

#[test]
fn a_layer_is_stopped_in_the_middle_when_it_is_told_to() {
    let ground = Ground::new();
    let layer = raw::Raw::new().file("a", b"a").end();
    let root = sys::beneath::open_own_dir(&ground.root()).expect("root");
    let mut budget = oci::layer::Budget::new(oci::layer::Limits::default());
    let stop = std::sync::atomic::AtomicBool::new(true);
    let result = oci::layer::apply(
        std::os::fd::AsFd::as_fd(&root),
        layer.as_slice(),
        &oci::digest::Digest::of(&layer),
        &mut budget,
        &stop,
    );
    assert_eq!(result.expect_err("stopped").reason(), "Aborted");
    assert_eq!(ground.inside(), Vec::<String>::new());
}
