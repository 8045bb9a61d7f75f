//! The user's Docker credentials: `~/.docker/config.json` with `auths`, `credHelpers` and `credsStore`. Format: Docker
//! CLI, `config/configfile`.

mod helper;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// The key under which Docker keeps what is for docker.io.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// Largest configuration file that is read.
const MAX_FILE: u64 = 1 << 20;

/// What a registry is shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password.
    Basic {
        /// User name.
        user: String,
        /// Password or access token.
        password: String,
    },
    /// A refresh token for the registry's token service.
    IdentityToken(String),
}

/// Secrets do not belong in logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credentials::Basic",
            Self::IdentityToken(_) => "Credentials::IdentityToken",
        })
    }
}

/// What kept us from credentials that the user seems to have.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file is there and cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not of its format.
    #[error("understand {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A helper program failed.
    #[error("ask the credential helper {program}: {problem}")]
    Helper {
        /// "docker-credential-pass".
        program: String,
        /// What it said, or why it did not run; never a secret.
        problem: String,
    },
}

/// A Docker configuration, as far as it is about credentials.
#[derive(Debug, Default)]
pub struct DockerConfig {
    file: File,
    /// Who owns the file: helpers are run as that user, never with more rights than the file's owner has.
    owner: Option<helper::Owner>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: HashMap<String, Auth>,
    #[serde(default)]
    cred_helpers: HashMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("auths", &self.auths.keys()).finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, alias = "identityToken")]
    identitytoken: String,
}

impl DockerConfig {
    /// Reads the file; one that does not exist holds nothing.
    pub fn load(path: &Path) -> Result<Self, CredentialError> {
        let failed = |source| CredentialError::Read { path: path.to_owned(), source };
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(failed(std::io::Error::other("it is no file, or larger than a megabyte")));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let parsed = serde_json::from_slice(&bytes);
        let file = parsed.map_err(|source| CredentialError::Parse { path: path.to_owned(), source })?;
        Ok(Self { file, owner: Some(helper::Owner::new(metadata.uid(), metadata.gid(), path)) })
    }

    /// Where the user's file is: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub fn default_path() -> Option<PathBuf> {
        let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = of("DOCKER_CONFIG").or_else(|| of("HOME").map(|home| home.join(".docker")))?;
        Some(directory.join("config.json"))
    }

    /// What to show a registry ("docker.io", "localhost:5000"), if anything.
    pub async fn credentials(&self, registry: &str) -> Result<Option<Credentials>, CredentialError> {
        let key = if registry == "docker.io" { DOCKER_HUB } else { registry };
        let named = self.file.cred_helpers.iter().find(|(host, _)| is_same(host, key)).map(|(_, name)| name);
        if let (Some(name), Some(owner)) = (named.or(self.file.creds_store.as_ref()), &self.owner)
            && let Some(found) = helper::ask(name, key, owner).await?
        {
            return Ok(Some(found));
        }
        let auth = self.file.auths.iter().find(|(host, _)| is_same(host, key)).map(|(_, auth)| auth);
        Ok(auth.and_then(Auth::credentials))
    }
}

impl Auth {
    fn credentials(&self) -> Option<Credentials> {
        if !self.identitytoken.is_empty() {
            return Some(Credentials::IdentityToken(self.identitytoken.clone()));
        }
        if !self.username.is_empty() {
            return Some(Credentials::Basic { user: self.username.clone(), password: self.password.clone() });
        }
        let text = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        // Docker pads some of what it writes with NULs.
        let password = password.trim_end_matches('\0').to_owned();
        Some(Credentials::Basic { user: user.to_owned(), password }).filter(|_| !user.is_empty())
    }
}

/// Hosts are compared whole; old files have a scheme and a path around them.
fn is_same(written: &str, wanted: &str) -> bool {
    fn host(text: &str) -> &str {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        text.split('/').next().unwrap_or_default()
    }
    host(written).eq_ignore_ascii_case(host(wanted))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(text: &str) -> (tempfile::TempDir, DockerConfig) {
        let directory = tempfile::tempdir().expect("temp dir");
        let path = directory.path().join("config.json");
        std::fs::write(&path, text).expect("write");
        let config = DockerConfig::load(&path).expect("load");
        (directory, config)
    }

    fn basic(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Basic { user: user.into(), password: password.into() })
    }

    #[tokio::test]
    async fn credentials_are_found_by_the_whole_host() {
        let (_directory, config) = config(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"aHViOnBhOnNz"},"https://ghcr.example/v2/":{"auth":"eDp5"},
                "plain.example:5000":{"username":"u","password":"p"},"id.example":{"identitytoken":"T"},"empty.example":{}}}"#,
        );
        let of = async |host: &str| config.credentials(host).await.expect("no helper");
        assert_eq!(of("docker.io").await, basic("hub", "pa:ss"));
        assert_eq!(of("ghcr.example").await, basic("x", "y"));
        assert_eq!(of("plain.example:5000").await, basic("u", "p"));
        assert_eq!(of("id.example").await, Some(Credentials::IdentityToken("T".into())));
        for host in ["plain.example", "ghcr.example.attacker.example", "x.ghcr.example", "empty.example"] {
            assert_eq!(of(host).await, None, "{host}");
        }
    }

    #[tokio::test]
    async fn a_helper_is_asked_and_its_refusal_is_told() {
        let directory = tempfile::tempdir().expect("temp dir");
        let program = directory.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread host\n[ \"$host\" = here.example ] || { echo broken pipe dream; exit 1; }\n\
                      echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"s\"}'\n";
        std::fs::write(&program, script).expect("write");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("mode");
        let owner = helper::Owner::current(directory.path());
        let found = helper::ask_in("test", "here.example", &owner, directory.path()).await;
        assert_eq!(found.expect("asked"), basic("me", "s"));
        let refused = helper::ask_in("test", "there.example", &owner, directory.path()).await.expect_err("refused");
        assert!(refused.to_string().contains("broken pipe dream"), "{refused}");
        for name in ["../x", "", "a b", "x;y"] {
            helper::ask_in(name, "here.example", &owner, directory.path()).await.expect_err(name);
        }
    }
}
