//! What is to be done for an instance. Imperative; each bears repeating, and each ends in an event.

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hand the spec to a node. Ends in `Admitted`.
    Admit,
    /// Make the image ready on the node. With the other two: ends in `Prepared` or `PreparationFailed`.
    PrepareImage,
    /// Open the writable layer of the workspace.
    PrepareContent,
    /// Make the network namespace and its way out.
    PrepareNetwork,
    /// Stop what is being prepared and wait until it has stopped, so that nothing is made after `ReleaseSandbox`.
    CancelPreparation,
    /// Mount the root and start the container, or find it started. Ends in `StartFailed` when it cannot be.
    CreateContainer,
    /// Follow the supervisor's words and the end of PID 1. Ends in `ContentReady`, `ContentFailed`, `ContainerExited`.
    WatchSupervisor,
    /// Ask the supervisor to end everything within the grace. Ends in `ContainerExited` or `GraceExpired`.
    Drain,
    /// End every process of the container now. Ends in `ContainerExited`.
    Kill,
    /// Make what the workspace wrote durable. Ends in `ContentKept` or `KeepFailed`.
    KeepContent,
    /// Take away container, mounts, cgroups and network. What the workspace wrote stays.
    ReleaseSandbox,
    /// Delete what the workspace keeps on this node. Ends in `ContentForgotten`.
    ForgetContent,
}
