//! What every room of the supervisor is given: configuration, state, ways to start things.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::environment::Environment;
use crate::hub::Hub;
use crate::process::Spawner;
use crate::process::users::Users;
use crate::terminals::Terminals;
use crate::timeline::Timeline;

/// Cheap to clone; everything in it is shared.
#[derive(Clone)]
pub struct Context {
    /// What this instance is.
    pub config: Arc<Config>,
    /// What is known of it.
    pub hub: Hub,
    /// Starts programs.
    pub spawner: Spawner,
    /// Opens terminals.
    pub terminals: Terminals,
    /// Records the start.
    pub timeline: Timeline,
    /// Who there is inside.
    pub users: Users,
    /// What the workspace user's programs find in their environment.
    pub environment: Arc<Environment>,
    /// Ports: the configuration's rules and the owner's choices.
    pub ports: crate::ports::Shared,
    /// Cancelled when the instance begins to shut down.
    pub draining: CancellationToken,
}
