//! Takes credentials out of texts that people or logs will see: what we know to be secret, and whatever stands between
//! "://" and "@" in a URL.

/// Secrets of one run of Git.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Texts shorter than four bytes are not looked for: taking them out would only garble the message.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|s| s.len() >= 4).collect();
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Self { secrets }
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        without_userinfo(&text)
    }
}

fn without_userinfo(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| matches!(c, '/' | '\'' | '"') || c.is_whitespace()).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(sign) if !before.ends_with("ssh://") || after[..sign].contains(':') => {
                clean.push_str("***");
                rest = &after[sign..];
            }
            _ => rest = after,
        }
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_userinfo_go_and_the_rest_stays() {
        let redactor = Redactor::new(["ghp_token".to_owned(), "ab".to_owned()]);
        for (text, clean) in [
            ("fatal: ghp_token was refused", "fatal: *** was refused"),
            ("'https://me:pw@e.org/a' not found", "'https://***@e.org/a' not found"),
            ("https://tok@e.org/a and http://e.org/b@c", "https://***@e.org/a and http://e.org/b@c"),
            ("ssh://git@e.org/a", "ssh://git@e.org/a"),
            ("no abs", "no abs"),
        ] {
            assert_eq!(redactor.clean(text), clean);
        }
    }
}
