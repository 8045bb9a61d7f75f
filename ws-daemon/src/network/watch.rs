//! Keeping the rules in force: `nft flush ruleset`, which every reload of Debian's nftables does, takes ours away too. The
//! kernel tells of each change of the rules, and then one look says whether ours are still there.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::{Shared, blocking};
use crate::error::NodeError;

/// Multicast group of changes of nftables: bit 7 - 1 of the mask (`NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h).
const NFTABLES_GROUP: u32 = 1 << 6;

/// A reload is many changes; after the first one, the rest is waited for.
const SETTLE: Duration = Duration::from_millis(100);

/// A socket on which the kernel tells of changes.
pub(super) struct Changes(TokioSocket);

impl Changes {
    /// Subscribes in the network namespace of the calling thread.
    pub(super) fn subscribe() -> Result<Self, NodeError> {
        let open = || {
            let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
            socket.socket_mut().bind(&SocketAddr::new(0, NFTABLES_GROUP))?;
            Ok(Self(socket))
        };
        open().map_err(NodeError::io("listen for changes of the rules"))
    }

    /// Waits for a change, and forgets what it was: only that there was one matters, as when there were too many.
    async fn next(&mut self) -> io::Result<()> {
        match self.0.recv_from_full().await {
            Err(error) if error.raw_os_error() != Some(nix::libc::ENOBUFS) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Looks after the rules whenever any change, for as long as the task lives.
pub(super) async fn keep_rules(shared: Arc<Shared>, mut changes: Changes) {
    while let Ok(()) = changes.next().await {
        // Everything up to a quiet moment is one change.
        while let Ok(Ok(())) = tokio::time::timeout(SETTLE, changes.next()).await {}
        if let Err(error) = blocking(&shared, Shared::mend_rules).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the rules for instances could not be put back");
        }
    }
}
