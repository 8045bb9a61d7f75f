//! The image `host`: this machine's own root, read-only, with what a guest must not see taken out, and with the toolchains
//! that live in a home directory brought in.
//!
//! What is shown is a list; everything else at the top, in `/var` and in `/var/lib` is hidden, so a directory that nobody
//! thought of is not shown. In `/etc` it is the other way round: what an ordinary user of this machine may not read is
//! hidden, and private keys and credentials besides. All of it is a layer of the overlay (`scaffold`), not mounts on top
//! that somebody could take away.

mod etc;
mod hide;
mod separate;
mod toolchains;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::runtime::bundle::Shown;
use crate::sandbox::scaffold::Entry;

pub use toolchains::{Toolchain, builtin};

/// Variables of the server that say where certificates, proxies and packages are, and nothing about anybody.
const HARMLESS: [&str; 33] = [
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "NIX_SSL_CERT_FILE",
    "AWS_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ftp_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "RUSTUP_AUTO_INSTALL",
];

/// How the machine is shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostImage {
    /// Directories and files to hide besides what is always hidden.
    pub hide: Vec<PathBuf>,
    /// Further directories at the top of the machine to show: "opt2" for `/opt2`.
    pub show: Vec<String>,
    /// Home directories in which toolchains are looked for.
    pub homes: Vec<PathBuf>,
    /// What a toolchain looks like.
    pub toolchains: Vec<Toolchain>,
    /// Variables of the server that instances see, besides the harmless ones.
    pub pass_env: Vec<String>,
}

impl Default for HostImage {
    fn default() -> Self {
        Self { hide: Vec::new(), show: Vec::new(), homes: toolchains::homes(), toolchains: builtin(), pass_env: Vec::new() }
    }
}

impl HostImage {
    /// The layer that hides. Made anew for each root, because the machine changes.
    pub fn scaffold(&self) -> io::Result<Vec<Entry>> {
        let mut entries = hide::machine(Path::new("/"), &self.show)?;
        entries.extend(etc::entries(Path::new("/"))?);
        // By their real names: a link that leads to the data directory hides nothing.
        let hide: Vec<PathBuf> = self.hide.iter().chain(&checkout()).filter_map(|path| path.canonicalize().ok()).collect();
        entries.extend(hide::further(Path::new("/"), &hide, &entries));
        Ok(entries)
    }

    /// Toolchains, and system directories that are file systems of their own: shown read-only, with their owners.
    pub fn shown(&self) -> Vec<Shown> {
        let mut shown = separate::system_directories();
        shown.extend(toolchains::found(&self.toolchains, &self.homes).into_iter().flat_map(|found| found.shown));
        shown
    }

    /// What to put first on PATH; `home` is the workspace user's.
    pub fn path(&self, home: &str) -> Vec<String> {
        let mut path = vec![format!("{home}/.local/bin"), format!("{home}/.cargo/bin"), format!("{home}/go/bin")];
        path.extend(toolchains::found(&self.toolchains, &self.homes).into_iter().flat_map(|found| found.path));
        if Path::new("/usr/local/go/bin").is_dir() {
            path.push("/usr/local/go/bin".into());
        }
        path
    }

    /// Variables: those of the toolchains, and of the server's own those that are harmless.
    pub fn environment(&self, server: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let is_passed = |name: &str| HARMLESS.contains(&name) || self.pass_env.iter().any(|passed| passed == name);
        // A proxy or an index with a password in its URL is a credential.
        let is_credential = |value: &str| value.contains("://") && value.contains('@');
        let mut env: Vec<(String, String)> = server
            .iter()
            .filter(|(name, value)| is_passed(name) && !is_credential(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        env.extend(toolchains::found(&self.toolchains, &self.homes).into_iter().flat_map(|found| found.env));
        env
    }
}

/// The repository that the server was started in, if it was.
fn checkout() -> Option<PathBuf> {
    std::env::current_dir().ok().filter(|directory| directory.parent().is_some() && directory.join(".git").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_in_a_variable_is_not_passed_on() {
        let server = BTreeMap::from([
            ("HTTPS_PROXY".to_owned(), "http://ada:secret@proxy:3128".to_owned()),
            ("HTTP_PROXY".to_owned(), "http://proxy:3128".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "secret".to_owned()),
        ]);
        let image = HostImage { homes: Vec::new(), ..HostImage::default() };
        let env = image.environment(&server);
        assert_eq!(env, [("HTTP_PROXY".to_owned(), "http://proxy:3128".to_owned())]);
    }
}
