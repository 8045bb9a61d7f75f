//! Taking typed values out of the tree. What does not fit becomes a warning with its place, and counts as absent.

use serde_saphyr::{Location, Spanned};

use super::node::{Node, Value};
use super::{Problem, Severity};

/// No more than this many warnings are kept: a hostile file must not make a flood.
const MAX_PROBLEMS: usize = 100;

/// Collects problems while values are taken.
#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems.truncate(MAX_PROBLEMS);
        self.problems
    }

    /// Notes that something at a place is left out.
    pub(super) fn warn(&mut self, at: &Location, message: impl Into<String>) {
        if self.problems.len() > MAX_PROBLEMS {
            return;
        }
        let (line, column) = (at.line().max(1), at.column().max(1));
        self.problems.push(Problem { line, column, severity: Severity::Warning, message: message.into() });
    }

    fn mismatch(&mut self, node: &Node, path: &str, wanted: &str) {
        let kind = node.value.kind();
        self.warn(&node.referenced, format!("`{path}` must be {wanted}, not {kind}; it is left out"));
    }

    /// The entries of a mapping whose keys are known, each once; unknown and doubled ones are said. `Null` is empty.
    pub(super) fn known<'n>(&mut self, node: &'n Node, path: &str, known: &[&'static str]) -> Vec<(&'static str, &'n Node)> {
        let mut found: Vec<(&'static str, &Node)> = Vec::new();
        for (key, value) in self.entries(node, path) {
            let full = join(path, &key.value);
            let Some(name) = known.iter().find(|name| **name == key.value).copied() else {
                self.warn(&key.referenced, format!("unknown key `{full}`{}; it is left out", suggestion(&key.value, known)));
                continue;
            };
            if found.iter().any(|(other, _)| *other == name) {
                self.warn(&key.referenced, format!("`{full}` is there twice; this one counts"));
                found.retain(|(other, _)| *other != name);
            }
            found.push((name, value));
        }
        found
    }

    /// The entries of a mapping with free keys. `Null` is empty.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, path: &str) -> &'n [(Spanned<String>, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                self.mismatch(node, path, "a mapping");
                &[]
            }
        }
    }

    /// The items of a list. `Null` is empty; what is no list is one item, as people write it.
    pub(super) fn items<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => {
                self.mismatch(node, path, "a list");
                &[]
            }
        }
    }

    /// Text; numbers and truth values are taken as they are written. Empty text counts as absent.
    pub(super) fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) => node.value.to_json().to_string(),
            Value::Null => return None,
            Value::List(_) | Value::Map(_) => {
                self.mismatch(node, path, "text");
                return None;
            }
        };
        if text.contains('\0') {
            self.warn(&node.referenced, format!("`{path}` holds a NUL character; it is left out"));
            return None;
        }
        (!text.is_empty()).then_some(text)
    }

    /// Text on one line, for titles: control characters would reach a terminal.
    pub(super) fn title(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = self.text(node, path)?;
        Some(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect())
    }

    /// A truth value; text that says one is taken.
    pub(super) fn truth(&mut self, node: &Node, path: &str) -> Option<bool> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) if text == "true" || text == "false" => Some(text == "true"),
            Value::Null => None,
            _ => {
                self.mismatch(node, path, "true or false");
                None
            }
        }
    }

    /// A number from 0 on.
    pub(super) fn number(&mut self, node: &Node, path: &str) -> Option<u64> {
        let number = match &node.value {
            Value::Integer(value) => u64::try_from(*value).ok(),
            Value::Text(text) => text.parse().ok(),
            Value::Null => return None,
            _ => None,
        };
        if number.is_none() {
            self.mismatch(node, path, "a number from 0 on");
        }
        number
    }

    /// One of some words.
    pub(super) fn word(&mut self, node: &Node, path: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(node, path)?;
        let word = words.iter().find(|word| **word == text).copied();
        if word.is_none() {
            let message = format!("`{path}` must be one of {}, not {text:?}; it is left out", words.join(", "));
            self.warn(&node.referenced, message);
        }
        word
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        self.items(node, path).iter().filter_map(|item| self.text(item, path)).collect()
    }

    /// A mapping of environment variables; what is no text becomes JSON.
    pub(super) fn variables(&mut self, node: &Node, path: &str) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = Vec::new();
        for (key, value) in self.entries(node, path) {
            let full = join(path, &key.value);
            if !is_variable_name(&key.value) {
                self.warn(&key.referenced, format!("`{full}` is no name for a variable; it is left out"));
                continue;
            }
            let text = match &value.value {
                Value::Text(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_json().to_string(),
            };
            if text.contains('\0') {
                self.warn(&value.referenced, format!("`{full}` holds a NUL character; it is left out"));
                continue;
            }
            variables.retain(|(name, _)| *name != key.value);
            variables.push((key.value.clone(), text));
        }
        variables
    }
}

fn is_variable_name(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn join(path: &str, key: &str) -> String {
    let key: String = key.chars().take(80).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// ", did you mean `onOpen`?", for a key that differs in case, separators, or one letter at the end.
fn suggestion(key: &str, known: &[&str]) -> String {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let (wanted, single) = (plain(key), plain(key.trim_end_matches('s')));
    let near = |name: &&&str| plain(name) == wanted || plain(name.trim_end_matches('s')) == single;
    known.iter().find(near).map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}
