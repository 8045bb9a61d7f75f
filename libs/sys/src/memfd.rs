//! Sealed memory files: how a configuration is handed over so that neither side can change it afterwards.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

const ALL_SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Makes a memory file with these bytes and seals it (memfd_create(2)). Close-on-exec is set.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.rewind()?;
    fcntl_add_seals(&file, ALL_SEALS)?;
    Ok(file.into())
}

/// Reads a sealed memory file whole. Refuses one that somebody could still write to, and one above `limit` bytes.
pub fn read_sealed(fd: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let seals = fcntl_get_seals(&fd)?;
    if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory file is not sealed"));
    }
    let mut file = File::from(fd);
    file.rewind()?;
    let mut bytes = Vec::new();
    let read = (&mut file).take(limit + 1).read_to_end(&mut bytes)? as u64;
    if read > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the memory file is above {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_back_and_cannot_be_written() {
        let fd = sealed("test", b"words").expect("sealed");
        let copy = File::from(fd.try_clone().expect("dup"));
        assert!((&copy).write_all(b"x").is_err());
        assert_eq!(read_sealed(fd, 5).expect("read"), b"words");
    }

    #[test]
    fn a_file_that_is_too_large_or_not_sealed_is_refused() {
        let large = sealed("test", b"words").expect("sealed");
        assert_eq!(read_sealed(large, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let open = memfd_create("test", MemfdFlags::ALLOW_SEALING).expect("memfd");
        assert_eq!(read_sealed(open, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
