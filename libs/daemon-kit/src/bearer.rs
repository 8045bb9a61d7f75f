//! `authorization: Bearer TOKEN`, on both sides.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::secret::Token;

/// A client's side: puts the token on every call.
#[derive(Clone)]
pub struct Bearer(AsciiMetadataValue);

impl Bearer {
    /// `None` when the token has characters that no header may have.
    pub fn new(token: &Token) -> Option<Self> {
        let mut value: AsciiMetadataValue = format!("Bearer {}", token.expose()).parse().ok()?;
        // Keeps it out of logs and of the compression table of HTTP/2.
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(AUTHORIZATION.as_str(), self.0.clone());
        Ok(request)
    }
}

/// A server's side: the token of a request. Two headers are none: what is ambiguous is not believed.
pub fn token_of(headers: &HeaderMap) -> Option<Token> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Token::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_a_server_reads() {
        let token = Token::random_hex();
        let request = Bearer::new(&token).expect("hex is fine").call(Request::new(())).expect("call");
        let headers = request.metadata().clone().into_headers();
        assert!(token_of(&headers).expect("token") == token);
        assert!(!format!("{headers:?}").contains(token.expose()));
    }

    #[test]
    fn no_two_or_other_authorizations_are_no_token() {
        let mut headers = HeaderMap::new();
        assert!(token_of(&headers).is_none());
        headers.append(AUTHORIZATION, "Basic abc".parse().expect("value"));
        assert!(token_of(&headers).is_none());
        headers.insert(AUTHORIZATION, "bearer abc".parse().expect("value"));
        assert!(token_of(&headers).is_some());
        headers.append(AUTHORIZATION, "Bearer def".parse().expect("value"));
        assert!(token_of(&headers).is_none());
    }
}
