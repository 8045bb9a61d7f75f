//! The workspace's user: the image's own, or one that is made in it.

use std::io;

use super::accounts::{self, Account};
use super::root_dir::{Owner, RootDir};

/// The user of Gitpod's images.
const GITPOD: &str = "gitpod";
/// Made where the image names nobody.
const OURS: &str = "crannog";
const OUR_UID: u32 = 1_000;
const SHELLS: [&str; 4] = ["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"];

/// Why there is no user to be had.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A file of the root could not be read or written.
    #[error("prepare the workspace's user: {0}")]
    Io(&'static str, #[source] io::Error),
    /// The image's configuration names somebody that cannot be.
    #[error("the image's user {0:?} is not in its /etc/passwd, or is not an id between 1 and 65533")]
    Unusable(String),
    /// There is nothing that can run a command.
    #[error("the image has no shell: neither /bin/bash nor /bin/sh is in it")]
    NoShell,
}

/// Finds the user, or makes one. `wanted` is the image configuration's `User`. Bears repeating.
pub fn ensure(root: &RootDir, wanted: &str) -> Result<Account, UserError> {
    let passwd = text(root, "/etc/passwd")?;
    let mut account = match choose(&passwd, wanted)? {
        Choice::Known(account) => account,
        Choice::Make { name, uid, gid } => make(root, &passwd, name, uid, gid)?,
    };
    account.shell = shell(root, &account.shell)?;
    home(root, &mut account)?;
    Ok(account)
}

enum Choice {
    Known(Account),
    Make { name: &'static str, uid: u32, gid: Option<u32> },
}

fn choose(passwd: &str, wanted: &str) -> Result<Choice, UserError> {
    let known = accounts::accounts(passwd);
    let named = |name: &str| known.iter().find(|account| account.name == name && accounts::is_usable(account.uid)).cloned();
    if let Some(gitpod) = named(GITPOD) {
        return Ok(Choice::Known(gitpod));
    }
    let (user, group) = wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
    if matches!(user, "" | "root" | "0") {
        return Ok(named(OURS).map_or(Choice::Make { name: OURS, uid: OUR_UID, gid: None }, Choice::Known));
    }
    if let Some(account) = named(user) {
        return Ok(Choice::Known(account));
    }
    let unusable = || UserError::Unusable(wanted.to_owned());
    let uid: u32 = user.parse().ok().filter(|uid| accounts::is_usable(*uid)).ok_or_else(unusable)?;
    match known.into_iter().find(|account| account.uid == uid) {
        Some(account) => Ok(Choice::Known(account)),
        None => Ok(Choice::Make {
            name: OURS,
            uid,
            gid: group.and_then(|gid| gid.parse().ok()).filter(|gid| accounts::is_usable(*gid)),
        }),
    }
}

fn make(root: &RootDir, passwd: &str, name: &str, uid: u32, gid: Option<u32>) -> Result<Account, UserError> {
    let group = text(root, "/etc/group")?;
    let free = |wanted| accounts::free_id(&[passwd, &group], wanted).ok_or_else(|| UserError::Unusable(name.to_owned()));
    let uid = free(uid)?;
    let gid = match accounts::group_id(&group, name).or(gid) {
        Some(gid) => gid,
        None => free(uid)?,
    };
    let account = Account { name: name.to_owned(), uid, gid, home: format!("/home/{name}"), shell: String::new() };
    let shell = shell(root, "")?;
    if !accounts::has_name(&group, name) {
        write(root, "/etc/group", &accounts::with_line(&group, &format!("{name}:x:{gid}:")), 0o644)?;
    }
    // Of the four files passwd is written last: what it names is complete then.
    add_if_there(root, "/etc/gshadow", name, &format!("{name}:!::"))?;
    add_if_there(root, "/etc/shadow", name, &format!("{name}:*:19000:0:99999:7:::"))?;
    let line = format!("{name}:x:{uid}:{gid}:Workspace:{}:{shell}", account.home);
    write(root, "/etc/passwd", &accounts::with_line(passwd, &line), 0o644)?;
    Ok(account)
}

/// Shadow files keep the group that they have.
fn add_if_there(root: &RootDir, path: &'static str, name: &str, line: &str) -> Result<(), UserError> {
    let Some(bytes) = root.read(path).map_err(|error| UserError::Io(path, error))? else { return Ok(()) };
    let file = String::from_utf8_lossy(&bytes);
    if accounts::has_name(&file, name) {
        return Ok(());
    }
    let group = text(root, "/etc/group")?;
    let gid = accounts::group_id(&group, "shadow").filter(|gid| accounts::is_usable(*gid)).unwrap_or(0);
    let owner = Owner { uid: 0, gid, mode: 0o640 };
    root.write(path, accounts::with_line(&file, line).as_bytes(), owner).map_err(|error| UserError::Io(path, error))
}

fn shell(root: &RootDir, own: &str) -> Result<String, UserError> {
    let is_login = !own.is_empty() && !own.ends_with("/nologin") && !own.ends_with("/false");
    std::iter::once(own)
        .filter(|_| is_login)
        .chain(SHELLS)
        .find(|shell| root.is_program(shell))
        .map(str::to_owned)
        .ok_or(UserError::NoShell)
}

/// The home directory exists and is the user's.
fn home(root: &RootDir, account: &mut Account) -> Result<(), UserError> {
    if !account.home.starts_with('/') || account.home.len() < 2 || account.home.contains("..") {
        account.home = format!("/home/{}", if accounts::is_plain_name(&account.name) { &account.name } else { OURS });
    }
    let owner = Owner { uid: account.uid, gid: account.gid, mode: 0o755 };
    let made = root.make_dir(&account.home, owner).map_err(|error| UserError::Io("make the home directory", error))?;
    if made {
        root.copy_files("/etc/skel", &account.home, account.uid, account.gid)
            .map_err(|error| UserError::Io("copy /etc/skel", error))?;
    }
    Ok(())
}

fn text(root: &RootDir, path: &'static str) -> Result<String, UserError> {
    let bytes = root.read(path).map_err(|error| UserError::Io(path, error))?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

fn write(root: &RootDir, path: &'static str, text: &str, mode: u32) -> Result<(), UserError> {
    root.make_dir("/etc", Owner { uid: 0, gid: 0, mode: 0o755 }).map_err(|error| UserError::Io("/etc", error))?;
    root.write(path, text.as_bytes(), Owner { uid: 0, gid: 0, mode }).map_err(|error| UserError::Io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid_of(passwd: &str, wanted: &str) -> Option<u32> {
        match choose(passwd, wanted).ok()? {
            Choice::Known(account) => Some(account.uid),
            Choice::Make { uid, .. } => Some(uid),
        }
    }

    #[test]
    fn the_images_own_user_is_taken() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nnode:x:1001:1001::/home/node:/bin/sh\ngitpod:x:33333:33333::/home/gitpod:/bin/bash";
        assert_eq!(uid_of(passwd, ""), Some(33_333));
        let passwd = "root:x:0:0::/root:/bin/sh\nnode:x:1001:1001::/home/node:/bin/sh";
        assert_eq!(uid_of(passwd, "node"), Some(1001));
        assert_eq!(uid_of(passwd, "1001:1001"), Some(1001));
        assert_eq!(uid_of(passwd, "4242"), Some(4242));
        assert_eq!(uid_of(passwd, ""), Some(OUR_UID));
    }

    #[test]
    fn a_user_that_would_be_root_or_outside_of_the_range_is_refused() {
        for wanted in ["4294967296", "70000", "-1", "nobody-here", "2147483648"] {
            assert_eq!(uid_of("root:x:0:0::/root:/bin/sh", wanted), None, "{wanted}");
        }
        let renamed = "gitpod:x:0:0::/root:/bin/sh";
        assert_eq!(uid_of(renamed, ""), Some(OUR_UID), "a root by another name is not the workspace's user");
    }
}
