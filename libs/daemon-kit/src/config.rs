//! Configuration in layers: built-in defaults, a file, environment, flags. Later ones win; unknown keys are refused by
//! the daemon's own type (`#[serde(deny_unknown_fields)]`), and the layer that brought the mistake is named.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use domain::class::{Class, Classify};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by the user is not readable.
    #[error("read the configuration file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A layer is not TOML.
    #[error("{origin} is not valid TOML")]
    Syntax {
        /// Which layer.
        origin: Origin,
        /// Where and what.
        source: toml::de::Error,
    },
    /// A key is unknown, or a value has the wrong form.
    #[error("{origin} has a setting that is not understood")]
    Setting {
        /// The first layer that has the mistake.
        origin: Origin,
        /// What.
        source: toml::de::Error,
    },
    /// An override names a key below one that is not a table.
    #[error("{origin}: `{key}` names a setting inside one that is not a table")]
    NotATable {
        /// Which layer.
        origin: Origin,
        /// The dotted key.
        key: String,
    },
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Class::NotFound,
            _ => Class::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "give `--config` the path of a readable TOML file".into(),
            _ => "the settings and their defaults are listed by `config show --origin`".into(),
        })
    }
}

/// Which layer a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Compiled in: the daemon's `config/default.toml`.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the built-in defaults"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Flag(key) => write!(f, "the flag for `{key}`"),
        }
    }
}

/// One setting as it stands, for `config show --origin`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Dotted: "classes.default.memory".
    pub key: String,
    /// The value, as TOML.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
}

/// The layers of one configuration, lowest first.
#[derive(Debug, Clone)]
pub struct Layers(Vec<(Origin, Table)>);

/// Reads all layers and makes the daemon's configuration of them.
///
/// `env_prefix` ends in `_`; behind it the key in capitals, `__` between tables: `CRANNOG_NODE_IMAGES__KEEP`. An
/// override is a dotted key and its text; where the default is text it is taken as it is, else it is read as TOML.
pub fn load<T: DeserializeOwned>(
    defaults: &str,
    file: Option<&Path>,
    env_prefix: &str,
    overrides: &[(&str, String)],
) -> Result<T, ConfigError> {
    Layers::read(defaults, file, std::env::vars(), env_prefix, overrides)?.parse()
}

/// As [`load`], from the table `[section]` of a file that several daemons share.
pub fn load_section<T: DeserializeOwned>(
    defaults: &str,
    file: Option<(&Path, &str)>,
    env_prefix: &str,
    overrides: &[(&str, String)],
) -> Result<T, ConfigError> {
    let mut layers = Layers::read(defaults, None, std::env::vars(), env_prefix, overrides)?;
    if let Some((path, section)) = file {
        layers.insert_section(path, section)?;
    }
    layers.parse()
}

impl Layers {
    /// Puts a section of a file right above the defaults.
    fn insert_section(&mut self, path: &Path, section: &str) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let origin = Origin::File(path.into());
        let mut whole = table(&text, &origin)?;
        if let Some(Value::Table(part)) = whole.remove(section) {
            self.0.insert(1, (origin, part));
        }
        Ok(())
    }

    /// Reads the layers without judging the settings. `env` is all of the environment; only `env_prefix` counts.
    pub fn read(
        defaults: &str,
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        env_prefix: &str,
        overrides: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut layers = vec![(Origin::Default, table(defaults, &Origin::Default)?)];
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
            let origin = Origin::File(path.into());
            layers.push((origin.clone(), table(&text, &origin)?));
        }
        let mut environment: Vec<_> = env.filter(|(name, _)| name.starts_with(env_prefix) && name != env_prefix).collect();
        environment.sort();
        for (name, text) in environment {
            let key = name[env_prefix.len()..].to_lowercase().replace("__", ".");
            let layer = single(&layers[0].1, &key, &text, &Origin::Environment(name.clone()))?;
            layers.push((Origin::Environment(name), layer));
        }
        for (key, text) in overrides {
            let origin = Origin::Flag((*key).to_owned());
            let layer = single(&layers[0].1, key, text, &origin)?;
            layers.push((origin, layer));
        }
        Ok(Self(layers))
    }

    /// Makes the daemon's type. The layers are tried one upon the other, so that a mistake is blamed on its layer.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut merged = Table::new();
        let mut parsed = None;
        for (origin, layer) in &self.0 {
            merge(&mut merged, layer);
            let value = Value::Table(merged.clone());
            let read = value.try_into().map_err(|source| ConfigError::Setting { origin: origin.clone(), source })?;
            parsed = Some(read);
        }
        // There is always the layer of defaults.
        Ok(parsed.expect("at least one layer"))
    }

    /// Every setting with the layer that it came from, sorted by key.
    pub fn settings(&self) -> Vec<Setting> {
        let mut found = BTreeMap::new();
        for (origin, layer) in &self.0 {
            leaves("", layer, &mut |key, value| {
                found.insert(key.clone(), Setting { key, value: value.clone(), origin: origin.clone() });
            });
        }
        found.into_values().collect()
    }
}

fn table(text: &str, origin: &Origin) -> Result<Table, ConfigError> {
    text.parse().map_err(|source| ConfigError::Syntax { origin: origin.clone(), source })
}

/// A layer with one setting. The default tells whether its text is to be read as TOML or is text itself.
fn single(defaults: &Table, key: &str, text: &str, origin: &Origin) -> Result<Table, ConfigError> {
    let value = match lookup(defaults, key) {
        Some(Value::String(_)) => Value::String(text.to_owned()),
        Some(Value::Table(_)) if key.contains('.') => return Err(not_a_table(key, origin)),
        _ => format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v")).unwrap_or_else(|| text.into()),
    };
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or(key);
    let mut layer = Table::from_iter([(last.to_owned(), value)]);
    for part in parts.into_iter().rev() {
        layer = Table::from_iter([(part.to_owned(), Value::Table(layer))]);
    }
    Ok(layer)
}

fn not_a_table(key: &str, origin: &Origin) -> ConfigError {
    ConfigError::NotATable { origin: origin.clone(), key: key.to_owned() }
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => lookup(table.get(first)?.as_table()?, rest),
    }
}

fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

fn leaves(prefix: &str, table: &Table, visit: &mut impl FnMut(String, &Value)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => leaves(&path, inner, visit),
            _ => visit(path, value),
        }
    }
}

#[cfg(test)]
mod tests;
