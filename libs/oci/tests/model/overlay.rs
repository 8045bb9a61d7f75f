//! What layers mean, as a map from path to what is there: the image spec's `layer.md` in thirty lines.

use std::collections::BTreeMap;

use crate::raw::Raw;

/// One member of a layer.
#[derive(Debug, Clone)]
pub enum Step {
    File(String),
    Directory(String),
    /// Hides what lower layers have at the path.
    Whiteout(String),
    /// Hides what lower layers have below the path.
    Opaque(String),
}

/// Paths, whether they are directories, and the layer that named them last; 0: no layer did, they are on the way.
#[derive(Debug, Default)]
pub struct Model {
    paths: BTreeMap<String, (bool, u32)>,
    layer: u32,
}

impl Model {
    /// Applies a layer; `false` when it must be refused.
    pub fn apply(&mut self, steps: &[Step]) -> bool {
        self.layer += 1;
        steps.iter().all(|step| self.step(step))
    }

    /// As `Ground::inside` prints it.
    pub fn listing(&self) -> Vec<String> {
        let print =
            |(path, (is_directory, _)): (&String, &(bool, u32))| if *is_directory { format!("{path}/") } else { path.clone() };
        let mut found: Vec<_> = self.paths.iter().map(print).collect();
        found.sort();
        found
    }

    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::File(path) => self.make(path, false),
            Step::Directory(path) => self.make(path, true),
            Step::Whiteout(path) => {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                let is_below = |at: &str| at == path || at.starts_with(&format!("{path}/"));
                self.is_way(parent) && self.hide(is_below)
            }
            Step::Opaque(path) => {
                let start = format!("{path}/");
                self.is_way(path) && self.hide(|at| at.starts_with(&start))
            }
        }
    }

    fn make(&mut self, path: &str, is_directory: bool) -> bool {
        let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        for parent in parents {
            if !self.paths.entry(parent).or_insert((true, 0)).0 {
                return false;
            }
        }
        let was_directory = self.paths.get(path).is_some_and(|(is_directory, _)| *is_directory);
        if !(was_directory && is_directory) {
            let start = format!("{path}/");
            self.paths.retain(|at, _| !at.starts_with(&start));
        }
        self.paths.insert(path.to_owned(), (is_directory, self.layer));
        true
    }

    /// Whether a path can be walked: all directories, up to where nothing is.
    fn is_way(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map_while(|end| self.paths.get(&path[..end])).all(|(is_directory, _)| *is_directory)
    }

    /// Removes what is not of this layer and has nothing of it below.
    fn hide(&mut self, is_hidden: impl Fn(&str) -> bool) -> bool {
        let own: Vec<String> =
            self.paths.iter().filter(|(_, (_, layer))| *layer == self.layer).map(|(path, _)| path.clone()).collect();
        let is_kept = |at: &str| own.iter().any(|path| path == at || path.starts_with(&format!("{at}/")));
        self.paths.retain(|at, _| !is_hidden(at) || is_kept(at));
        true
    }
}

/// The member that a step is.
pub fn write(raw: Raw, step: &Step) -> Raw {
    match step {
        Step::File(path) => raw.file(path, b"x"),
        Step::Directory(path) => raw.dir(path),
        Step::Opaque(path) => raw.file(&format!("{path}/.wh..wh..opq"), b""),
        Step::Whiteout(path) => match path.rsplit_once('/') {
            Some((parent, name)) => raw.file(&format!("{parent}/.wh.{name}"), b""),
            None => raw.file(&format!(".wh.{path}"), b""),
        },
    }
}
