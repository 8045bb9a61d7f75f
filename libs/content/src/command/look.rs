//! `restore`, `ls`, `cat` and `diff`: what is in a snapshot.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::{id_range, print_json, printing, threads};
use crate::capture::IdRange;
use crate::error::ContentError;
use crate::path_text::{from_text, to_text};
use crate::read;
use crate::repository::Repository;
use crate::restore::{Restore, restore as restore_tree};
use crate::tree::{Entry, Node};

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// A head, a digest, or its first 8 letters or more
    snapshot: String,
    /// A directory that does not exist yet
    dest: PathBuf,
    /// What to restore; everything if not given
    paths: Vec<String>,
    /// Ids of the node that 0 and up become: FIRST:COUNT
    #[arg(long, value_parser = id_range)]
    ids: Option<IdRange>,
}

pub(super) fn restore(
    repository: &Repository,
    arguments: &RestoreArguments,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ContentError> {
    let snapshot = repository.snapshot(repository.resolve(&arguments.snapshot)?)?;
    let trim = |path: &String| from_text(path.trim_matches('/'));
    let plan = Restore {
        dest: arguments.dest.clone(),
        paths: arguments.paths.iter().map(trim).collect(),
        ids: arguments.ids.unwrap_or(IdRange::ALL),
        threads: threads(),
    };
    let done = restore_tree(repository, &snapshot, &plan)?;
    if json {
        return print_json(out, &done);
    }
    writeln!(out, "{} entries, {} bytes, verified, in {:.2} s", done.entries, done.bytes, done.seconds).map_err(printing())
}

#[derive(Serialize)]
struct Line {
    name: String,
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime_s: i64,
    mtime_ns: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

fn line(entry: &Entry) -> Line {
    let (kind, size, target) = match &entry.node {
        Node::File(file) => ("file", file.size, None),
        Node::Dir(below) => ("directory", below.totals.bytes, None),
        Node::Symlink(target) => ("symlink", target.len() as u64, Some(to_text(target))),
        Node::Fifo => ("fifo", 0, None),
    };
    let meta = &entry.meta;
    let (mode, uid, gid, mtime_s, mtime_ns) = (meta.mode, meta.uid, meta.gid, meta.mtime_s, meta.mtime_ns);
    Line { name: to_text(&entry.name), kind, mode, uid, gid, size, mtime_s, mtime_ns, target }
}

pub(super) fn ls(
    repository: &Repository,
    snapshot: &str,
    path: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ContentError> {
    let snapshot = repository.snapshot(repository.resolve(snapshot)?)?;
    let mut reader = repository.reader();
    let entry = read::find(&mut reader, &snapshot, &from_text(path))?;
    let lines: Vec<Line> = match entry.node {
        Node::Dir(_) => read::directory(&mut reader, &entry)?.entries.iter().map(line).collect(),
        _ => vec![line(&entry)],
    };
    if json {
        return print_json(out, &lines);
    }
    for line in lines {
        let letter = match line.kind {
            "directory" => 'd',
            "symlink" => 'l',
            "fifo" => 'p',
            _ => '-',
        };
        let target = line.target.map(|target| format!(" -> {target}")).unwrap_or_default();
        let Line { mode, uid, gid, size, name, .. } = line;
        writeln!(out, "{letter}{mode:04o} {uid:>5} {gid:>5} {size:>12} {name}{target}").map_err(printing())?;
    }
    Ok(())
}

pub(super) fn cat(
    repository: &Repository,
    snapshot: &str,
    path: &str,
    (offset, length): (u64, u64),
    out: &mut dyn Write,
) -> Result<(), ContentError> {
    let snapshot = repository.snapshot(repository.resolve(snapshot)?)?;
    let mut reader = repository.reader();
    match read::find(&mut reader, &snapshot, &from_text(path))?.node {
        Node::File(file) => read::copy(&mut reader, &file, offset, length, out),
        _ => Err(ContentError::Invalid { what: "path", value: path.to_owned(), why: "it is not a file" }),
    }
}

pub(super) fn diff(
    repository: &Repository,
    first: &str,
    second: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ContentError> {
    let tree = |name| Ok::<_, ContentError>(repository.snapshot(repository.resolve(name)?)?.root.tree);
    let changes = crate::diff::diff(&mut repository.reader(), tree(first)?, tree(second)?)?;
    if json {
        return print_json(out, &changes);
    }
    for change in changes {
        let sign = match change.change {
            crate::diff::What::Added => '+',
            crate::diff::What::Removed => '-',
            crate::diff::What::Content => 'M',
            crate::diff::What::Attributes => 'a',
        };
        writeln!(out, "{sign} {}", change.path).map_err(printing())?;
    }
    Ok(())
}
