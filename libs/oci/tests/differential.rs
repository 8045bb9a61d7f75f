//! The same archives read by us and by others: where all read them, they must mean the same.

#[path = "hostile/ground.rs"]
#[expect(dead_code, reason = "shared with the corpus, which uses more of it")]
mod ground;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use ground::Ground;

/// A tree with what archives find hard: long names, holes, several names, odd modes, attributes.
fn tree(at: &Path) -> std::io::Result<()> {
    let long = "long-".repeat(40);
    std::fs::create_dir_all(at.join("dir").join(&long).join(&long))?;
    std::fs::write(at.join("dir").join(&long).join(&long).join(&long), "deep")?;
    std::fs::write(at.join("setuid"), "x")?;
    std::fs::set_permissions(at.join("setuid"), std::fs::Permissions::from_mode(0o4711))?;
    std::fs::set_permissions(at.join("dir"), std::fs::Permissions::from_mode(0o1777))?;
    std::fs::hard_link(at.join("setuid"), at.join("second"))?;
    symlink(format!("/nowhere/{long}{long}"), at.join("link"))?;
    std::fs::write(at.join("naïve name\nwith a break"), "y")?;
    let sparse = std::fs::File::create(at.join("sparse"))?;
    std::os::unix::fs::FileExt::write_at(&sparse, b"middle", 1 << 20)?;
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", 5 << 20)?;
    sparse.set_len(6 << 20)
}

/// Everything that an archive keeps, but for what unpacking a directory changes.
fn summary(at: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(at).expect("list").flatten() {
        let name = format!("{prefix}{}", entry.file_name().display());
        let metadata = entry.path().symlink_metadata().expect("stat");
        let content = match metadata.file_type() {
            kind if kind.is_symlink() => std::fs::read_link(entry.path()).expect("link").display().to_string(),
            kind if kind.is_file() => oci::digest::Digest::of(&std::fs::read(entry.path()).expect("read")).to_string(),
            _ => String::new(),
        };
        let time = if metadata.is_symlink() { 0 } else { metadata.mtime() };
        found.push(format!("{name:?} {:o} {} {} {time} {content}", metadata.mode(), metadata.uid(), metadata.gid()));
        if metadata.is_dir() {
            summary(&entry.path(), &format!("{name}/"), found);
        }
    }
    found.sort();
}

fn unpacked(archive: &[u8]) -> (Ground, Vec<String>) {
    let ground = Ground::new();
    ground.apply(&[archive.to_vec()], None).expect("a good archive");
    let mut found = Vec::new();
    summary(&ground.root(), "", &mut found);
    (ground, found)
}

#[test]
fn what_gnu_tar_packs_in_any_format_comes_out_the_same() {
    let directory = tempfile::tempdir().expect("temp dir");
    let source = directory.path().join("source");
    std::fs::create_dir(&source).expect("source");
    tree(&source).expect("tree");
    let mut wanted = Vec::new();
    summary(&source, "", &mut wanted);
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=pax"],
        &["--format=pax", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
    ] {
        let output = Command::new("tar").args(options).arg("-C").arg(&source).args(["-cf", "-", "."]).output().expect("tar runs");
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        let (ground, found) = unpacked(&output.stdout);
        assert_eq!(found, wanted, "{options:?}");
        if options.contains(&"--sparse") {
            let blocks = std::fs::metadata(ground.root().join("sparse")).expect("sparse").blocks();
            assert!(blocks * 512 < 1 << 20, "{options:?}: the holes were filled: {blocks} blocks");
        }
    }
}

#[test]
fn what_the_tar_crate_packs_comes_out_the_same() {
    let directory = tempfile::tempdir().expect("temp dir");
    let source = directory.path().join("source");
    std::fs::create_dir(&source).expect("source");
    tree(&source).expect("tree");
    let mut wanted = Vec::new();
    summary(&source, "", &mut wanted);
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all("", &source).expect("pack");
    let (_ground, found) = unpacked(&builder.into_inner().expect("end"));
    assert_eq!(found, wanted);
}
