//! Images from registries: a [`reference`] names one, [`registry`] speaks to where it lies, [`manifest`] and [`config`]
//! read what it is, [`layer`] applies its layers, and [`store`] keeps it whole on this node, once for each digest.
//!
//! Nothing that comes from a registry is believed: every byte is checked against the digest it was asked for by before
//! it is used, every document is bounded and can be read in one way only, every name in a layer is resolved by the
//! kernel inside the root it is for, and no request leads nearer to this machine than the registry itself is.

pub mod archive;
pub mod config;
pub mod credentials;
pub mod digest;
pub mod layer;
pub mod manifest;
pub mod reference;
pub mod registry;
pub mod store;
