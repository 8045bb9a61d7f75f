//! Id-mapped mounts: `open_tree`, `mount_setattr`, `move_mount`, and user namespaces that only carry a mapping.
