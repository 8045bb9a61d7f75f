//! Where the repository goes and where work starts: both below /workspace, whatever the file says.

use super::Config;
use super::node::Node;
use super::reader::Reader;

/// Where an instance keeps repositories.
const ROOT: &str = "/workspace";

/// The directories of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// The repository's directory below /workspace, as `GitSource.directory` wants it: "app", "src/github.com/o/app".
    pub below: String,
    /// The same, whole: "/workspace/app".
    pub repository: String,
    /// Where terminals and tasks start.
    pub working: String,
}

/// Reads a location; one that leaves /workspace is left out.
pub(super) fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<String> {
    let text = reader.text(node, path)?;
    let leaves = text.split('/').any(|part| part == "..");
    if leaves || text.chars().any(char::is_control) || text.len() > 1024 {
        reader.warn(&node.referenced, format!("`{path}` must be a path below /workspace; it is left out"));
        return None;
    }
    Some(text)
}

impl Config {
    /// Where the repository called `name` goes, and where work starts in it. `path` is what a context URL adds ("docs"
    /// of `/tree/main/docs`); the configuration's `workspaceLocation` goes before it.
    pub fn directories(&self, name: &str, path: &str) -> Directories {
        let below = self.checkout_location.as_deref().map(tidy).filter(|location| !location.is_empty());
        let below = below.unwrap_or_else(|| tidy(name));
        let repository = format!("{ROOT}/{below}");
        let working = match self.workspace_location.as_deref() {
            Some(location) => under(ROOT, &tidy(folder_of(location))),
            None => under(&repository, &tidy(path)),
        };
        Directories { below, repository, working }
    }
}

/// A `*.code-workspace` file stands for its folder.
fn folder_of(location: &str) -> &str {
    let is_file = location.ends_with(".code-workspace");
    if is_file { location.rsplit_once('/').map_or("", |(folder, _)| folder) } else { location }
}

fn under(root: &str, path: &str) -> String {
    if path.is_empty() { root.to_owned() } else { format!("{root}/{path}") }
}

/// Without empty parts, dots, and the root that some write in front.
fn tidy(path: &str) -> String {
    let path = path.strip_prefix("/workspace").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect::<Vec<_>>().join("/")
}
