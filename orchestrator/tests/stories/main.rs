//! Stories about the orchestrator alone: the real service over the real wire, with a node played by the test.

mod clock;
mod fake_node;
mod fake_supervisor;
mod world;

mod access;
mod deadlines;
mod edges;
mod lives;
mod nodes;
mod repositories;
mod streams;
mod uploads;
