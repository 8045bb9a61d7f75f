//! A new workspace: checked, named, stored, and then started in the background.

use std::sync::Arc;

use api::v1::{CreateWorkspaceRequest, Workspace};
use domain::name;
use domain::source;
use tokio::sync::Mutex;

use super::record::{Instance, Record, new_id};
use super::{Draft, SharedWorkspaces, Workspaces, request_key, view};
use crate::error::WorkspaceError;

impl Workspaces {
    /// Creates a workspace and answers when it is stored. Its start goes on in the background.
    pub async fn create(
        self: &SharedWorkspaces,
        request: CreateWorkspaceRequest,
        owner: &str,
    ) -> Result<Workspace, WorkspaceError> {
        let arguments = CreateWorkspaceRequest { request_id: String::new(), ..request.clone() };
        let key = request_key(&request.request_id, "CreateWorkspace", &arguments);
        let _turn = self.turn.lock().await;
        if let Some(id) = self.answered(key.as_ref()).await? {
            return self.state(&id);
        }
        let base = self.check(&request).await?;
        let record = self.new_record(request, &base, owner)?;
        let mut draft = Draft { now: record.created, ..Draft::default() };
        let source = record.request.source.as_ref().map(shown).unwrap_or_default();
        draft.event("workspace.created", format!("created from {source}"), owner);
        draft.answers(key);
        self.commit(&record, draft).await?;
        let (id, instance) = (record.id.clone(), record.instance.id.clone());
        self.hub.publish(view::view(&record, &self.settings));
        let slot = Arc::new(Mutex::new(record));
        self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id.clone(), slot);
        self.spawn_start(&id, &instance);
        self.state(&id)
    }

    /// Checks all that can be without looking into the repository; gives the name that its repository suggests.
    async fn check(&self, request: &CreateWorkspaceRequest) -> Result<String, WorkspaceError> {
        let source = request.source.clone().unwrap_or_default();
        self.settings.class(request)?;
        api::convert::check_variables(&request.env).map_err(|error| WorkspaceError::Invalid {
            field: "env",
            why: error.to_string(),
            hint: "names are made of letters, digits and '_', and do not begin with a digit",
        })?;
        check_image(&request.image)?;
        if source.bundle_digest.is_empty() {
            return Ok(source::parse(&source.url)?.name);
        }
        for reference in [&source.r#ref, &source.commit, &source.changes_ref].into_iter().filter(|text| !text.is_empty()) {
            source::check_reference(reference)?;
        }
        let known = self.store.source(&source.bundle_digest).await?;
        known.ok_or_else(|| WorkspaceError::NoSuchSource(source.bundle_digest.clone()))?;
        Ok(name::from_repository(&super::spec::local_name(&source)))
    }

    fn new_record(&self, mut request: CreateWorkspaceRequest, base: &str, owner: &str) -> Result<Record, WorkspaceError> {
        let name = if request.name.is_empty() {
            name::unused(base, |name| self.hub.is_taken(name))
        } else {
            name::check(&request.name)?;
            if self.hub.is_taken(&request.name) {
                let suggestion = name::unused(&request.name, |name| self.hub.is_taken(name));
                return Err(WorkspaceError::NameTaken { name: request.name, suggestion });
            }
            request.name.clone()
        };
        let now = self.clock.now();
        request.request_id.clear();
        let warnings = request.source.as_ref().and_then(|source| source::parse(&source.url).ok()).map(|source| source.warnings);
        strip_credentials(&mut request);
        Ok(Record {
            id: new_id(),
            name,
            owner: owner.into(),
            created: now,
            deleted: false,
            forgotten: false,
            request,
            revision: 1,
            node: String::new(),
            commit: String::new(),
            branch: String::new(),
            warnings: warnings.unwrap_or_default(),
            content_ready: false,
            init_done: false,
            last_activity: now,
            visibility: Default::default(),
            instance: Instance::new(now),
        })
    }
}

/// What was typed may hold a password, which is neither stored nor shown: the cleaned address takes its place. What
/// names a page (`/tree/…`) without credentials stays as it was typed.
fn strip_credentials(request: &mut CreateWorkspaceRequest) {
    let Some(source) = request.source.as_mut() else { return };
    for text in [&mut source.url, &mut source.origin, &mut source.display] {
        if let Ok(mut url) = url::Url::parse(text) {
            let has_credentials = url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty());
            if has_credentials {
                let _ = url.set_password(None);
                let _ = url.set_username("");
                *text = url.to_string();
            }
        }
    }
}

/// A reference is parsed by the node; here only what no reference can be is refused.
fn check_image(image: &str) -> Result<(), WorkspaceError> {
    let good = image.len() <= 512 && !image.starts_with('-') && image.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some(()).ok_or_else(|| WorkspaceError::Invalid {
        field: "image",
        why: "that is not a reference of an image".into(),
        hint: "use `host`, or a reference such as docker.io/library/debian:12",
    })
}

/// The source in words.
pub(super) fn shown(source: &api::v1::Source) -> String {
    [&source.display, &source.url, &source.origin]
        .into_iter()
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_else(|| "a bundle".into())
}
