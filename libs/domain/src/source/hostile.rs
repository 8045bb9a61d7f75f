//! What no honest source has: options in disguise, transport helpers, control characters, look-alike slashes.

use super::SourceError;

/// The longest source that is read, in bytes.
const MAX_LENGTH: usize = 4096;

/// Characters that look like a slash, a dot or like nothing, and those that turn the direction of text.
const DISGUISED: [char; 17] = [
    '\u{2044}', '\u{2215}', '\u{29f8}', '\u{ff0f}', '\u{ff3c}', '\u{fe68}', '\u{2024}', '\u{ff0e}', '\u{200b}', '\u{200e}',
    '\u{200f}', '\u{202a}', '\u{202b}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{feff}',
];

/// Refuses a text by its looks.
pub(super) fn refuse(text: &str) -> Result<(), SourceError> {
    if text.is_empty() {
        return Err(SourceError::Empty);
    }
    match why(text) {
        Some(why) => Err(SourceError::Hostile { shown: shown(text), why }),
        None => Ok(()),
    }
}

fn why(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let encoded = ["%00", "%0a", "%0d", "%09", "%1b", "%7f"];
    let dots = |part: &str| matches!(part.replace("%2e", ".").as_str(), "." | "..");
    let beginning = lower.split('#').next().unwrap_or_default();
    if text.len() > MAX_LENGTH {
        Some("it is longer than 4096 bytes")
    } else if text.starts_with('-') {
        Some("it would be read as an option")
    } else if text.chars().any(char::is_control) {
        Some("it holds control characters")
    } else if text.chars().any(char::is_whitespace) {
        Some("it holds blanks")
    } else if text.chars().any(|letter| DISGUISED.contains(&letter)) {
        Some("it holds characters that look like others")
    } else if encoded.iter().any(|code| lower.contains(code)) {
        Some("it holds encoded control characters")
    } else if is_helper(&lower) {
        Some("it names a transport helper, which runs a program")
    } else if text.contains('\\') {
        Some("it holds backslashes")
    } else if beginning.split(['/', '?']).any(dots) || beginning.contains("%2f..") || beginning.contains("..%2f") {
        Some("its path leads upwards")
    } else {
        None
    }
}

/// `ext::sh -c …`, `fd::17`: `helper::address`, where Git runs `git-remote-helper`.
fn is_helper(text: &str) -> bool {
    text.split_once("::").is_some_and(|(helper, _)| {
        !helper.is_empty() && helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
    })
}

/// Refuses parts of a URL that a program behind Git would read as an option.
pub(super) fn refuse_url(url: &url::Url) -> Result<(), SourceError> {
    let shown_url = || shown(url.as_str());
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(SourceError::NotAUrl(shown_url()));
    }
    let user = url.username().to_ascii_lowercase();
    let path = url.path().trim_start_matches('/').to_ascii_lowercase();
    let as_option = |part: &str| part.starts_with('-') || part.starts_with("%2d");
    if as_option(host) || as_option(&user) || as_option(&path) {
        return Err(SourceError::Hostile { shown: shown_url(), why: "a part of it would be read as an option" });
    }
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    if !is_plain(host) || !is_plain(&user) {
        return Err(SourceError::Hostile { shown: shown_url(), why: "its host or user holds characters that none has" });
    }
    if url.port() == Some(0) {
        return Err(SourceError::Hostile { shown: shown_url(), why: "its port is 0" });
    }
    Ok(())
}

/// A source as it may be shown: short, on one line, without what stands before an `@`.
pub(super) fn shown(text: &str) -> String {
    let rest = text.split_once("://");
    let text = match rest.and_then(|(scheme, rest)| Some((scheme, rest, rest.split('/').next()?.rfind('@')?))) {
        Some((scheme, rest, at)) => format!("{scheme}://{}", &rest[at + 1..]),
        None => text.to_owned(),
    };
    let short: String = text.chars().take(120).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
