//! Working inside another network namespace: a thread enters it and makes a socket there.
