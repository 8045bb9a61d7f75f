//! Which remotes Git may be given. Checked here before any process is started (names and URLs of repositories are
//! hostile input: option injection, helper transports, credentials for another host by control characters), and again by
//! Git's own `protocol.*.allow`.

/// Longer ones are refused; no Git host has such.
const URL_MAX: usize = 2048;

/// A remote that passed the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    url: String,
    scheme: Scheme,
    host: String,
}

/// How a remote is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `ssh://`, or `user@host:path`
    Ssh,
    /// `git://`
    Git,
}

/// Why a remote was refused, as a sentence for people. Never holds the URL's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

impl Remote {
    /// Checks a URL: one of the known schemes, a host, no password, nothing that Git or ssh could take for an option.
    pub fn parse(url: &str) -> Result<Self, Refused> {
        plain(url)?;
        if let Some((scheme, rest)) = url.split_once("://") {
            return Self::from_parts(url, scheme, rest);
        }
        if url.contains("::") {
            return Err(Refused("the URL names a helper program of Git (\"NAME::\"), which is not allowed"));
        }
        let (host, path) = url.split_once(':').ok_or(Refused("it is neither a URL nor of the form user@host:path"))?;
        Self::checked(url, Scheme::Ssh, host, path)
    }

    fn from_parts(url: &str, scheme: &str, rest: &str) -> Result<Self, Refused> {
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
            "git" => Scheme::Git,
            "file" => return Err(Refused("a file:// URL names a directory of another machine")),
            _ => return Err(Refused("the URL's scheme is none of https, http, ssh, git")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self::checked(url, scheme, authority, path)
    }

    fn checked(url: &str, scheme: Scheme, authority: &str, path: &str) -> Result<Self, Refused> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|u| u.contains(':') || (scheme != Scheme::Ssh && !u.is_empty())) {
            return Err(Refused("the URL holds a user name or a password"));
        }
        if user.is_some_and(|u| u.starts_with('-')) || host.starts_with('-') || path.starts_with('-') {
            return Err(Refused("a part of the URL begins with a dash"));
        }
        host_is_sound(host)?;
        if path.trim_matches('/').is_empty() {
            return Err(Refused("the URL names a host but no repository"));
        }
        Ok(Self { url: url.to_owned(), scheme, host: host.to_ascii_lowercase() })
    }

    /// As it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host, with the port where the URL names one: "git.example.org:8443", "[::1]:8080".
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// No control characters, no spaces, no percent-coded ones: these have sent credentials to the wrong host
/// (CVE-2020-5260, CVE-2024-50349).
fn plain(url: &str) -> Result<(), Refused> {
    if url.is_empty() {
        return Err(Refused("it is empty"));
    }
    if url.len() > URL_MAX {
        return Err(Refused("it is longer than 2048 bytes"));
    }
    if url.starts_with('-') {
        return Err(Refused("it begins with a dash"));
    }
    if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(Refused("it holds a space, a backslash or a control character"));
    }
    let lower = url.to_ascii_lowercase();
    let coded = (0..0x20).chain([0x7f]).any(|byte| lower.contains(&format!("%{byte:02x}")));
    if coded { Err(Refused("it holds a percent-coded control character")) } else { Ok(()) }
}

fn host_is_sound(host: &str) -> Result<(), Refused> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(Refused("the address in brackets does not end"))?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| Refused("what is in brackets is no IPv6 address"))?;
            ("ipv6", port.strip_prefix(':').or(if port.is_empty() { Some("") } else { None }))
        }
        None => host.split_once(':').map_or((host, Some("")), |(name, port)| (name, Some(port))),
    };
    let port = port.ok_or(Refused("what follows the address is no port"))?;
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Err(Refused("the port is no number"));
    }
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > 253 || !name.chars().all(sound) {
        return Err(Refused("the host is not a plain name (write international names in their xn-- form)"));
    }
    Ok(())
}

/// True for a name that can be passed to Git as a ref or part of one (git-check-ref-format(1), and no leading dash).
pub fn is_ref_name(name: &str) -> bool {
    let bad_char = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    !(name.is_empty()
        || name.len() > 1024
        || name == "@"
        || name.starts_with(['-', '/'])
        || name.ends_with(['/', '.'])
        || name.contains("..")
        || name.contains("//")
        || name.contains("@{")
        || name.chars().any(bad_char)
        || name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock")))
}

/// True for a full object id, SHA-1 or SHA-256.
pub fn is_commit_id(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_hosts_use_passes() {
        for (url, scheme, host) in [
            ("https://github.com/gitpod-io/template-golang-cli", Scheme::Https, "github.com"),
            ("https://Git.Example.ORG:8443/a/b.git", Scheme::Https, "git.example.org:8443"),
            ("http://[::1]:8080/a.git", Scheme::Http, "[::1]:8080"),
            ("git://127.0.0.1:9418/a", Scheme::Git, "127.0.0.1:9418"),
            ("ssh://git@github.com/a/b.git", Scheme::Ssh, "github.com"),
            ("git@gitlab.com:group/sub/project.git", Scheme::Ssh, "gitlab.com"),
        ] {
            let remote = Remote::parse(url).expect(url);
            assert_eq!((remote.scheme(), remote.host(), remote.url()), (scheme, host, url));
        }
    }

    #[test]
    fn hostile_urls_are_refused_before_any_process_is_started() {
        let long = format!("https://example.org/{}", "a".repeat(1 << 16));
        for url in [
            "",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ext::sh -c touch% /tmp/x",
            "fd::7",
            "file:///etc",
            "/etc",
            "../x",
            "https://example.org/a\nb",
            "https://example.org/a%0ahost=evil",
            "https://example.org/a%00",
            "https:///a",
            "https://user:secret@example.org/a",
            "https://token@example.org/a",
            "ssh://-oProxyCommand=x/a",
            "ssh://git@-oProxyCommand=x/a",
            "-oProxyCommand=x:a",
            "git@host:-x",
            "https://exa\u{2215}mple.org/a",
            "https://exämple.org/a",
            "https://[zz]/a",
            "https://[::1]x/a",
            "https://example.org:99999/a",
            "https://example.org",
            "https://example.org/",
            "ftp://e.org/a",
            "https://e.org\\@evil.org/a",
            "host",
            "a:",
            "HTTPS::x",
            long.as_str(),
        ] {
            assert!(Remote::parse(url).is_err(), "{url:?} passed");
        }
    }

    #[test]
    fn names_of_refs_are_as_git_has_them() {
        for name in ["main", "release/1.0/docs", "v1.0.0", "refs/heads/a-b_c", "ünï"] {
            assert!(is_ref_name(name), "{name}");
        }
        for name in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a:b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.lock",
            "a//b",
            "@",
            "a@{1}",
            "a\u{7}",
            "a^",
            "a*",
        ] {
            assert!(!is_ref_name(name), "{name}");
        }
        assert!(is_commit_id(&"a1".repeat(20)) && is_commit_id(&"a1".repeat(32)));
        assert!(!is_commit_id("HEAD") && !is_commit_id(&"A1".repeat(20)) && !is_commit_id(&"a1".repeat(19)));
    }
}
