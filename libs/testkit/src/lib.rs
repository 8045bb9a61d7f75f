//! What tests are made of: the whole suite as a user has it ([`suite`]), what must not be left behind ([`leaks`]), and a
//! host beyond the machine ([`world`]), Git hosts and repositories, sound and hostile ([`git`]).

pub mod git;
pub mod images;
pub mod leaks;
pub mod registry;
pub mod suite;
pub mod world;
