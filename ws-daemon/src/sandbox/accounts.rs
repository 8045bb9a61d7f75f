//! `/etc/passwd` and `/etc/group` (passwd(5), group(5)): found and added to as text. Lines that make no sense are kept as
//! they are.

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Uid.
    pub uid: u32,
    /// Gid.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell; may be empty.
    pub shell: String,
}

/// Ids that an instance's range covers and that mean somebody: 65534 is nobody.
const USABLE: std::ops::Range<u32> = 1..65_534;
/// Where ids of people begin.
const FIRST: u32 = 1_000;

/// Every account that can be read.
pub fn accounts(passwd: &str) -> Vec<Account> {
    passwd.lines().filter_map(account).collect()
}

fn account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    Some(Account {
        name: (*name).to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: (*home).to_owned(),
        shell: (*shell).to_owned(),
    })
}

/// The first id from 1000 on, or `wanted` where it is free, that no line of these files has as its third field.
pub fn free_id(files: &[&str], wanted: u32) -> Option<u32> {
    let taken = |id: u32| files.iter().flat_map(|file| file.lines()).any(|line| third(line) == Some(id));
    std::iter::once(wanted).chain(FIRST..65_534).find(|id| USABLE.contains(id) && !taken(*id))
}

fn third(line: &str) -> Option<u32> {
    line.split(':').nth(2)?.parse().ok()
}

/// The id of a group by its name.
pub fn group_id(group: &str, name: &str) -> Option<u32> {
    group.lines().find(|line| line.split(':').next() == Some(name)).and_then(third)
}

/// Whether a file has a line of this name.
pub fn has_name(file: &str, name: &str) -> bool {
    file.lines().any(|line| line.split(':').next() == Some(name))
}

/// Adds a line, after a line end where the last one lacks it.
pub fn with_line(file: &str, line: &str) -> String {
    let end = if file.is_empty() || file.ends_with('\n') { "" } else { "\n" };
    format!("{file}{end}{line}\n")
}

/// Whether a name may be written into these files and on a command line.
pub fn is_plain_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        && name.len() <= 32
}

/// Whether an id may be that of a workspace's user.
pub fn is_usable(id: u32) -> bool {
    USABLE.contains(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken line\nada:x:1000:1000:Ada:/home/ada:/bin/zsh";

    #[test]
    fn accounts_are_read_and_broken_lines_left_alone() {
        let found = accounts(PASSWD);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].name.as_str(), found[1].uid, found[1].shell.as_str()), ("ada", 1000, "/bin/zsh"));
        assert!(with_line(PASSWD, "new:x:1001:1001::/home/new:/bin/sh").contains("broken line\nada:x"));
    }

    #[test]
    fn an_id_that_is_taken_by_a_user_or_a_group_is_passed_over() {
        assert_eq!(free_id(&[PASSWD, "staff:x:1001:"], 1000), Some(1002));
        assert_eq!(free_id(&[""], 33_333), Some(33_333));
        assert_eq!(free_id(&[""], 70_000), Some(1_000), "outside of the range");
    }

    #[test]
    fn an_id_beyond_the_range_is_never_used() {
        assert!(!is_usable(0) && !is_usable(65_534) && !is_usable(4_294_967_295));
        assert!(!is_plain_name("a:b") && !is_plain_name("../x") && is_plain_name("crannog"));
    }
}
