//! One provider of cryptography for the whole process.

/// Makes ring rustls' provider. First line of every `main` and test that speaks TLS: with two providers compiled in,
/// rustls panics when none is chosen. Bears repeating.
pub fn install_provider() {
    // An error means that it was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
