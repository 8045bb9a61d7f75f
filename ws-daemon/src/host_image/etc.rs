//! What of the machine's `/etc` is shown: what any of its users may read, but no keys and no credentials.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::sandbox::scaffold::Entry;

/// Hidden although everybody on the machine may read them: who it is, who may come in, and services' settings.
const PRIVATE: [&str; 24] = [
    "apt/auth.conf",
    "apt/auth.conf.d",
    "cloud",
    "docker",
    "containerd",
    "crypttab",
    "fstab",
    "kubernetes",
    "letsencrypt",
    "machine-id",
    "mysql",
    "netplan",
    "NetworkManager",
    "openvpn",
    "postgresql",
    "rancher",
    "samba",
    "sudoers",
    "sudoers.d",
    "wireguard",
    "wpa_supplicant",
    "crannog",
    "shadow-",
    "gshadow-",
];
/// Written anew, or mounted.
const REPLACED: [&str; 5] = ["shadow", "gshadow", "hosts", "hostname", "resolv.conf"];
/// Written anew where the machine has `sudo`.
const RULES: [&str; 2] = ["sudoers", "sudoers.d"];
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";
/// Keys are small; a bundle of certificates is not looked through.
const MOST_KEY_BYTES: u64 = 64 << 10;
const DEEPEST: usize = 12;

/// The entries for `/etc`; `root` is the machine's.
pub fn entries(root: &Path) -> io::Result<Vec<Entry>> {
    let etc = Path::new("/etc");
    let mut entries = Vec::new();
    walk(root, etc, 0, &mut entries)?;
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    let group = fs::read_to_string(root.join("etc/group")).unwrap_or_default();
    let gid = group.lines().find_map(|line| line.strip_prefix("shadow:x:")?.split(':').next()?.parse().ok()).unwrap_or(0);
    let file =
        |name: &str, text: String, mode: u32, gid: u32| Entry::File { path: etc.join(name), bytes: text.into_bytes(), mode, gid };
    entries.push(file("shadow", locked(&passwd, ":*:19000:0:99999:7:::"), 0o640, gid));
    entries.push(file("gshadow", locked(&group, ":*::"), 0o640, gid));
    if has_sudo(root) {
        let rules = "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n";
        entries.push(file("sudoers", rules.into(), 0o440, 0));
        entries.push(Entry::Empty { path: etc.join("sudoers.d"), mode: 0o750 });
    }
    Ok(entries)
}

/// Every account, none with a password: PAM wants the file, and the machine's own has hashes in it.
fn locked(file: &str, rest: &str) -> String {
    file.lines()
        .filter_map(|line| line.split(':').next())
        .filter(|name| !name.is_empty())
        .map(|name| format!("{name}{rest}\n"))
        .collect()
}

fn walk(root: &Path, directory: &Path, depth: usize, entries: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(below(root, directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        let Ok(found) = entry.metadata() else { continue };
        let within = path.strip_prefix("/etc").unwrap_or(&path);
        if found.is_symlink() || is_replaced(root, within) {
            continue;
        }
        let (mode, is_private) = (found.permissions().mode(), is_one_of(&PRIVATE, within));
        if found.is_dir() {
            match is_private || mode & 0o005 != 0o005 || depth > DEEPEST {
                true => entries.push(Entry::Empty { path, mode: mode & 0o7777 }),
                false => walk(root, &path, depth + 1, entries)?,
            }
        } else if is_private || mode & 0o004 == 0 || is_special(&found) || is_key(&below(root, &path), &path, found.len()) {
            entries.push(Entry::Hidden(path));
        }
    }
    Ok(())
}

fn is_replaced(root: &Path, within: &Path) -> bool {
    is_one_of(&REPLACED, within) || (is_one_of(&RULES, within) && has_sudo(root))
}

fn is_one_of(names: &[&str], within: &Path) -> bool {
    names.iter().any(|name| within == Path::new(name))
}

fn has_sudo(root: &Path) -> bool {
    root.join("usr/bin/sudo").exists()
}

fn is_special(found: &fs::Metadata) -> bool {
    let kind = found.file_type();
    kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device()
}

/// By its name it may be a key, and by what is in it it is one.
fn is_key(file: &Path, path: &Path, length: u64) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let may_be = name.ends_with("key") || name.ends_with(".pem") || name.starts_with("id_") || name.ends_with(".p12");
    if !may_be || length > MOST_KEY_BYTES {
        return false;
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(MOST_KEY_BYTES).read_to_end(&mut bytes));
    // What cannot be looked into is not shown.
    read.is_err() || name.ends_with(".p12") || bytes.windows(KEY_MARK.len()).any(|window| window == KEY_MARK)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("root");
        let write = |path: &str, text: &str, mode: u32| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("parent")).expect("directory");
            fs::write(&file, text).expect("file");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mode");
        };
        write("etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n", 0o644);
        write("etc/group", "root:x:0:\nshadow:x:42:\n", 0o644);
        write("etc/shadow", "ada:$6$hash:1::::::\n", 0o640);
        write("etc/ssh/ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----", 0o600);
        write("etc/app/server.key", "-----BEGIN PRIVATE KEY-----", 0o644);
        write("etc/app/public.pem", "-----BEGIN CERTIFICATE-----", 0o644);
        write("etc/wireguard/wg0.conf", "secret", 0o644);
        root
    }

    #[test]
    fn hashes_and_keys_are_hidden_and_certificates_are_not() {
        let root = machine();
        let entries = entries(root.path()).expect("entries");
        let hides = |path: &str| super::super::hide::is_covered(Path::new(path), &entries);
        assert!(hides("/etc/ssh/ssh_host_ed25519_key") && hides("/etc/app/server.key") && hides("/etc/wireguard/wg0.conf"));
        assert!(!hides("/etc/app/public.pem") && !hides("/etc/passwd"));
    }

    #[test]
    fn the_shadow_file_has_everybody_and_no_password() {
        let root = machine();
        let shadow = entries(root.path()).expect("entries").into_iter().find_map(|entry| match entry {
            Entry::File { path, bytes, gid, .. } if path == Path::new("/etc/shadow") => {
                Some((String::from_utf8_lossy(&bytes).into_owned(), gid))
            }
            _ => None,
        });
        let (shadow, gid) = shadow.expect("shadow");
        assert!(shadow.contains("ada:*:") && !shadow.contains("hash"));
        assert_eq!(gid, 42);
    }
}
