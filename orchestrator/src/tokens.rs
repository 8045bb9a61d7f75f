//! The three tokens: of the owner, of nodes, of edges. Made once, kept in files that only the owner of the data directory
//! may read, and compared as hashes.

use std::path::{Path, PathBuf};

use daemon_kit::data_dir::write_private;
use daemon_kit::secret::{Token, TokenHash};

/// The tokens, for who starts the clients.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// For people and programs: `WorkspaceService`.
    pub owner: Token,
    /// For nodes: `NodeService`.
    pub node: Token,
    /// For edges: `EdgeService`.
    pub edge: Token,
}

/// A token could not be read or made.
#[derive(Debug, thiserror::Error)]
#[error("read or make the token {path}")]
pub struct TokenError {
    path: PathBuf,
    source: std::io::Error,
}

/// What tokens are compared by.
#[derive(Debug, Clone, Copy)]
pub struct TokenHashes {
    /// Of the owner's.
    pub owner: TokenHash,
    /// Of the nodes'.
    pub node: TokenHash,
    /// Of the edges'.
    pub edge: TokenHash,
}

impl Tokens {
    /// Reads the tokens, or makes those that are missing.
    pub fn open(directory: &Path) -> Result<Self, TokenError> {
        let token = |name: &str| {
            let path = directory.join(format!("{name}.token"));
            read_or_make(&path).map_err(|source| TokenError { path, source })
        };
        Ok(Self { owner: token("owner")?, node: token("node")?, edge: token("edge")? })
    }

    /// What they are compared by.
    pub fn hashes(&self) -> TokenHashes {
        TokenHashes { owner: self.owner.hash(), node: self.node.hash(), edge: self.edge.hash() }
    }
}

fn read_or_make(path: &Path) -> std::io::Result<Token> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Token::new(text.trim().to_owned())),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let token = Token::random_hex();
    write_private(path, format!("{}\n", token.expose()).as_bytes())?;
    Ok(token)
}
