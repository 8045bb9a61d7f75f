//! What an edge asks of `dial.sock` of a node on the same machine: a socket connected to a port of an instance. One JSON
//! packet each way over `SOCK_SEQPACKET`; a good answer carries the connected socket as a descriptor. A connection may
//! ask again and again, one question at a time.

use domain::class::Class;
use serde::{Deserialize, Serialize};

/// No question and no answer is longer; longer ones are refused.
pub const MAX_PACKET: usize = 4096;

/// "Connect me to this port of this instance."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialRequest {
    /// Instance id.
    pub instance: String,
    /// TCP port on the instance's loopback.
    pub port: u16,
}

/// What the node answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialAnswer {
    /// `{"ok":true}`: the socket came with this packet.
    Ok(bool),
    /// `{"error":{…}}`: why there is none.
    Error(DialError),
}

/// Why a port could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct DialError {
    /// Not-found: no such instance here. Failed-precondition: it does not run. Unavailable: nothing listens.
    pub class: Class,
    /// Stable CamelCase word: `NoSuchInstance`, `NotRunning`, `ConnectionRefused`.
    pub reason: String,
    /// For people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_look_as_documented() {
        let question = DialRequest { instance: "3f".into(), port: 3000 };
        assert_eq!(serde_json::to_string(&question).expect("json"), r#"{"instance":"3f","port":3000}"#);
        assert_eq!(serde_json::to_string(&DialAnswer::Ok(true)).expect("json"), r#"{"ok":true}"#);
        let refused =
            DialError { class: Class::Unavailable, reason: "ConnectionRefused".into(), message: "nothing listens".into() };
        let text = r#"{"error":{"class":"unavailable","reason":"ConnectionRefused","message":"nothing listens"}}"#;
        assert_eq!(serde_json::from_str::<DialAnswer>(text).expect("json"), DialAnswer::Error(refused));
    }

    #[test]
    fn a_port_beyond_65535_or_a_misspelt_key_is_refused() {
        serde_json::from_str::<DialRequest>(r#"{"instance":"3f","port":65536}"#).expect_err("no such port");
        serde_json::from_str::<DialRequest>(r#"{"instance":"3f","prot":1}"#).expect_err("no such key");
    }
}
