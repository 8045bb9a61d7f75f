//! The settings that decide about workspaces, in the units of the API.

use api::v1::{CreateWorkspaceRequest, Lifecycle};

use crate::config::{Config, InstanceClass};
use crate::error::WorkspaceError;

/// The part of the configuration that workspaces need.
#[derive(Debug, Clone)]
pub struct Settings(Config);

impl Settings {
    /// Takes what it needs.
    pub fn new(config: &Config) -> Self {
        Self(config.clone())
    }

    /// All of it.
    pub fn config(&self) -> &Config {
        &self.0
    }

    /// After how many idle milliseconds a workspace stops; 0 is never.
    pub fn idle_timeout(&self, request: &CreateWorkspaceRequest) -> u64 {
        if request.idle_timeout_ms > 0 { request.idle_timeout_ms } else { self.0.idle_timeout.as_millis() }
    }

    /// How many milliseconds a workspace may run; 0 is for ever.
    pub fn max_lifetime(&self, request: &CreateWorkspaceRequest) -> u64 {
        if request.max_lifetime_ms > 0 { request.max_lifetime_ms } else { self.0.max_lifetime.as_millis() }
    }

    /// The name of the class that a request means.
    pub fn class_name<'a>(&'a self, request: &'a CreateWorkspaceRequest) -> &'a str {
        if request.class.is_empty() { &self.0.default_class } else { &request.class }
    }

    /// The class that a request means.
    pub fn class(&self, request: &CreateWorkspaceRequest) -> Result<&InstanceClass, WorkspaceError> {
        let name = self.class_name(request);
        self.0.classes.get(name).ok_or_else(|| WorkspaceError::Invalid {
            field: "class",
            why: format!("there is no class {name:?}"),
            hint: "leave it out for the default one; the server's configuration lists the classes",
        })
    }

    /// The times that a node keeps by itself.
    pub fn lifecycle(&self, request: &CreateWorkspaceRequest) -> Lifecycle {
        Lifecycle {
            stop_grace_ms: self.0.stop_grace.as_millis(),
            max_lifetime_ms: self.max_lifetime(request),
            start_deadline_ms: self.0.start_deadline.as_millis(),
        }
    }

    /// The address of a port, with `{port}` left in.
    pub fn edge_template(&self, name: &str) -> String {
        self.0.edge_url.replace("{name}", name)
    }
}
