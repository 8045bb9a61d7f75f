//! PID 1: takes what the node hands over, lives, and ends when nothing else does.

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    // Images without `sudo` get this binary under that name.
    if supervisor::sudo::called() {
        supervisor::sudo::main();
    }
    // Nobody inside reads the memory of PID 1: it holds credentials for a while.
    nix::sys::prctl::set_dumpable(false).context("protect the process")?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).with_ansi(false).init();
    let inputs = supervisor::config::Inputs::take()?;
    // One thread: what it does is wait. Starting a program and reaping never meet (see `reap`).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(supervisor::app::run(inputs))
}
