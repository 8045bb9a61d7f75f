//! The mount calls that `nix` and `rustix` do not offer as we need them.
