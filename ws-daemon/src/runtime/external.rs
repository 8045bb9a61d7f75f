//! A runtime with the OCI command line: runc, crun, youki, runsc.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::embedded::{Helper, finish, states};
use super::{Creation, Runtime, State, StateDocument};
use crate::error::NodeError;

/// A program on this machine. `create` goes through the helper, which sets the stage and then becomes the program.
#[derive(Debug)]
pub struct External {
    program: PathBuf,
    helper: Helper,
}

impl External {
    /// `program`: "runc", or a path; `helper` as for the embedded one.
    pub fn new(program: &Path, helper: Option<&Path>) -> Result<Self, NodeError> {
        Ok(Self { program: program.to_owned(), helper: Helper::new(helper)? })
    }

    /// Runs one verb; what it printed, or why it failed.
    fn call(&self, bundle: &Path, words: &[&str]) -> Result<Vec<u8>, NodeError> {
        let doing = format!("{} {}", self.program.display(), words.join(" "));
        let output = Command::new(&self.program)
            .arg("--root")
            .arg(states(bundle))
            .args(words)
            .output()
            .map_err(NodeError::io(doing.clone()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(NodeError::Inside { doing, source: anyhow::anyhow!(said) })
    }

    /// The last line of the runtime's own log says why it failed.
    fn explain(&self, bundle: &Path, error: NodeError) -> NodeError {
        let log = std::fs::read_to_string(bundle.join("staged/runtime.log")).unwrap_or_default();
        match log.lines().last() {
            Some(line) => NodeError::Inside { doing: error.to_string(), source: anyhow::anyhow!(line.to_owned()) },
            None => error,
        }
    }
}

impl Runtime for External {
    fn create(&self, creation: Creation) -> Result<(), NodeError> {
        let (id, bundle) = (creation.id.clone(), creation.bundle.clone());
        let states = states(&bundle);
        let words = ["external".as_ref(), states.as_os_str(), id.as_ref(), bundle.as_os_str(), self.program.as_os_str()];
        let answer = self.helper.run(&words, creation.descriptors());
        finish(answer, &format!("create the container {id} by {}", self.program.display()))
            .map_err(|error| self.explain(&bundle, error))
    }

    fn start(&self, id: &str, bundle: &Path) -> Result<(), NodeError> {
        self.call(bundle, &["start", id]).map(drop)
    }

    fn state(&self, id: &str, bundle: &Path) -> Result<State, NodeError> {
        if !states(bundle).join(id).exists() {
            return Ok(State::Absent);
        }
        let document = self.call(bundle, &["state", id])?;
        let document: StateDocument = serde_json::from_slice(&document).map_err(|error| NodeError::Inside {
            doing: format!("read the state of the container {id}"),
            source: error.into(),
        })?;
        Ok(document.state())
    }

    fn kill(&self, id: &str, bundle: &Path, signal: i32) -> Result<(), NodeError> {
        self.call(bundle, &["kill", id, &signal.to_string()]).map(drop)
    }

    fn delete(&self, id: &str, bundle: &Path) -> Result<(), NodeError> {
        if !states(bundle).join(id).exists() {
            return Ok(());
        }
        self.call(bundle, &["delete", "--force", id]).map(drop)
    }
}
