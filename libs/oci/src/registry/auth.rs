//! Being let in: `WWW-Authenticate` read, Basic answered, Bearer tokens fetched from the realm. Protocol: distribution,
//! `docs/spec/auth/token.md` and `oauth.md`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use parking_lot::Mutex;
use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use super::{RegistryError, Repository};
use crate::credentials::Credentials;

/// Largest answer of a token service.
const MAX_TOKEN: usize = 256 * 1024;

/// What the registry is shown with each question, once it asked.
#[derive(Default)]
pub struct Authorization(Mutex<Option<String>>);

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorization")
    }
}

impl Authorization {
    pub fn header(&self) -> Option<String> {
        self.0.lock().clone()
    }

    fn set(&self, value: String) {
        *self.0.lock() = Some(value);
    }
}

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Repository {
    /// Answers a challenge; the next questions show what came of it.
    pub(super) async fn authorize(&self, headers: &HeaderMap) -> Result<(), RegistryError> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = values.filter_map(challenge).max_by_key(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let value = match (challenge, &self.credentials) {
            (Some(Challenge::Basic), Some(Credentials::Basic { user, password })) => basic(user, password),
            (Some(Challenge::Bearer { realm, service }), _) => format!("Bearer {}", self.token(&realm, service).await?),
            _ => return Err(self.unauthenticated()),
        };
        self.authorization.set(value);
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<String>) -> Result<String, RegistryError> {
        let realm = Url::parse(realm).map_err(|_| self.refused("its token service has no valid URL"))?;
        if self.base.scheme() == "https" && realm.scheme() != "https" {
            return Err(self.refused("its token service is spoken to in plain http"));
        }
        if !realm.username().is_empty() || realm.password().is_some() {
            return Err(self.refused("its token service's URL has credentials in it"));
        }
        let response = self.ask_for_token(realm, service.as_deref().unwrap_or_default()).await?;
        match response.status().as_u16() {
            200 => {}
            400 | 401 | 403 => return Err(self.unauthenticated()),
            429 | 500..=599 => return Err(self.failing(&response)),
            _ => return Err(self.refused("its token service's status is not of the protocol")),
        }
        let token: Token = serde_json::from_slice(&self.token_body(response).await?)
            .map_err(|_| self.refused("its token service gives no token"))?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        // What cannot be in a header would fail far from here.
        let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        token.ok_or_else(|| self.refused("its token service gives no token"))
    }

    /// The scope is ours, not the challenge's: pulling this repository and nothing else.
    async fn ask_for_token(&self, mut realm: Url, service: &str) -> Result<Response, RegistryError> {
        let scope = format!("repository:{}:pull", self.reference.repository());
        let http = self.client.egress.client(self.reach, &realm)?;
        let request = match &self.credentials {
            Some(Credentials::IdentityToken(token)) => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("service", service), ("scope", &scope)];
                let body = Serializer::new(String::new()).extend_pairs(form).append_pair("client_id", "crannog").finish();
                http.post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            other => {
                if !service.is_empty() {
                    realm.query_pairs_mut().append_pair("service", service);
                }
                realm.query_pairs_mut().append_pair("scope", &scope);
                match other {
                    Some(Credentials::Basic { user, password }) => http.get(realm).header(AUTHORIZATION, basic(user, password)),
                    _ => http.get(realm),
                }
            }
        };
        request.header(ACCEPT, "application/json").send().await.map_err(|error| self.unreachable(error))
    }

    async fn token_body(&self, mut response: Response) -> Result<BytesMut, RegistryError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if bytes.len() + chunk.len() > MAX_TOKEN {
                return Err(self.refused("its token service's answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Reads `Bearer realm="…",service="…"`; quoted values may hold commas and escaped quotes.
fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest);
    let find = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    Some(Challenge::Bearer { realm: find("realm")?, service: find("service") })
}

fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| *c == ',' || c.is_whitespace()).is_some() {}
        let key: String = std::iter::from_fn(|| characters.next_if(|c| *c != '=' && *c != ',')).collect();
        if key.is_empty() || characters.next_if_eq(&'=').is_none() {
            return found;
        }
        let mut value = String::new();
        if characters.next_if_eq(&'"').is_some() {
            while let Some(c) = characters.next().filter(|c| *c != '"') {
                value.extend(if c == '\\' { characters.next() } else { Some(c) });
            }
        } else {
            value.extend(std::iter::from_fn(|| characters.next_if(|c| *c != ',')));
        }
        found.push((key.trim().to_owned(), value.trim().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        let text = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a,b:pull""#;
        assert_eq!(challenge(text), bearer("https://auth.example/token", Some("registry.example")));
        assert_eq!(challenge(r#"bearer service=x, realm="https://e/t?a=\"b\"""#), bearer("https://e/t?a=\"b\"", Some("x")));
        assert_eq!(challenge(r#"Basic realm="x""#), Some(Challenge::Basic));
        for text in ["", "Bearer", "Bearer service=x", "Digest realm=x", "Bearer realm", "Bearer ,,,="] {
            assert_eq!(challenge(text), None, "{text}");
        }
        assert_eq!(challenge(r#"Bearer realm="unended"#), bearer("unended", None));
    }
}
