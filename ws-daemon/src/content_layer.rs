//! Workspace content that stays where it is: the overlay's upper under the workspace's id on this node.

mod removal;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::task::spawn_blocking;

use crate::error::NodeError;
use crate::layout::{self, Layout};
use crate::ledger::Ledger;
use crate::ports::{WorkspaceContent, WritableLayer};
use crate::store::Store;
pub use removal::{discard, empty_trash};

/// Keeps the writable layer of each workspace in a directory of this node.
#[derive(Clone)]
pub struct NodeLocalContent {
    layout: Layout,
    ledger: Ledger,
    store: Store,
}

impl NodeLocalContent {
    /// Content below `layout`, owned by ranges of `ledger`.
    pub fn new(layout: Layout, ledger: Ledger, store: Store) -> Self {
        Self { layout, ledger, store }
    }

    fn open_now(&self, workspace_id: &str) -> Result<WritableLayer, NodeError> {
        let range = self.ledger.acquire(workspace_id)?;
        let directory = self.layout.workspace(workspace_id);
        let found = directory.join("upper").is_dir();
        layout::private_directory(&directory)?;
        make_layer(&directory, range)?;
        if !found {
            // What was known is of a directory that is not there any more.
            self.store.update_workspace(workspace_id, |record| *record = Default::default())?;
        }
        Ok(WritableLayer { upper: directory.join("upper"), work: directory.join("work"), found, range })
    }

    fn forget_now(&self, workspace_id: &str) -> Result<(), NodeError> {
        removal::discard(&self.layout.workspace(workspace_id), &self.layout.trash())?;
        self.store.delete_workspace(workspace_id)?;
        self.ledger.release(workspace_id)
    }
}

/// Makes `upper` (owned by root of the range) and `work` in a directory.
pub fn make_layer(directory: &Path, range: crate::ports::IdRange) -> Result<(), NodeError> {
    let work = directory.join("work");
    layout::private_directory(&work)?;
    let upper = directory.join("upper");
    if upper.is_dir() {
        return Ok(());
    }
    // Made whole under another name: an upper that is found is one that was finished.
    let doing = || format!("make the writable layer {}", upper.display());
    let unfinished = directory.join("upper.new");
    layout::private_directory(&unfinished)?;
    std::os::unix::fs::chown(&unfinished, Some(range.base), Some(range.base)).map_err(NodeError::io(doing()))?;
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o755)).map_err(NodeError::io(doing()))?;
    std::fs::rename(&unfinished, &upper).map_err(NodeError::io(doing()))
}

#[tonic::async_trait]
impl WorkspaceContent for NodeLocalContent {
    async fn open(&self, workspace_id: &str) -> Result<WritableLayer, NodeError> {
        let (content, id) = (self.clone(), workspace_id.to_owned());
        blocking("open the content of a workspace", move || content.open_now(&id)).await
    }

    async fn keep(&self, workspace_id: &str) -> Result<(), NodeError> {
        let upper = self.layout.workspace(workspace_id).join("upper");
        blocking("keep the content of a workspace", move || sync(&upper)).await
    }

    async fn forget(&self, workspace_id: &str) -> Result<(), NodeError> {
        let (content, id) = (self.clone(), workspace_id.to_owned());
        blocking("forget a workspace", move || content.forget_now(&id)).await
    }

    async fn size(&self, workspace_id: &str) -> Result<u64, NodeError> {
        let upper = self.layout.workspace(workspace_id).join("upper");
        at_low_priority("measure a workspace", move || removal::size(&upper)).await
    }
}

/// Writes the file system of `upper` to the disk; nothing to do where there is none.
fn sync(upper: &Path) -> Result<(), NodeError> {
    let doing = || format!("make {} durable", upper.display());
    match std::fs::File::open(upper) {
        Ok(directory) => rustix::fs::syncfs(&directory).map_err(|error| NodeError::io(doing())(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NodeError::io(doing())(error)),
    }
}

/// Runs a call that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &str,
    call: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    let doing = doing.to_owned();
    spawn_blocking(call).await.unwrap_or_else(|source| Err(NodeError::Inside { doing, source: source.into() }))
}

/// As [`blocking`], on a thread of its own that gives way to everybody else's work.
async fn at_low_priority<T: Send + 'static>(
    doing: &str,
    call: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let work = move || {
        // On Linux a priority is the thread's own. Without it the work is done all the same.
        let _ = rustix::process::setpriority_process(None, 19);
        drop(answer.send(call()));
    };
    std::thread::Builder::new().name("measure".into()).spawn(work).map_err(NodeError::io(doing))?;
    answered.await.unwrap_or_else(|source| Err(NodeError::Inside { doing: doing.into(), source: source.into() }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn content(directory: &Path) -> NodeLocalContent {
        let layout = Layout::open(directory).expect("layout");
        let store = Store::open(&layout.database()).expect("store");
        let ledger = Ledger::new(store.clone(), 1_879_048_192, 8, 0);
        NodeLocalContent::new(layout, ledger, store)
    }

    #[tokio::test]
    async fn a_workspace_finds_what_it_wrote_until_it_is_forgotten() {
        let directory = tempfile::tempdir().expect("directory");
        let content = content(directory.path());
        let layer = content.open("w1").await.expect("made");
        assert!(!layer.found);
        assert_eq!(std::fs::metadata(&layer.upper).expect("upper").uid(), layer.range.base);
        std::fs::write(layer.upper.join("file"), "mine").expect("write");
        content.keep("w1").await.expect("kept");
        let again = content.open("w1").await.expect("found");
        assert!(again.found);
        assert_eq!(std::fs::read_to_string(again.upper.join("file")).expect("read"), "mine");

        content.forget("w1").await.expect("forgotten");
        content.forget("w1").await.expect("bears repeating");
        assert!(!layer.upper.exists());
        assert!(content.ledger.owners().expect("owners").is_empty());
    }

    #[tokio::test]
    async fn what_was_known_of_lost_content_is_not_believed() {
        let directory = tempfile::tempdir().expect("directory");
        let content = content(directory.path());
        let layer = content.open("w1").await.expect("made");
        content.store.update_workspace("w1", |record| record.content_ready = true).expect("stored");
        std::fs::remove_dir_all(&layer.upper).expect("an administrator's mistake");
        content.open("w1").await.expect("made again");
        assert!(!content.store.workspace("w1").expect("record").content_ready);
    }

    #[tokio::test]
    async fn to_keep_what_was_never_opened_is_no_error() {
        let directory = tempfile::tempdir().expect("directory");
        content(directory.path()).keep("w9").await.expect("nothing to do");
    }
}
