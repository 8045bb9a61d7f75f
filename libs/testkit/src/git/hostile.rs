//! Repositories that try to run a program, or to write outside their worktree, when they are cloned: what CVEs were made
//! of, and what could be. Each tries to create the canary file; nothing may.

use std::path::Path;

use super::Fixture;

/// One repository.
pub struct Hostile {
    /// What it tries.
    pub name: &'static str,
    make: fn(&Fixture, &Attempt) -> anyhow::Result<()>,
}

/// What it would run.
pub struct Attempt {
    /// Shell text that creates the canary.
    pub shell: String,
    canary: String,
}

impl Hostile {
    /// The repository that creates `canary` where it succeeds.
    pub fn make(&self, canary: &Path) -> anyhow::Result<Fixture> {
        let fixture = Fixture::new()?;
        let canary = canary.display().to_string();
        (self.make)(&fixture, &Attempt { shell: format!("touch {canary}"), canary })?;
        Ok(fixture)
    }
}

/// All of them.
pub fn corpus() -> Vec<Hostile> {
    let mut corpus = vec![
        Hostile { name: "a filter of .gitattributes with its program in the tree's .gitconfig", make: filter },
        Hostile { name: "hooks in the directories that tools use", make: hook_directories },
        Hostile { name: "a bare repository with fsmonitor and hooks inside the tree", make: embedded_bare },
        Hostile { name: "fsmonitor, sshCommand and an alias in .gitmodules", make: settings_in_gitmodules },
        Hostile { name: "a custom transfer in .lfsconfig", make: lfsconfig },
        Hostile { name: "an encoding and drivers in .gitattributes", make: attributes },
        Hostile { name: "names of files with control characters and escape sequences", make: odd_names },
        Hostile { name: "an entry ..", make: |f, a| hook_below(f, a, &[b".."]) },
        Hostile { name: "a path in one name", make: |f, a| file_named(f, a, b"../../canary") },
        Hostile { name: "an absolute path in one name", make: |f, a| file_named(f, a, a.canary.as_bytes()) },
        Hostile { name: "the same name twice, link and directory", make: link_and_directory },
        Hostile { name: "a link named .git", make: |f, _| link_named(f, b".git") },
        Hostile { name: "a link named .gitmodules", make: |f, _| link_named(f, b".gitmodules") },
        Hostile { name: "a file named .git that names a repository in the tree", make: gitfile },
        Hostile { name: "a ref that is an option", make: refs_that_are_options },
        Hostile { name: "an executable named git and a PATH in the tree", make: own_git },
    ];
    corpus.extend(GIT_DIRECTORIES);
    corpus.extend(SUBMODULES);
    corpus
}

/// What some file system takes for `.git`, with a hook below.
const GIT_DIRECTORIES: [Hostile; 7] = [
    Hostile { name: ".git/hooks", make: |f, a| hook_below(f, a, &[b".git", b"hooks"]) },
    Hostile { name: ".GIT/hooks", make: |f, a| hook_below(f, a, &[b".GIT", b"hooks"]) },
    Hostile { name: "git~1/hooks", make: |f, a| hook_below(f, a, &[b"git~1", b"hooks"]) },
    Hostile { name: ".git with a space", make: |f, a| hook_below(f, a, &[b".git ", b"hooks"]) },
    Hostile { name: ".git with a dot", make: |f, a| hook_below(f, a, &[b".git.", b"hooks"]) },
    Hostile { name: ".git with a stream", make: |f, a| hook_below(f, a, &[b".git::$INDEX_ALLOCATION", b"hooks"]) },
    Hostile { name: ".git with an ignored character", make: |f, a| hook_below(f, a, &[b".g\xe2\x80\x8cit", b"hooks"]) },
];

/// Submodules that mean harm by their path, name, URL or update.
const SUBMODULES: [Hostile; 10] = [
    Hostile {
        name: "submodule: URL is an option",
        make: |f, a| submodule(f, "x", "x", &format!("--upload-pack={}", a.shell), ""),
    },
    Hostile {
        name: "submodule: URL is a helper",
        make: |f, a| submodule(f, "x", "x", &format!("ext::sh -c {}", a.shell.replace(' ', "% ")), ""),
    },
    Hostile { name: "submodule: URL is a file", make: |f, _| submodule(f, "x", "x", "file:///etc", "") },
    Hostile { name: "submodule: URL is a path", make: |f, _| submodule(f, "x", "x", "/etc", "") },
    Hostile {
        name: "submodule: URL is an option of ssh",
        make: |f, a| submodule(f, "x", "x", &format!("ssh://-oProxyCommand={}/x", a.shell), ""),
    },
    Hostile {
        name: "submodule: update is a command",
        make: |f, a| submodule(f, "x", "x", "../x", &format!("update = !{}\n", a.shell)),
    },
    Hostile { name: "submodule: its name leaves .git/modules", make: |f, _| submodule(f, "../../x", "x", "../x", "") },
    Hostile { name: "submodule: its path is in .git", make: |f, _| submodule(f, "x", ".git/hooks", "../x", "") },
    Hostile { name: "submodule: its path ends with a carriage return", make: |f, _| submodule(f, "x", "\"sub\\r\"", "../x", "") },
    Hostile { name: "submodule: its path is a link into .git", make: submodule_through_a_link },
];

fn filter(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    fixture.write(".gitattributes", "* filter=evil diff=evil merge=evil\n")?;
    let program = &attempt.shell;
    fixture.write(
        ".gitconfig",
        format!("[filter \"evil\"]\n\tsmudge = {program}; cat\n\tprocess = {program}\n\trequired = true\n"),
    )?;
    fixture.write("file", "content\n")?;
    fixture.commit("filter").map(drop)
}

fn hook_directories(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    for directory in [".githooks", "hooks", ".husky", "githooks"] {
        for hook in ["post-checkout", "post-merge", "reference-transaction", "post-index-change", "fsmonitor-watchman"] {
            let path = format!("{directory}/{hook}");
            fixture.write(&path, script(attempt))?;
            executable(&fixture.path().join(path))?;
        }
    }
    fixture.write(".gitconfig", "[core]\n\thooksPath = .githooks\n")?;
    fixture.commit("hooks").map(drop)
}

fn embedded_bare(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    let program = &attempt.shell;
    for directory in ["", "nested/"] {
        fixture.write(&format!("{directory}HEAD"), "ref: refs/heads/main\n")?;
        fixture.write(&format!("{directory}refs/keep"), "")?;
        fixture.write(&format!("{directory}objects/keep"), "")?;
        let config = format!("[core]\n\tbare = false\n\tworktree = ..\n\tfsmonitor = {program}; false\n\thooksPath = hooks\n");
        fixture.write(&format!("{directory}config"), config)?;
        fixture.write(&format!("{directory}hooks/post-checkout"), script(attempt))?;
    }
    fixture.commit("bare").map(drop)
}

fn settings_in_gitmodules(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    let program = &attempt.shell;
    let text = format!("[core]\n\tfsmonitor = {program}\n\tsshCommand = {program}\n[alias]\n\tcheckout = !{program}\n");
    fixture.write(".gitmodules", text)?;
    fixture.commit("settings").map(drop)
}

fn lfsconfig(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    let program = &attempt.shell;
    fixture
        .write(".lfsconfig", format!("[lfs]\n\tstandalonetransferagent = x\n[lfs \"customtransfer.x\"]\n\tpath = {program}\n"))?;
    fixture.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")?;
    fixture.write("a.bin", format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n", "0".repeat(64)))?;
    fixture.commit("lfs").map(drop)
}

fn attributes(fixture: &Fixture, _: &Attempt) -> anyhow::Result<()> {
    fixture.write(".gitattributes", "a working-tree-encoding=UTF-16\nb ident export-subst eol=crlf\n* diff=x merge=union\n")?;
    fixture.write("b", "$Id$ $Format:%H$\n")?;
    fixture.commit("attributes").map(drop)
}

fn odd_names(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    for name in ["a\nb", "\u{1b}]0;title\u{7}", "-rf", "--upload-pack=x", "$(touch x)", "`touch x`", ";touch x"] {
        fixture.write(name, &attempt.shell)?;
    }
    fixture.commit("names").map(drop)
}

/// A hook at the end of a path of raw names.
fn hook_below(fixture: &Fixture, attempt: &Attempt, path: &[&[u8]]) -> anyhow::Result<()> {
    let blob = fixture.object("blob", script(attempt).as_bytes())?;
    let mut tree = fixture.tree(&[("100755", b"post-checkout", &blob)])?;
    for name in path.iter().rev() {
        tree = fixture.tree(&[("40000", name, &tree)])?;
    }
    fixture.commit_tree(&tree).map(drop)
}

fn file_named(fixture: &Fixture, attempt: &Attempt, name: &[u8]) -> anyhow::Result<()> {
    let blob = fixture.object("blob", attempt.shell.as_bytes())?;
    let tree = fixture.tree(&[("100644", name, &blob)])?;
    fixture.commit_tree(&tree).map(drop)
}

/// CVE-2021-21300 and its kin: a link is made, then written through.
fn link_and_directory(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    let link = fixture.object("blob", b".git/hooks")?;
    let hook = fixture.object("blob", script(attempt).as_bytes())?;
    let inner = fixture.tree(&[("100755", b"post-checkout", &hook)])?;
    let tree = fixture.tree(&[("120000", b"a", &link), ("40000", b"a", &inner)])?;
    fixture.commit_tree(&tree).map(drop)
}

fn link_named(fixture: &Fixture, name: &[u8]) -> anyhow::Result<()> {
    let target = fixture.object("blob", b"/etc/passwd")?;
    let tree = fixture.tree(&[("120000", name, &target)])?;
    fixture.commit_tree(&tree).map(drop)
}

fn gitfile(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    file_named(fixture, attempt, b".git")
}

fn refs_that_are_options(fixture: &Fixture, _: &Attempt) -> anyhow::Result<()> {
    fixture.write("a", "a\n")?;
    let commit = fixture.commit("refs")?;
    let refs = format!(
        "{commit} refs/heads/--upload-pack=x\n{commit} refs/heads/-B\n{commit} refs/tags/--exec=x\n{commit} refs/heads/main\n"
    );
    std::fs::write(fixture.path().join(".git/packed-refs"), refs)?;
    Ok(())
}

fn own_git(fixture: &Fixture, attempt: &Attempt) -> anyhow::Result<()> {
    for name in ["git", "git-remote-http", "sh", "cat", "bin/git"] {
        fixture.write(name, script(attempt))?;
        executable(&fixture.path().join(name))?;
    }
    fixture.commit("git").map(drop)
}

fn submodule(fixture: &Fixture, name: &str, path: &str, url: &str, more: &str) -> anyhow::Result<()> {
    let text = format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n\t{more}");
    let modules = fixture.object("blob", text.as_bytes())?;
    let commit = fixture.commit("nothing")?;
    let entry = path.trim_matches('"').replace("\\r", "\r");
    let tree = fixture.tree(&[("100644", b".gitmodules", &modules), ("160000", entry.as_bytes(), &commit)])?;
    fixture.commit_tree(&tree).map(drop)
}

/// CVE-2024-32002: on a file system that folds case the submodule is written through the link.
fn submodule_through_a_link(fixture: &Fixture, _: &Attempt) -> anyhow::Result<()> {
    let modules = fixture.object("blob", b"[submodule \"x\"]\n\tpath = A/modules/x\n\turl = ../x\n")?;
    let link = fixture.object("blob", b".git")?;
    let commit = fixture.commit("nothing")?;
    let inner = fixture.tree(&[("160000", b"x", &commit)])?;
    let outer = fixture.tree(&[("40000", b"modules", &inner)])?;
    let tree = fixture.tree(&[("100644", b".gitmodules", &modules), ("40000", b"A", &outer), ("120000", b"a", &link)])?;
    fixture.commit_tree(&tree).map(drop)
}

fn script(attempt: &Attempt) -> String {
    format!("#!/bin/sh\n{}\n", attempt.shell)
}

fn executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}
