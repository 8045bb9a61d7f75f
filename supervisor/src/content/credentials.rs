//! Credentials for Git, each for one host only. Git gets, for that host's URL alone, a helper that prints a sealed memory
//! file; nothing of it is in a file of the tree, in an argument, or in an environment variable, and a submodule or a
//! redirect to another host finds no helper at all.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use api::v1::GitCredential;

use super::redact::Redactor;
use super::remote::{Remote, Scheme};

/// What one run of Git is given.
#[derive(Default)]
pub struct Credentials {
    entries: Vec<Entry>,
}

struct Entry {
    scope: String,
    answer: String,
    secrets: Vec<String>,
}

impl Credentials {
    /// Those of the configuration that can be used for `remote`. Over plain HTTP none is ever sent, but to this machine.
    pub fn new(given: &[GitCredential], remote: Option<&Remote>) -> Self {
        let entries = given.iter().filter(|c| is_sound(c)).map(|c| Entry::new(c, remote)).collect();
        Self { entries }
    }

    /// The memory files of one run of Git. Made anew for each: a descriptor is only open while Git runs.
    pub fn files(&self) -> io::Result<Vec<Arc<OwnedFd>>> {
        let file = |entry: &Entry| Ok(Arc::new(sys::memfd::sealed("git-credential", entry.answer.as_bytes())?));
        self.entries.iter().map(file).collect()
    }

    /// `-c` settings for these files: the list of helpers is emptied, then each host has its own.
    pub fn settings(&self, files: &[Arc<OwnedFd>]) -> Vec<String> {
        let mut settings = vec!["credential.helper=".to_owned()];
        for (entry, file) in self.entries.iter().zip(files) {
            let scope = &entry.scope;
            settings.push(format!("credential.{scope}.helper="));
            // Opened by its path each time: a descriptor's offset is shared, and Git may ask twice.
            let print = format!("cat /proc/self/fd/{}", file.as_raw_fd());
            settings.push(format!("credential.{scope}.helper=!f() {{ test \"$1\" != get || {print}; }}; f"));
        }
        settings
    }

    /// Takes what is secret here out of texts.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.entries.iter().flat_map(|e| e.secrets.iter().cloned()))
    }
}

impl Entry {
    fn new(credential: &GitCredential, remote: Option<&Remote>) -> Self {
        let GitCredential { host, username, password } = credential;
        let host = host.to_ascii_lowercase();
        let plain = remote.is_some_and(|r| r.scheme() == Scheme::Http && r.host() == host && is_loopback(&host));
        Self {
            scope: format!("{}://{host}", if plain { "http" } else { "https" }),
            answer: format!("username={username}\npassword={password}\n"),
            secrets: vec![password.clone()],
        }
    }
}

/// A line break in one would become another field of the credential protocol; a host is checked as one of a URL.
fn is_sound(credential: &GitCredential) -> bool {
    let plain = |text: &str| !text.chars().any(char::is_control);
    plain(&credential.username)
        && plain(&credential.password)
        && Remote::parse(&format!("https://{}/x", credential.host))
            .is_ok_and(|r| r.host() == credential.host.to_ascii_lowercase())
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(host: &str, password: &str) -> GitCredential {
        GitCredential { host: host.into(), username: "me".into(), password: password.into() }
    }

    fn settings(credentials: &Credentials) -> Vec<String> {
        credentials.settings(&credentials.files().expect("memory files"))
    }

    #[test]
    fn a_credential_is_for_one_host_and_is_in_no_argument() {
        let remote = Remote::parse("https://git.example.org/a").expect("remote");
        let credentials = Credentials::new(&[credential("Git.Example.org", "hunter22")], Some(&remote));
        let settings = settings(&credentials);
        assert_eq!(settings[0], "credential.helper=");
        assert!(settings[1..].iter().all(|s| s.starts_with("credential.https://git.example.org.helper=")), "{settings:?}");
        assert!(!settings.concat().contains("hunter22"));
        assert_eq!(credentials.redactor().clean("hunter22"), "***");
    }

    #[test]
    fn over_plain_http_only_this_machine_is_given_one() {
        for (url, host, scope) in [
            ("http://127.0.0.1:8080/a", "127.0.0.1:8080", "credential.http://127.0.0.1:8080.helper="),
            ("http://git.example.org/a", "git.example.org", "credential.https://git.example.org.helper="),
            ("http://127.0.0.1:8080/a", "git.example.org", "credential.https://git.example.org.helper="),
        ] {
            let remote = Remote::parse(url).expect(url);
            assert_eq!(settings(&Credentials::new(&[credential(host, "x")], Some(&remote)))[1], scope);
        }
    }

    #[test]
    fn one_that_would_smuggle_a_field_or_a_setting_is_left_out() {
        for (host, password) in [("e.org", "a\nhost=evil.org"), ("e.org/x", "a"), ("e.org=x", "a"), ("", "a"), ("u@e.org", "a")] {
            assert_eq!(settings(&Credentials::new(&[credential(host, password)], None)).len(), 1, "{host} {password:?}");
        }
    }
}
