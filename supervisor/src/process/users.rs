//! Who there is inside: `/etc/passwd` and `/etc/group` (passwd(5), group(5)), read each time, as users may be added.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::SupervisorError;

/// Somebody to run a program as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Looks users up.
#[derive(Debug, Clone)]
pub struct Users {
    etc: PathBuf,
    workspace: Arc<User>,
}

impl Users {
    /// `workspace` is the user that the node made or found; the files need not name it.
    pub fn new(etc: impl Into<PathBuf>, mut workspace: User) -> Self {
        let etc = etc.into();
        workspace.groups = groups_of(&etc, &workspace.name, workspace.gid);
        Self { etc, workspace: Arc::new(workspace) }
    }

    /// The user that owns the content and runs tasks and terminals.
    pub fn workspace(&self) -> &User {
        &self.workspace
    }

    /// Finds a user by name or number; empty is the workspace user.
    pub fn find(&self, name: &str) -> Result<User, SupervisorError> {
        if name.is_empty() || name == self.workspace.name {
            return Ok(self.workspace().clone());
        }
        let passwd = read(&self.etc.join("passwd"));
        let mut users = passwd.lines().filter_map(parse);
        let mut user = users
            .find(|user| user.name == name || name.parse() == Ok(user.uid))
            .or_else(|| (name == "root" || name == "0").then(root))
            .ok_or_else(|| SupervisorError::NoUser(name.to_owned()))?;
        user.groups = groups_of(&self.etc, &user.name, user.gid);
        Ok(user)
    }
}

fn root() -> User {
    User { name: "root".into(), uid: 0, gid: 0, groups: vec![0], home: "/root".into(), shell: "/bin/sh".into() }
}

fn parse(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).filter(|home| home.starts_with('/')).unwrap_or("/").to_owned();
    let shell = fields.next().filter(|shell| shell.starts_with('/')).unwrap_or("/bin/sh").to_owned();
    Some(User { name, uid, gid, groups: Vec::new(), home, shell })
}

fn groups_of(etc: &Path, name: &str, gid: u32) -> Vec<u32> {
    let mut groups = vec![gid];
    for line in read(&etc.join("group")).lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [_, _, number, members] = fields[..]
            && members.split(',').any(|member| member == name)
            && let Ok(number) = number.parse()
            && !groups.contains(&number)
        {
            groups.push(number);
        }
    }
    groups
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(etc: &Path) -> Users {
        fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/bash\nbroken\ndb:x:70:71::/var/db:\n").expect("passwd");
        fs::write(etc.join("group"), "sudo:x:27:dev,db\ndev:x:1000:\nbad\ndocker:x:99:dev\n").expect("group");
        let dev =
            User { name: "dev".into(), uid: 1000, gid: 1000, groups: vec![], home: "/home/dev".into(), shell: "/bin/sh".into() };
        Users::new(etc, dev)
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_all_groups() {
        let etc = tempfile::tempdir().expect("directory");
        let users = users(etc.path());
        assert_eq!(users.workspace().groups, [1000, 27, 99]);
        let db = users.find("db").expect("by name");
        assert_eq!((db.uid, db.gid, db.shell.as_str()), (70, 71, "/bin/sh"));
        assert_eq!(users.find("70").expect("by number").groups, [71, 27]);
        assert_eq!(users.find("").expect("default").name, "dev");
        assert!(matches!(users.find("nobody"), Err(SupervisorError::NoUser(_))));
    }
}
