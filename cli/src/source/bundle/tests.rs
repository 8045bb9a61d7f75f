//! Bundles of local directories, with the real Git.

use super::*;

fn sh(directory: &Path, script: &str) -> String {
    let identity =
        [("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b"), ("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@b")];
    let output = Command::new("sh").args(["-ec", script]).current_dir(directory).envs(identity).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn repository() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    sh(
        directory.path(),
        "git init -q -b main . && echo one > kept && echo two > gone && git add . && git commit -qm first && git tag v1",
    );
    sh(directory.path(), "git remote add origin https://me:secret@example.com/a/b.git");
    directory
}

#[test]
fn a_bundle_holds_head_its_branch_and_tags_and_never_a_token() {
    let repository = repository();
    let scratch = tempfile::tempdir().unwrap();
    let made = make(repository.path(), scratch.path(), false).unwrap();
    assert_eq!(
        (made.branch.as_str(), made.uncommitted, made.origin.as_str()),
        ("refs/heads/main", 0, "https://example.com/a/b.git")
    );
    let heads = sh(scratch.path(), "git bundle list-heads source.bundle");
    for name in ["HEAD", "refs/heads/main", "refs/tags/v1"] {
        assert!(heads.contains(&format!("{} {name}", made.commit)), "{heads}");
    }
    assert!(is_bundle(&made.file).unwrap());
}

#[test]
fn uncommitted_changes_come_along_and_the_repository_is_left_as_it_was() {
    let repository = repository();
    sh(
        repository.path(),
        "echo changed > kept && rm gone && echo new > added && echo ignored > skip && echo skip > .git/info/exclude",
    );
    let state = || sh(repository.path(), "git status --porcelain; git for-each-ref; find .git -type f | sort");
    let before = state();
    let scratch = tempfile::tempdir().unwrap();
    let made = make(repository.path(), scratch.path(), true).unwrap();
    assert_eq!(before, state());
    let clone = "git clone -q source.bundle c && cd c && git fetch -q ../source.bundle refs/crannog/changes && git ls-tree -r --name-only FETCH_HEAD";
    assert_eq!((made.changes_ref.as_str(), sh(scratch.path(), clone).as_str()), (CHANGES_REF, "added\nkept"));
}

#[test]
fn what_cannot_be_bundled_says_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let message = |directory: &Path| make(directory, scratch.path(), false).err().expect("refused").to_string();
    assert!(message(empty.path()).contains("not in a Git repository"));
    sh(empty.path(), "git init -q .");
    assert!(message(empty.path()).contains("no commit yet"));
    let full = repository();
    sh(full.path(), "echo x >> kept && git commit -qam second");
    sh(scratch.path(), &format!("git clone -q --depth 1 file://{} shallow", full.path().display()));
    assert!(message(&scratch.path().join("shallow")).contains("shallow"));
}

#[test]
fn a_detached_head_and_a_linked_worktree_are_bundled_too() {
    let repository = repository();
    sh(repository.path(), "git checkout -q --detach");
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(make(repository.path(), scratch.path(), false).unwrap().branch, "");
    let other = scratch.path().join("linked");
    sh(repository.path(), &format!("git worktree add -q -b side {}", other.display()));
    let second = tempfile::tempdir().unwrap();
    assert_eq!(make(&other, second.path(), false).unwrap().branch, "refs/heads/side");
}
