//! Looking into a repository before there is a workspace: which commit a source means, and its configuration file. A
//! repository is hostile, and so is its URL: Git runs in a throw-away instance with a network of its own, and nothing of
//! it is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::v1::{InstanceSpec, Kind, ResolveRequest, ResolveResponse, Resources};
use domain::class::Class;
use prost::Message as _;
use tokio::sync::{Semaphore, oneshot};

use crate::content_layer::{blocking, discard, make_layer};
use crate::error::NodeError;
use crate::instances::{Prepared, create, timeline::Timeline};
use crate::metrics::Metrics;
use crate::ports::{IdRange, WritableLayer};
use crate::supervisor;
use crate::world::World;

/// Limits of a throw-away instance: Git needs little, and a hostile repository gets no more.
const LIMITS: Resources = Resources { cpu_millis: 2_000, memory_bytes: 1 << 30, pids: 256 };

/// Runs throw-away instances. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    world: World,
    image: String,
    places: Arc<Semaphore>,
    limit: Duration,
}

impl Resolver {
    /// At most `parallel` at once, of `image`, each within `limit`.
    pub fn new(world: World, image: &str, parallel: usize, limit: Duration) -> Self {
        Self { world, image: image.into(), places: Arc::new(Semaphore::new(parallel.max(1))), limit }
    }

    /// Answers what a source is. The instance is taken away after the answer, also when nobody waits for it any more.
    pub async fn resolve(&self, request: ResolveRequest) -> Result<ResolveResponse, NodeError> {
        let this = self.clone();
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let Ok(_place) = this.places.clone().acquire_owned().await else { return };
            let id = hex::encode(rand::random::<[u8; 16]>());
            let begun = Instant::now();
            let result = this.resolve_in(&id, request).await;
            Metrics::resolved(begun.elapsed(), result.is_ok());
            let _ = answer.send(result);
            this.remove(&id).await;
        });
        let ended =
            |source: oneshot::error::RecvError| NodeError::Inside { doing: "resolve a source".into(), source: source.into() };
        answered.await.unwrap_or_else(|source| Err(ended(source)))
    }

    async fn resolve_in(&self, id: &str, request: ResolveRequest) -> Result<ResolveResponse, NodeError> {
        let timeline = Timeline::new(Vec::new(), || {});
        let asked = tokio::time::timeout(self.limit, self.ask(id, request, &timeline)).await;
        let mut response = asked.unwrap_or_else(|_| Err(timed_out(self.limit)))?;
        let theirs = std::mem::take(&mut response.timeline);
        response.timeline = timeline.steps().into_iter().chain(theirs.into_iter().take(64)).collect();
        Ok(response)
    }

    async fn ask(&self, id: &str, request: ResolveRequest, timeline: &Timeline) -> Result<ResolveResponse, NodeError> {
        let spec = throw_away(id, &self.image);
        let prepared = self.prepare(&spec, &request, timeline).await?;
        let sandbox = create::job_sandbox(&spec, &prepared);
        let start = async {
            let user = self.world.sandboxes.prepare(&sandbox).await?;
            let socket = create::listen(&self.world, id)?;
            let config = create::job_config(&spec, &prepared, user).encode_to_vec();
            self.world.sandboxes.start(&sandbox, socket, &config).await
        };
        timeline.run("runtime", start, |_, _| {}).await?;
        let ask = async {
            let mut client = supervisor::connect(&self.world.layout.supervisor_socket(id)).await?;
            client.resolve(request).await.map_err(|status| supervisor::refused(&status))
        };
        Ok(timeline.run("resolve", ask, |_, _| {}).await?.into_inner())
    }

    async fn prepare(&self, spec: &InstanceSpec, request: &ResolveRequest, timeline: &Timeline) -> Result<Prepared, NodeError> {
        let world = &self.world;
        let bundle = async {
            match request.bundle_digest.as_str() {
                "" => Ok(None),
                digest => {
                    crate::layout::private_directory(&world.layout.instance(&spec.id))?;
                    let path = world.layout.bundle(&spec.id);
                    world.sources.fetch(digest, &path, timeline.progress("source")).await?;
                    Ok(Some(path))
                }
            }
        };
        let (image, layer, network, bundle) = tokio::try_join!(
            timeline
                .run("image", world.images.prepare(&spec.image, timeline.progress("image")), |image, step| step.hit = image.hit),
            self.layer(&spec.id),
            timeline.run("network", world.networks.create(&spec.id), |_, _| {}),
            bundle,
        )?;
        Ok(Prepared { image, layer, network, bundle, content_ready: true, init_done: true })
    }

    /// A writable layer that goes with the instance.
    async fn layer(&self, id: &str) -> Result<WritableLayer, NodeError> {
        let (ledger, directory, owner) = (self.world.ledger.clone(), self.world.layout.instance(id), owner(id));
        blocking("make the layer of a throw-away instance", move || {
            let range: IdRange = ledger.acquire(&owner)?;
            crate::layout::private_directory(&directory)?;
            make_layer(&directory, range)?;
            Ok(WritableLayer { upper: directory.join("upper"), work: directory.join("work"), found: false, range })
        })
        .await
    }

    /// Takes the instance away. What fails here is found and taken away at the next start of the daemon.
    async fn remove(&self, id: &str) {
        let world = self.world.clone();
        let removed = async {
            world.sandboxes.remove(id).await?;
            world.networks.remove(id).await?;
            let (layout, ledger, id) = (world.layout.clone(), world.ledger.clone(), id.to_owned());
            blocking("remove a throw-away instance", move || {
                discard(&layout.instance(&id), &layout.trash())?;
                ledger.release(&owner(&id))
            })
            .await
        };
        if let Err(error) = removed.await {
            tracing::error!(id, error = daemon_kit::status::chain(&error), "remove a throw-away instance");
        }
    }
}

fn owner(id: &str) -> String {
    format!("{}{id}", crate::instances::THROW_AWAY)
}

fn throw_away(id: &str, image: &str) -> InstanceSpec {
    InstanceSpec {
        id: id.into(),
        workspace_id: id.into(),
        workspace_name: "resolve".into(),
        kind: Kind::Job.into(),
        generation: 1,
        image: image.into(),
        resources: Some(LIMITS),
        working_directory: "/workspace".into(),
        ..InstanceSpec::default()
    }
}

fn timed_out(limit: Duration) -> NodeError {
    NodeError::refused(
        Class::DeadlineExceeded,
        "ResolveDeadlineExceeded",
        format!("the repository did not answer within {} seconds", limit.as_secs()),
        "check that the host can be reached from the server, then try again",
    )
}
