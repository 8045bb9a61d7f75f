//! What becomes of each key of the file, as data: the documentation and `crannog doctor` print it.

use std::fmt::Write;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As on gitpod.io.
    Honoured,
    /// It counts, but not as there.
    Different,
    /// It is read and checked, and has no effect.
    Ignored,
}

/// One key and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Honoured {
    /// With dots: "tasks.init".
    pub key: &'static str,
    /// What becomes of it.
    pub how: How,
    /// In one line, why or how.
    pub why: &'static str,
}

/// Every key of the schema.
pub fn honoured() -> &'static [Honoured] {
    &TABLE
}

/// The table as Markdown.
pub fn honoured_table() -> String {
    let mut page = String::from("| key | | |\n|---|---|---|\n");
    for row in honoured() {
        let _ = writeln!(page, "| `{}` | {} | {} |", row.key, row.how.as_str(), row.why);
    }
    page
}

impl How {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Different => "different",
            Self::Ignored => "ignored",
        }
    }
}

const fn honours(key: &'static str, why: &'static str) -> Honoured {
    Honoured { key, how: How::Honoured, why }
}

const fn differs(key: &'static str, why: &'static str) -> Honoured {
    Honoured { key, how: How::Different, why }
}

const fn ignores(key: &'static str, why: &'static str) -> Honoured {
    Honoured { key, how: How::Ignored, why }
}

const TABLE: [Honoured; 45] = [
    honours("image", "a reference is pulled, with the credentials of the server's user; `host` is the machine's own root"),
    differs("image.file", "images are not built yet: the start is refused, unless `--image` names one to use instead"),
    differs("image.context", "goes with `image.file`"),
    honours("tasks", "each in a terminal of its own, in order; at most 256"),
    honours("tasks.name", "title of the terminal"),
    honours("tasks.before", "runs at each start, first"),
    honours("tasks.init", "runs once per content, not again after stop and start"),
    differs("tasks.prebuild", "runs after `init` in prebuilds, and none are made yet"),
    honours("tasks.command", "runs at each start, last, in the shell that ran `before` and `init`"),
    honours("tasks.env", "what is not text becomes JSON"),
    differs("tasks.openIn", "kept for IDEs; the command line lists terminals in order"),
    differs("tasks.openMode", "kept for IDEs; the command line lists terminals in order"),
    honours("ports", "what is said of a port counts when it is served; at most 1024"),
    honours("ports.port", "a number, or a range as \"3000-3999\" or \"3000:3999\"; of two entries the first counts"),
    differs("ports.onOpen", "kept for IDEs, nothing is opened; `ignore-completely` hides the port"),
    honours("ports.visibility", "private when nothing is said; `crannog port` goes before it"),
    honours("ports.name", "shown beside the port"),
    honours("ports.description", "shown beside the port"),
    differs("ports.protocol", "told to IDEs; the edge speaks plain HTTP to the server inside"),
    honours("env", "for every process; the user's own variables go before it"),
    honours("checkoutLocation", "below /workspace; what leaves it is left out"),
    honours("workspaceLocation", "below /workspace; of a `*.code-workspace` file the folder counts"),
    differs(
        "gitConfig",
        "set for the workspace's user at each start; what runs a program or lifts a protection is left out, with a warning",
    ),
    ignores("additionalRepositories", "only the repository itself is cloned so far"),
    ignores("additionalRepositories.url", "only the repository itself is cloned so far"),
    ignores("additionalRepositories.checkoutLocation", "only the repository itself is cloned so far"),
    ignores("mainConfiguration", "the repository's own file counts"),
    ignores("vscode", "there is no IDE yet"),
    ignores("vscode.extensions", "there is no IDE yet"),
    ignores("jetbrains", "there is no IDE yet"),
    ignores("jetbrains.plugins", "there is no IDE yet"),
    ignores("jetbrains.PRODUCT.plugins", "there is no IDE yet"),
    ignores("jetbrains.PRODUCT.prebuilds.version", "there is no IDE yet"),
    ignores("jetbrains.PRODUCT.vmoptions", "there is no IDE yet"),
    ignores("coreDump", "the machine's own limits hold"),
    ignores("coreDump.enabled", "the machine's own limits hold"),
    ignores("coreDump.softLimit", "the machine's own limits hold"),
    ignores("coreDump.hardLimit", "the machine's own limits hold"),
    ignores("github", "settings of gitpod.io's own prebuilds"),
    ignores("github.prebuilds", "settings of gitpod.io's own prebuilds"),
    ignores("github.prebuilds.FLAG", "settings of gitpod.io's own prebuilds"),
    ignores("experimentalNetwork", "had no effect on gitpod.io either"),
    ignores("ideCredentials", "of an older schema; had no effect on gitpod.io either"),
    differs("(unknown keys)", "a warning with line and column; gitpod.io refused the whole file"),
    differs("(a file that is no YAML)", "an error with line and column, and the workspace starts with the defaults"),
];
