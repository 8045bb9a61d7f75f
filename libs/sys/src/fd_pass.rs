//! Handing descriptors over a Unix socket (`SCM_RIGHTS`), and across `exec`.
