//! Blobs into files: what came before is kept and hashed again, the rest is asked for by `Range`, and nothing counts
//! until all bytes have the digest they were asked for by.

use std::io::SeekFrom;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::exchange::Pauses;
use super::{RegistryError, Repository};
use crate::digest::Hasher;
use crate::manifest::Descriptor;

/// Bytes at once when hashing what is there.
const CHUNK: usize = 256 * 1024;

/// A file that holds the beginning of a blob, and the hash of what it holds.
struct Partial<'a> {
    file: &'a mut File,
    hasher: Hasher,
    length: u64,
}

impl Repository {
    /// Completes `file` to the blob. `file` may hold what an earlier attempt left; `received` is told of each new piece.
    /// On success the file has exactly the bytes of the descriptor. Nothing is flushed to disk.
    pub async fn blob(
        &self,
        descriptor: &Descriptor,
        file: &mut File,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut partial = Partial::continued(file, descriptor).await.map_err(RegistryError::Write)?;
        let had_before = partial.length > 0;
        self.complete(descriptor, &mut partial, received).await?;
        if partial.hasher.clone().finish() == descriptor.digest {
            return Ok(());
        }
        if had_before {
            // What lay on disk may be what is wrong: once more, all of it.
            partial.restart(descriptor).await.map_err(RegistryError::Write)?;
            self.complete(descriptor, &mut partial, received).await?;
        }
        let found = partial.hasher.clone().finish();
        if found == descriptor.digest {
            return Ok(());
        }
        partial.restart(descriptor).await.map_err(RegistryError::Write)?;
        Err(RegistryError::Digest { image: self.reference.to_string(), wanted: descriptor.digest.clone(), found })
    }

    /// Asks until the file is as long as the blob. As long as each answer brings something, it goes on.
    async fn complete(
        &self,
        descriptor: &Descriptor,
        partial: &mut Partial<'_>,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut pauses = Pauses::new(self.client.options.retry_pause);
        while partial.length < descriptor.size {
            let before = partial.length;
            let result = self.some(descriptor, partial, received).await;
            partial.file.flush().await.map_err(RegistryError::Write)?;
            if partial.length > before {
                pauses = Pauses::new(self.client.options.retry_pause);
            }
            match result {
                Err(error) => pauses.wait(error).await?,
                Ok(()) if partial.length > before => {}
                Ok(()) => pauses.wait(RegistryError::Interrupted { host: self.host() }).await?,
            }
        }
        Ok(())
    }

    async fn some(
        &self,
        descriptor: &Descriptor,
        partial: &mut Partial<'_>,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let url = self.url("blobs", &descriptor.digest.to_string())?;
        let mut response = self.get(&url, &[], partial.length).await?;
        if !continues_at(&response, partial.length) {
            // It does not know ranges, or not this one: from the start.
            partial.restart(descriptor).await.map_err(RegistryError::Write)?;
            if response.status() != StatusCode::OK {
                return Ok(());
            }
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if partial.length + chunk.len() as u64 > descriptor.size {
                partial.restart(descriptor).await.map_err(RegistryError::Write)?;
                return Err(self.refused("a blob is longer than its manifest says"));
            }
            partial.append(&chunk).await.map_err(RegistryError::Write)?;
            received(chunk.len() as u64);
        }
        Ok(())
    }
}

/// Whether an answer's first byte is the one asked for.
fn continues_at(response: &Response, offset: u64) -> bool {
    match response.status() {
        StatusCode::OK => offset == 0,
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
            first == Some(offset)
        }
        _ => false,
    }
}

impl<'a> Partial<'a> {
    /// Hashes what is in the file; more than the blob has is no part of it.
    async fn continued(file: &'a mut File, descriptor: &Descriptor) -> std::io::Result<Self> {
        let mut partial = Self { file, hasher: Hasher::new(descriptor.digest.algorithm()), length: 0 };
        if partial.file.metadata().await?.len() > descriptor.size {
            partial.restart(descriptor).await?;
        }
        partial.file.seek(SeekFrom::Start(0)).await?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match partial.file.read(&mut buffer).await? {
                0 => return Ok(partial),
                read => {
                    partial.hasher.update(&buffer[..read]);
                    partial.length += read as u64;
                }
            }
        }
    }

    async fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    async fn restart(&mut self, descriptor: &Descriptor) -> std::io::Result<()> {
        self.file.flush().await?;
        self.file.set_len(0).await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        self.hasher = Hasher::new(descriptor.digest.algorithm());
        self.length = 0;
        Ok(())
    }
}
