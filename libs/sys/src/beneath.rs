//! Opening, making and linking files below a directory descriptor with `openat2`, never following out of it.
