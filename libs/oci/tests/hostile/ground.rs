//! The ground that layers are applied on: a root, with canaries around it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use oci::digest::Digest;
use oci::layer::{Budget, LayerError, Limits, apply};

pub struct Ground {
    directory: tempfile::TempDir,
}

/// All of a file that a harm could change.
type Look = (u32, u32, u32, u64, i64, i64, Vec<u8>);

impl Ground {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("temp dir");
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("canary/sub")).expect("canary");
        std::fs::create_dir(at("root")).expect("root");
        std::fs::write(at("canary/file"), "alive").expect("canary");
        std::fs::write(at("canary/sub/file"), "alive, too").expect("canary");
        std::fs::write(at("passwd"), "root:x:0:0").expect("canary");
        symlink("file", at("canary/link")).expect("canary");
        Self { directory }
    }

    /// Applies layers one upon the other.
    pub fn apply(&self, layers: &[Vec<u8>], limits: Option<Limits>) -> Result<(), LayerError> {
        let mut budget = Budget::new(limits.unwrap_or_default());
        layers.iter().try_for_each(|layer| self.one(layer, &plain_digest(layer), &mut budget))
    }

    /// Applies a layer that is to have a digest.
    pub fn apply_as(&self, layer: &[u8], digest: &Digest) -> Result<(), LayerError> {
        self.one(layer, digest, &mut Budget::new(Limits::default()))
    }

    fn one(&self, layer: &[u8], digest: &Digest, budget: &mut Budget) -> Result<(), LayerError> {
        let root = sys::beneath::open_own_dir(&self.root()).expect("root");
        apply(root.as_fd(), layer, digest, budget, &AtomicBool::new(false)).map(drop)
    }

    pub fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    /// Empties the root for another try.
    pub fn empty(&self) {
        std::fs::remove_dir_all(self.root()).expect("remove");
        std::fs::create_dir(self.root()).expect("root");
    }

    /// What everything outside the root looks like.
    pub fn outside(&self) -> BTreeMap<String, Look> {
        let mut found = BTreeMap::new();
        for name in ["canary", "passwd"] {
            look(&self.directory.path().join(name), name, &mut found);
        }
        let names = std::fs::read_dir(self.directory.path()).expect("list").flatten();
        for name in names.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            found.entry(name).or_insert((0, 0, 0, 0, 0, 0, Vec::new()));
        }
        found
    }

    /// Everything in the root, "d/", "f", "l -> target", in order.
    pub fn inside(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.root(), "", &mut found);
        found.sort();
        found
    }

    /// No devices, and nothing that is also outside.
    pub fn check_inside(&self) -> Result<(), String> {
        let outside: Vec<u64> = self.outside().values().map(|look| look.3).collect();
        walk(&self.root(), &mut |path| {
            let metadata = path.symlink_metadata().map_err(|error| error.to_string())?;
            let kind = metadata.file_type();
            if kind.is_block_device() || kind.is_char_device() || kind.is_socket() {
                return Err(format!("{} is a device", path.display()));
            }
            match !kind.is_dir() && outside.contains(&metadata.ino()) {
                true => Err(format!("{} is another name of a canary", path.display())),
                false => Ok(()),
            }
        })
    }
}

/// The digest of what a packed layer unpacks to; of the bytes themselves when they do not unpack.
fn plain_digest(layer: &[u8]) -> Digest {
    use std::io::Read;
    let mut plain = Vec::new();
    let unpacked = match layer {
        [0x1f, 0x8b, ..] => flate2::read::MultiGzDecoder::new(layer).take(1 << 30).read_to_end(&mut plain).is_ok(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            zstd::stream::read::Decoder::new(layer).and_then(|decoder| decoder.take(1 << 30).read_to_end(&mut plain)).is_ok()
        }
        _ => false,
    };
    Digest::of(if unpacked { &plain } else { layer })
}

fn look(path: &Path, name: &str, found: &mut BTreeMap<String, Look>) {
    let metadata = path.symlink_metadata().expect("canary");
    let content = match metadata.file_type() {
        kind if kind.is_file() => std::fs::read(path).expect("canary"),
        kind if kind.is_symlink() => std::fs::read_link(path).expect("canary").into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    let times = (metadata.mtime_nsec(), metadata.mtime());
    let nlink = if metadata.is_dir() { 0 } else { metadata.nlink() as u32 };
    found.insert(name.to_owned(), (metadata.mode(), metadata.uid(), nlink, metadata.ino(), times.0, times.1, content));
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).expect("canary").flatten() {
            look(&entry.path(), &format!("{name}/{}", entry.file_name().to_string_lossy()), found);
        }
    }
}

fn list(path: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(path).expect("list").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().expect("type") {
            kind if kind.is_dir() => {
                found.push(format!("{name}/"));
                list(&entry.path(), &format!("{name}/"), found);
            }
            kind if kind.is_symlink() => {
                found.push(format!("{name} -> {}", std::fs::read_link(entry.path()).expect("link").display()));
            }
            kind if kind.is_fifo() => found.push(format!("{name}|")),
            _ => found.push(name),
        }
    }
}

fn walk(path: &Path, check: &mut impl FnMut(&Path) -> Result<(), String>) -> Result<(), String> {
    for entry in std::fs::read_dir(path).expect("list").flatten() {
        check(&entry.path())?;
        if entry.file_type().expect("type").is_dir() {
            walk(&entry.path(), check)?;
        }
    }
    Ok(())
}
