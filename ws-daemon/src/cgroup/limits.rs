//! Limits by class: CPU time, memory (with no swap beside it) and number of processes.

use std::fs;
use std::io;
use std::path::Path;

use super::hierarchy::Hierarchy;

/// Microseconds over which CPU time is shared out.
const PERIOD_USEC: u64 = 100_000;
/// The kernel refuses a smaller quota.
const LEAST_QUOTA_USEC: u64 = 1_000;

/// Writes the limits that this hierarchy keeps. 0 means none.
pub fn write(hierarchy: &Hierarchy, directory: &Path, wanted: &api::v1::Resources) -> io::Result<()> {
    if hierarchy.has("cpu") {
        cpu(hierarchy, directory, wanted.cpu_millis)?;
    }
    if hierarchy.has("memory") {
        memory(hierarchy, directory, wanted.memory_bytes)?;
    }
    if hierarchy.has("pids") {
        let most = if wanted.pids == 0 { "max".to_owned() } else { wanted.pids.to_string() };
        fs::write(directory.join("pids.max"), most)?;
    }
    Ok(())
}

fn cpu(hierarchy: &Hierarchy, directory: &Path, millis: u64) -> io::Result<()> {
    let quota = (millis * PERIOD_USEC / 1_000).max(LEAST_QUOTA_USEC);
    if hierarchy.unified {
        let quota = if millis == 0 { "max".to_owned() } else { quota.to_string() };
        return fs::write(directory.join("cpu.max"), format!("{quota} {PERIOD_USEC}"));
    }
    let quota = if millis == 0 { "-1".to_owned() } else { quota.to_string() };
    fs::write(directory.join("cpu.cfs_period_us"), PERIOD_USEC.to_string())?;
    fs::write(directory.join("cpu.cfs_quota_us"), quota)
}

fn memory(hierarchy: &Hierarchy, directory: &Path, bytes: u64) -> io::Result<()> {
    if hierarchy.unified {
        let most = if bytes == 0 { "max".to_owned() } else { bytes.to_string() };
        fs::write(directory.join("memory.max"), most)?;
        let swap = if bytes == 0 { "max" } else { "0" };
        return write_if_there(&directory.join("memory.swap.max"), swap);
    }
    if bytes == 0 {
        write_if_there(&directory.join("memory.memsw.limit_in_bytes"), "-1")?;
        return fs::write(directory.join("memory.limit_in_bytes"), "-1");
    }
    fs::write(directory.join("memory.limit_in_bytes"), bytes.to_string())?;
    write_if_there(&directory.join("memory.memsw.limit_in_bytes"), &bytes.to_string())
}

/// Swap accounting is not built into every kernel.
fn write_if_there(file: &Path, value: &str) -> io::Result<()> {
    if file.exists() { fs::write(file, value) } else { Ok(()) }
}
