//! Values that must not be seen: no `Debug`, `Display` or `Serialize` shows them, and they compare in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq as _;

/// A value that is only seen by who calls [`Secret::expose`].
#[derive(Clone)]
pub struct Secret<T>(T);

/// A random token of 256 bits, as text.
pub type Token = Secret<String>;

impl<T> Secret<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Every call is a place to look at in a review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl Token {
    /// 256 random bits of the operating system as 64 lower-case hex digits.
    pub fn random_hex() -> Self {
        Self(hex::encode(random_bytes()))
    }

    /// 256 random bits of the operating system as 43 characters that are good in a URL and in a cookie.
    pub fn random_base64url() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes()))
    }

    /// What may be stored and compared in its place.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

fn random_bytes() -> [u8; 32] {
    use rand::TryRngCore as _;
    let mut bytes = [0; 32];
    // Without random numbers nothing may go on: there is no weaker token to fall back to.
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("random numbers of the operating system");
    bytes
}

impl<T: AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().ct_eq(other.0.as_ref()).into()
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<T> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// The BLAKE3 hash of a token: what is stored, and what tokens are compared by.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token's text.
    pub fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }

    /// Whether this is the hash of `token`; takes the same time for every wrong one.
    pub fn matches(&self, token: &str) -> bool {
        *self == Self::of(token)
    }

    /// 64 hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hash of a token)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_text_made_of_it() {
        let secret = Token::new("hunter2".into());
        let json = serde_json::to_string(&secret).expect("json");
        assert!(!format!("{secret:?} {json}").contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_hash_knows_its_token_and_no_other() {
        let (token, other) = (Token::random_hex(), Token::random_base64url());
        assert_eq!((token.expose().len(), other.expose().len()), (64, 43));
        let stored = TokenHash::from_hex(&token.hash().to_hex()).expect("hex");
        assert!(stored.matches(token.expose()));
        assert!(!stored.matches(other.expose()));
        assert!(token != other);
    }
}
