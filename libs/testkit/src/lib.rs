//! What tests are made of: the whole suite as a user has it ([`suite`]), what must not be left behind ([`leaks`]), and a
//! host beyond the machine ([`world`]).

pub mod images;
pub mod leaks;
pub mod registry;
pub mod suite;
pub mod world;
