//! Subreaper, dumpable, close_range and other properties of the calling process.
