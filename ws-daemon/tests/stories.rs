//! Stories of one node alone: the real engine, store, stream and sockets, with fake images, networks and containers whose
//! PID 1 is a supervisor in the test.

#[path = "stories/crashes.rs"]
mod crashes;
#[path = "stories/hostile.rs"]
mod hostile;
#[path = "stories/life.rs"]
mod life;
#[path = "stories/local.rs"]
mod local;
#[path = "stories/lowers.rs"]
mod lowers;
#[path = "stories/stream.rs"]
mod stream;
#[path = "stories/support.rs"]
mod support;
#[path = "stories/tunnels.rs"]
mod tunnels;
