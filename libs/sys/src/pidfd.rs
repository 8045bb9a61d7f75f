//! Process descriptors: open, signal, wait for the end.
