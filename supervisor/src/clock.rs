//! Wall-clock time as the API writes it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
pub fn unix_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Milliseconds since 1970.
pub fn unix_ms() -> i64 {
    unix_us() / 1000
}
