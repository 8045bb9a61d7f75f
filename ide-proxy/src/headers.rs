//! Which headers change on the way. Hop-by-hop ones end here (RFC 9110 §7.6.1); what we vouch for is overwritten, never
//! appended to what a client claims; our own secrets are taken out; `Host` and `Origin` go on untouched, so that a dev
//! server sees the address that the browser sees.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::credentials;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Claims about who asks that only a trusted proxy before us could make; we have none.
const CLAIMS: [HeaderName; 6] = [
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-ssl"),
];

/// What is told to the workspace about how a request came.
#[derive(Debug)]
pub struct Forwarded<'a> {
    /// The client's address.
    pub client: &'a HeaderValue,
    /// "http" or "https".
    pub scheme: &'static str,
    /// The edge's port, as the browser names it.
    pub port: HeaderValue,
}

/// Makes the head of a request fit for the workspace. Returns the protocol that it wants to change to, if any.
pub fn for_workspace(headers: &mut HeaderMap, forwarded: Forwarded<'_>) -> Option<HeaderValue> {
    let upgrade = wanted_protocol(headers);
    let trailers = headers.get(header::TE).is_some_and(|te| lists(te, "trailers"));
    remove_hop_by_hop(headers);
    for claim in &CLAIMS {
        headers.remove(claim);
    }
    credentials::strip_request(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = &upgrade {
        change_protocol(headers, upgrade.clone());
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.insert(FORWARDED_FOR, forwarded.client.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(forwarded.scheme));
    headers.insert(FORWARDED_PORT, forwarded.port);
    upgrade
}

/// Makes the head of an answer fit for the client.
pub fn for_client(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    credentials::strip_response(headers);
}

/// Puts the two headers that change the protocol.
pub fn change_protocol(headers: &mut HeaderMap, to: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, to);
}

/// The one protocol that a request wants, if its `Connection` says so. Not h2c: that would carry requests past this edge.
fn wanted_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(header::UPGRADE).iter();
    let (wanted, None) = (values.next()?, values.next()) else { return None };
    let asked = headers.get_all(header::CONNECTION).iter().any(|value| lists(value, "upgrade"));
    (asked && !lists(wanted, "h2c")).then(|| wanted.clone())
}

fn lists(value: &HeaderValue, word: &str) -> bool {
    value.to_str().is_ok_and(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
}

/// What is between two neighbours, and what `Connection` names besides. A client cannot have `Host`, framing or cookies
/// taken away by naming them.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    headers.remove(header::PROXY_AUTHENTICATE);
    headers.remove(header::PROXY_AUTHORIZATION);
}

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(',')).map(str::trim);
    // The usual words are not headers to look for, or are removed anyway: this list is empty for nearly every request.
    let unusual =
        words.filter(|word| !["close", "keep-alive", "upgrade", "te"].iter().any(|usual| word.eq_ignore_ascii_case(usual)));
    unusual.filter_map(|word| HeaderName::try_from(word).ok()).filter(|name| !is_end_to_end(name)).collect()
}

fn is_end_to_end(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::COOKIE, header::SET_COOKIE, header::ORIGIN, header::AUTHORIZATION]
        .contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(lines: &[(&'static str, &'static str)]) -> (HeaderMap, Option<HeaderValue>) {
        let lines = lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers: HeaderMap = lines.collect();
        let client = HeaderValue::from_static("127.0.0.1");
        let forwarded = Forwarded { client: &client, scheme: "http", port: HeaderValue::from_static("7280") };
        let upgrade = for_workspace(&mut headers, forwarded);
        (headers, upgrade)
    }

    #[test]
    fn hop_by_hop_headers_end_here_with_those_that_connection_names() {
        let (headers, _) = passed(&[
            ("connection", "keep-alive, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("accept", "*/*"),
        ]);
        for gone in ["connection", "x-mine", "keep-alive", "te"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert!(headers.contains_key("accept"));
    }

    #[test]
    fn a_client_cannot_have_end_to_end_headers_removed() {
        let (headers, _) = passed(&[("connection", "host, cookie, x-forwarded-for"), ("host", "h"), ("cookie", "a=1")]);
        assert_eq!(headers.get("host").expect("host"), "h");
        assert_eq!(headers.get("cookie").expect("cookie"), "a=1");
        assert_eq!(headers.get("x-forwarded-for").expect("ours"), "127.0.0.1");
    }

    #[test]
    fn an_upgrade_counts_only_when_connection_says_so_and_never_to_h2c() {
        let (headers, upgrade) = passed(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(
            (upgrade.expect("wanted"), headers.get("connection").expect("kept")),
            (HeaderValue::from_static("websocket"), &HeaderValue::from_static("upgrade"))
        );
        assert!(passed(&[("upgrade", "websocket")]).1.is_none());
        let (headers, upgrade) =
            passed(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")]);
        assert!(upgrade.is_none() && headers.get("upgrade").is_none() && headers.get("http2-settings").is_none());
    }
}
