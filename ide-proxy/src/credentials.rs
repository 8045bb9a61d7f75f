//! Our own credentials in a request: finding them, and taking them out before anything goes on to a workspace. A session
//! token is in the cookie [`COOKIE`] (browsers) or in the header [`HEADER`] (curl and other programs).

use http::header::{COOKIE as COOKIES, HeaderMap, HeaderValue, SET_COOKIE};

/// The session cookie. `__Host-`: browsers take it only when it is Secure, host-only and for the whole host, so no other
/// host, and no page of plain HTTP elsewhere, can set or read it.
pub const COOKIE: &str = "__Host-crannog-session";
/// The session header, for clients that are not browsers.
pub const HEADER: &str = "x-crannog-token";
/// Cookies of this prefix are ours.
const OUR_COOKIES: &[u8] = b"__Host-crannog-";
/// Headers of this prefix are ours.
const OUR_HEADERS: &str = "x-crannog-";
/// No token is longer.
const MAX_TOKEN: usize = 256;

/// What a request brought. Neither form keeps the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// The header: a program that was given the token.
    Header(blake3::Hash),
    /// The cookie: a browser, perhaps led here by another page.
    Cookie(blake3::Hash),
    /// More than one: somebody may have planted one of them, so none counts.
    Ambiguous,
}

/// Finds the credential of a request.
pub fn find(headers: &HeaderMap) -> Credential {
    let mut tokens = headers.get_all(HEADER).iter();
    if let Some(token) = tokens.next() {
        return match tokens.next() {
            Some(_) => Credential::Ambiguous,
            None => hash(token.as_bytes()).map_or(Credential::None, Credential::Header),
        };
    }
    let mut found = headers.get_all(COOKIES).iter().flat_map(crumbs).filter_map(session);
    match (found.next(), found.next()) {
        (None, _) => Credential::None,
        (Some(token), None) => hash(token).map_or(Credential::None, Credential::Cookie),
        (Some(_), Some(_)) => Credential::Ambiguous,
    }
}

/// The hash that stands for a token; `None` for what cannot be one.
fn hash(token: &[u8]) -> Option<blake3::Hash> {
    (!token.is_empty() && token.len() <= MAX_TOKEN).then(|| blake3::hash(token))
}

fn crumbs(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

fn session(crumb: &[u8]) -> Option<&[u8]> {
    let (name, value) = crumb.split_at_checked(COOKIE.len())?;
    // Browsers compare the prefix without regard to case; a name that differs only in case is a trick.
    if !name.eq_ignore_ascii_case(COOKIE.as_bytes()) {
        return None;
    }
    value.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii)
}

/// Whether a cookie is one of ours. A cookie without a name ("=value") is sent back as its bare value, so the value
/// counts as a name then.
fn is_ours(crumb: &[u8]) -> bool {
    let crumb = crumb.trim_ascii();
    let crumb = crumb.strip_prefix(b"=").map_or(crumb, <[u8]>::trim_ascii);
    crumb.get(..OUR_COOKIES.len()).is_some_and(|start| start.eq_ignore_ascii_case(OUR_COOKIES))
}

/// Takes our cookies and headers out of a request (or its trailers).
pub fn strip_request(headers: &mut HeaderMap) {
    strip_headers(headers);
    if headers.get_all(COOKIES).iter().flat_map(crumbs).any(is_ours) {
        rewrite_cookies(headers);
    }
}

fn rewrite_cookies(headers: &mut HeaderMap) {
    let kept: Vec<&[u8]> = headers.get_all(COOKIES).iter().flat_map(crumbs).filter(|crumb| !is_ours(crumb)).collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    headers.remove(COOKIES);
    if let Ok(kept) = kept
        && !kept.is_empty()
    {
        headers.insert(COOKIES, kept);
    }
}

/// Takes our headers, and cookies that would replace ours, out of an answer (or its trailers).
pub fn strip_response(headers: &mut HeaderMap) {
    strip_headers(headers);
    let replaces = |value: &HeaderValue| is_ours(value.as_bytes());
    if headers.get_all(SET_COOKIE).iter().any(replaces) {
        let kept: Vec<_> = headers.get_all(SET_COOKIE).iter().filter(|value| !replaces(value)).cloned().collect();
        headers.remove(SET_COOKIE);
        for value in kept {
            headers.append(SET_COOKIE, value);
        }
    }
}

fn strip_headers(headers: &mut HeaderMap) {
    if headers.keys().any(|name| name.as_str().starts_with(OUR_HEADERS)) {
        let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(OUR_HEADERS)).cloned().collect();
        for name in ours {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_str(value).expect("a header value");
        lines.iter().map(|(name, text)| (http::HeaderName::from_static(name), value(text))).collect()
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let found = find(&headers(&[("cookie", "a=1; __Host-crannog-session=secret; b=2")]));
        assert_eq!(found, Credential::Cookie(blake3::hash(b"secret")));
    }

    #[test]
    fn two_sessions_are_none_wherever_they_hide() {
        for lines in [
            &[("cookie", "__Host-crannog-session=a; __Host-crannog-session=b")][..],
            &[("cookie", "__Host-crannog-session=a"), ("cookie", "__Host-crannog-session=a")],
            &[("cookie", "__host-CRANNOG-session=a;__Host-crannog-session =b")],
            &[("x-crannog-token", "a"), ("x-crannog-token", "b")],
        ] {
            assert_eq!(find(&headers(lines)), Credential::Ambiguous, "{lines:?}");
        }
    }

    #[test]
    fn other_cookies_pass_byte_for_byte_and_ours_do_not() {
        let mut own =
            headers(&[("cookie", "a=\"1 2\"; __Host-crannog-session=x; __host-Crannog-other=y; b="), ("x-crannog-token", "z")]);
        strip_request(&mut own);
        assert_eq!(own.get(COOKIES).expect("others"), "a=\"1 2\"; b=");
        assert_eq!(own.len(), 1);
        let mut alone = headers(&[("cookie", "__Host-crannog-session=x")]);
        strip_request(&mut alone);
        assert!(alone.is_empty());
    }

    #[test]
    fn a_workspace_cannot_set_our_cookie_not_even_one_without_a_name() {
        let mut answer = headers(&[
            ("set-cookie", "__Host-crannog-session=x; Path=/; Secure"),
            ("set-cookie", " = __Host-crannog-session=x"),
            ("set-cookie", "__HOST-CRANNOG-SESSION=x"),
            ("set-cookie", "mine=1"),
            ("x-crannog-anything", "x"),
        ]);
        strip_response(&mut answer);
        assert_eq!(answer.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["mine=1"]);
        assert_eq!(answer.len(), 1);
    }
}
