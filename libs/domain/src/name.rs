//! Names of workspaces: their grammar, how one is made from a repository, and what a person may type instead.

use crate::class::{Class, Classify};

/// The longest name: with a five-digit port and two dashes it still is one DNS label.
pub const MAX_NAME: usize = 50;

/// How many hex digits an id of a workspace or an instance has.
pub const ID_LENGTH: usize = 32;

/// A name, an id or a port that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The grammar does not allow it.
    #[error("{0:?} is not a name for a workspace")]
    Malformed(String),
    /// No workspace is called that.
    #[error("no workspace is called {0:?}")]
    Unknown(String),
    /// An id prefix that several have.
    #[error("{text:?} is the beginning of {} ids: {}", .ids.len(), .ids.join(", "))]
    Ambiguous {
        /// What was typed.
        text: String,
        /// Every id that begins with it, in order.
        ids: Vec<String>,
    },
    /// Neither a number from 1 to 65535 nor the name of a configured port.
    #[error("{0:?} is not a port")]
    Port(String),
}

impl Classify for NameError {
    fn class(&self) -> Class {
        match self {
            Self::Malformed(_) | Self::Ambiguous { .. } | Self::Port(_) => Class::InvalidArgument,
            Self::Unknown(_) => Class::NotFound,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "NameMalformed",
            Self::Unknown(_) => "WorkspaceNotFound",
            Self::Ambiguous { .. } => "NameAmbiguous",
            Self::Port(_) => "PortMalformed",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed(_) => "use 1 to 50 of a-z, 0-9 and '-', not beginning or ending with '-'".into(),
            Self::Unknown(_) => "`crannog list` shows the names and ids there are".into(),
            Self::Ambiguous { .. } => "type more of the id, or the name".into(),
            Self::Port(_) => "give a number from 1 to 65535, or the name of a port of the configuration".into(),
        })
    }
}

/// Checks a name against the grammar `[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?`.
pub fn check(name: &str) -> Result<(), NameError> {
    let bytes = name.as_bytes();
    let inside = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let good =
        (1..=MAX_NAME).contains(&bytes.len()) && bytes.iter().all(inside) && !name.starts_with('-') && !name.ends_with('-');
    good.then_some(()).ok_or_else(|| NameError::Malformed(name.to_owned()))
}

/// Makes a name out of that of a repository: "My_App.git" becomes "my-app". What has no usable letter is "workspace".
pub fn from_repository(repository: &str) -> String {
    let stem = repository.strip_suffix(".git").unwrap_or(repository);
    let mut name = String::new();
    for letter in stem.chars() {
        match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => name.push(letter),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(MAX_NAME);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "workspace".into() } else { name.to_owned() }
}

/// The first of `base`, `base-2`, `base-3`… that is not taken, within the length of a name.
pub fn unused(base: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(base) {
        return base.to_owned();
    }
    let numbered = |number: u64| {
        let suffix = format!("-{number}");
        let room = MAX_NAME - suffix.len();
        let stem: String = base.chars().take(room).collect();
        format!("{}{suffix}", stem.trim_end_matches('-'))
    };
    (2_u64..).map(numbered).find(|name| !is_taken(name)).unwrap_or_else(|| base.to_owned())
}

/// Whether a text has the form of an id: 32 lower-case hex digits.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && is_hex(text)
}

/// Finds the one workspace that a person means, among (id, name): by name, by id, or by the beginning of an id that
/// only one has. A name is looked for first, so nobody can be shadowed by an id.
pub fn resolve<'a>(text: &str, all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<&'a str, NameError> {
    let all: Vec<_> = all.into_iter().collect();
    if let Some((id, _)) = all.iter().find(|(_, name)| *name == text) {
        return Ok(id);
    }
    let unknown = || NameError::Unknown(text.to_owned());
    if text.is_empty() || !is_hex(text) {
        return Err(unknown());
    }
    let mut ids: Vec<&str> = all.iter().map(|(id, _)| *id).filter(|id| id.starts_with(text)).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids[..] {
        [] => Err(unknown()),
        [id] => Ok(id),
        _ => Err(NameError::Ambiguous { text: text.to_owned(), ids: ids.into_iter().map(str::to_owned).collect() }),
    }
}

/// Reads a port as decimal digits without sign or leading zero, 1 to 65535.
pub fn parse_port(text: &str) -> Result<u16, NameError> {
    let digits = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.ok_or_else(|| NameError::Port(text.to_owned()))
}

/// Finds the port that a person means: a number, or the name of a configured port (letters of either case).
pub fn resolve_port<'a>(text: &str, named: impl IntoIterator<Item = (u16, &'a str)>) -> Result<u16, NameError> {
    parse_port(text).or_else(|error| {
        let same = |(_, name): &(u16, &str)| !name.is_empty() && name.eq_ignore_ascii_case(text);
        named.into_iter().find(same).map(|(port, _)| port).ok_or(error)
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "0123ffffffffffffffffffffffffffff";

    #[test]
    fn a_name_is_one_dns_label_with_room_for_a_port() {
        for good in ["a", "0", "app", "a-b", "a--b", &"a".repeat(50)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "-", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", "a\n", &"a".repeat(51)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repository_gives_its_name_and_a_number_when_that_is_taken() {
        for (repository, name) in [
            ("My_App.git", "my-app"),
            ("template-golang-cli", "template-golang-cli"),
            ("Näme (old)", "n-me-old"),
            (".github", "github"),
            ("日本", "workspace"),
            (".git", "workspace"),
        ] {
            assert_eq!(from_repository(repository), name);
        }
        assert_eq!(unused("app", |_| false), "app");
        assert_eq!(unused("app", |name| ["app", "app-2"].contains(&name)), "app-3");
        let long = "a".repeat(50);
        let next = unused(&long, |name| name == long);
        assert_eq!((next.len(), check(&next)), (50, Ok(())));
    }

    #[test]
    fn a_workspace_is_found_by_name_id_or_the_beginning_of_one() {
        let all = [(A, "app"), (B, "0123")];
        assert_eq!(resolve("app", all), Ok(A));
        assert_eq!(resolve(A, all), Ok(A));
        assert_eq!(resolve("01234", all), Ok(A));
        assert_eq!(resolve("0123", all), Ok(B), "a name goes before an id");
        assert_eq!(resolve("012", all), Err(NameError::Ambiguous { text: "012".into(), ids: vec![A.into(), B.into()] }));
        for nobody in ["", "ap", "9", "0123F", "xyz"] {
            assert_eq!(resolve(nobody, all), Err(NameError::Unknown(nobody.into())));
        }
    }

    #[test]
    fn a_port_is_a_plain_number_or_a_configured_name() {
        assert_eq!(resolve_port("8080", []), Ok(8080));
        assert_eq!(resolve_port("web", [(3000, "Web")]), Ok(3000));
        for bad in ["", "0", "08080", "+80", "-1", "65536", " 80", "80 ", "8e3", "٣", "web"] {
            assert!(resolve_port(bad, [(3000, "")]).is_err(), "{bad}");
        }
    }
}
