//! What this workspace is, and the few things that programs inside may ask for.

use std::path::Path;

use api::supervisor::control_service_server::ControlService;
use api::supervisor::info_service_server::InfoService;
use api::supervisor::workspace_info_response::{Repository, WorkspaceLocation};
use api::supervisor::*;
use tonic::{Request, Response, Status};

use super::Gitpod;
use super::absent::absent;
use crate::environment::workspace_url;
use crate::ports;
use crate::service::fault::status;

#[tonic::async_trait]
impl InfoService for Gitpod {
    async fn workspace_info(&self, _: Request<WorkspaceInfoRequest>) -> Result<Response<WorkspaceInfoResponse>, Status> {
        let (config, spec) = (&self.context.config, &self.context.config.spec);
        let origin = self.origin();
        let url = workspace_url(&spec.edge_url_template);
        let host = url.split_once("://").map_or("", |(_, rest)| rest.split_once('.').map_or("", |(_, host)| host));
        Ok(Response::new(WorkspaceInfoResponse {
            workspace_id: spec.workspace_id.clone(),
            instance_id: spec.id.clone(),
            checkout_location: spec.repository_directory.clone(),
            user_home: config.supervisor.home.clone(),
            workspace_context_url: origin.to_owned(),
            repository: repository(origin),
            workspace_cluster_host: host.to_owned(),
            workspace_url: url.clone(),
            workspace_location: self.location(),
            ..Default::default()
        }))
    }
}

impl Gitpod {
    fn origin(&self) -> &str {
        match self.context.config.spec.content.as_ref().and_then(|content| content.initial.as_ref()) {
            Some(api::v1::content_spec::Initial::Git(git)) => &git.origin,
            _ => "",
        }
    }

    /// Only once the content is there: before, an editor would open an empty directory.
    fn location(&self) -> Option<WorkspaceLocation> {
        let location = self.context.config.spec.working_directory.clone();
        if !self.context.hub.with(|state| state.content.as_ref().is_some_and(|content| content.ready)) {
            return None;
        }
        match Path::new(&location) {
            path if path.is_dir() => Some(WorkspaceLocation::WorkspaceLocationFolder(location)),
            path if path.exists() => Some(WorkspaceLocation::WorkspaceLocationFile(location)),
            _ => None,
        }
    }
}

/// Owner and name: the last two parts of a URL's path.
fn repository(origin: &str) -> Option<Repository> {
    let path = origin.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| Repository { owner: owner.into(), name: name.into() })
}

#[tonic::async_trait]
impl ControlService for Gitpod {
    /// A port that is served is its owner's to reach already; one that is not yet gets the visibility of its rule.
    async fn expose_port(&self, request: Request<ExposePortRequest>) -> Result<Response<ExposePortResponse>, Status> {
        let wanted = request.get_ref().port;
        let port = u16::try_from(wanted).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| Status::invalid_argument("a port is between 1 and 65535"))?;
        if !self.context.hub.with(|state| state.ports.iter().any(|known| known.port == wanted)) {
            let rules = &self.context.config.spec.ports;
            let rule = rules.iter().find(|rule| (rule.first..=rule.last).contains(&wanted));
            let visibility = rule.map_or(api::v1::Visibility::Private, |rule| rule.visibility());
            ports::set_visibility(&self.context, port, visibility).map_err(status)?;
        }
        Ok(Response::new(ExposePortResponse {}))
    }

    async fn create_ssh_key_pair(
        &self,
        _: Request<CreateSshKeyPairRequest>,
    ) -> Result<Response<CreateSshKeyPairResponse>, Status> {
        absent("CreateSSHKeyPair")
    }

    async fn create_debug_env(&self, _: Request<CreateDebugEnvRequest>) -> Result<Response<CreateDebugEnvResponse>, Status> {
        absent("CreateDebugEnv")
    }

    async fn send_heart_beat(&self, _: Request<SendHeartBeatRequest>) -> Result<Response<SendHeartBeatResponse>, Status> {
        self.context.hub.active();
        Ok(Response::new(SendHeartBeatResponse {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_name_come_from_either_kind_of_url() {
        for origin in ["https://host.example/acme/app.git", "git@host.example:acme/app.git", "https://h.example/acme/app/"] {
            let repository = repository(origin).expect(origin);
            assert_eq!((repository.owner.as_str(), repository.name.as_str()), ("acme", "app"), "{origin}");
        }
        assert_eq!(repository(""), None);
    }
}
