//! Which workspace and port a request means: only by its host, never by its path or another header. The grammar is
//! `domain::host`'s; here it is found, and a stranger's host is told from a misspelt one of ours.

use domain::host::PortHost;
use http::{HeaderMap, Uri, header};

/// A Host that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHost {
    /// There is none, or more than one, or it is not text.
    Missing,
    /// The request target names another host than the Host header.
    Differs,
    /// Below our suffix, but no port of a workspace.
    NoSuchHost,
    /// Not below our suffix.
    Foreign,
}

/// The one host of a request: the Host header, with which an absolute-form target must agree.
pub fn of<'a>(uri: &Uri, headers: &'a HeaderMap) -> Result<&'a str, BadHost> {
    let mut values = headers.get_all(header::HOST).iter();
    let host = values.next().and_then(|value| value.to_str().ok()).ok_or(BadHost::Missing)?;
    if values.next().is_some() {
        return Err(BadHost::Missing);
    }
    match uri.authority() {
        Some(authority) if authority.as_str() != host => Err(BadHost::Differs),
        _ => Ok(host),
    }
}

/// Reads `PORT-NAME.SUFFIX[:EDGE]`. Anything that could be read in two ways is no host of ours.
pub fn parse(host: &str, suffix: &str) -> Result<PortHost, BadHost> {
    PortHost::parse(host, suffix).map_err(|_| if is_below(host, suffix) { BadHost::NoSuchHost } else { BadHost::Foreign })
}

fn is_below(host: &str, suffix: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The edge's own port as a browser names it: what follows the colon, else the scheme's.
pub fn edge_port<'a>(host: &'a str, scheme: &str) -> &'a str {
    host.split_once(':').map_or(if scheme == "https" { "443" } else { "80" }, |(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_workspace_is_read_with_and_without_the_edges_own_port() {
        for host in ["3000-web-app.localhost:7280", "3000-web-app.localhost"] {
            let parsed = parse(host, "localhost").expect(host);
            assert_eq!((parsed.name.as_str(), parsed.port), ("web-app", 3000));
        }
    }

    #[test]
    fn a_host_of_somebody_else_is_foreign() {
        for host in ["example.org", "127.0.0.1:7280", "[::1]:7280", "3000-a.localhost.evil.org", "3000-a.evillocalhost", ""] {
            assert_eq!(parse(host, "localhost"), Err(BadHost::Foreign), "{host}");
        }
    }

    #[test]
    fn a_misspelt_host_of_ours_is_not_found() {
        for host in
            ["localhost", "localhost:7280", "app.localhost", "03000-a.localhost", "3000-a.localhost:080", "3000-a.b.localhost"]
        {
            assert_eq!(parse(host, "localhost"), Err(BadHost::NoSuchHost), "{host}");
        }
    }
}
