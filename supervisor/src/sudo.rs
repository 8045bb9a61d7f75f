//! `sudo`, for images that bring none: this binary under that name, owned by the container's root, mode 4755.
//!
//! Whoever may execute it may become anybody inside, as with `NOPASSWD: ALL`; it checks nothing, because there is nothing to
//! protect: root inside is nobody outside, and an instance that must not have root gets neither this file nor the right to
//! use set-user-id bits (`no_new_privs`). Options that only matter where there are passwords and rules are accepted.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether this binary was started as `sudo`.
pub fn called() -> bool {
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "sudo"))
}

/// Does what `sudo` does, and ends the process where it cannot.
pub fn main() -> ! {
    let arguments = std::env::args_os().skip(1).collect();
    let wanted = match parse(arguments) {
        Ok(Wanted::Run(wanted)) => wanted,
        Ok(Wanted::Nothing(said)) => {
            print!("{said}");
            std::process::exit(0);
        }
        Err(said) => {
            eprintln!("sudo: {said}");
            std::process::exit(1);
        }
    };
    let error = run(&wanted);
    eprintln!("sudo: {}: {error}", wanted.command.first().map(|word| word.to_string_lossy()).unwrap_or_default());
    std::process::exit(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Nothing(&'static str),
    Run(Run),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    user: Option<String>,
    group: Option<String>,
    /// `-E`: HOME stays too.
    keep_environment: bool,
    /// `-i`.
    login: bool,
    /// `-s`.
    shell: bool,
    directory: Option<OsString>,
    variables: Vec<(OsString, OsString)>,
    command: Vec<OsString>,
}

fn parse(arguments: Vec<OsString>) -> Result<Wanted, String> {
    let mut run = Run::default();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(option) = arguments.next_if(|word| word.as_bytes().starts_with(b"-") && word.len() > 1) {
        let option = option.to_string_lossy().into_owned();
        let (option, attached) = match option.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(OsString::from(value))),
            _ => (option, None),
        };
        let mut value =
            |what: &str| attached.clone().or_else(|| arguments.next()).ok_or_else(|| format!("option {what} needs a value"));
        match option.as_str() {
            "--" => break,
            "-u" | "--user" => run.user = Some(value("-u")?.to_string_lossy().into_owned()),
            "-g" | "--group" => run.group = Some(value("-g")?.to_string_lossy().into_owned()),
            "-D" | "--chdir" => run.directory = Some(value("-D")?),
            "-p" | "--prompt" | "-C" | "--close-from" | "-h" | "--host" | "-T" | "--command-timeout" | "-r" | "-t" => {
                value(&option)?;
            }
            "-V" | "--version" => return Ok(Wanted::Nothing("crannog sudo\n")),
            "-v" | "--validate" | "-k" | "-K" | "--remove-timestamp" if arguments.peek().is_none() => {
                return Ok(Wanted::Nothing(""));
            }
            "-l" | "--list" => return Ok(Wanted::Nothing("(ALL : ALL) NOPASSWD: ALL\n")),
            "--preserve-env" => run.keep_environment = true,
            "--login" => run.login = true,
            "--shell" => run.shell = true,
            "--non-interactive" | "--set-home" | "--stdin" | "--reset-timestamp" | "--background" | "--askpass"
            | "--preserve-groups" | "--bell" => {}
            letters if !letters.starts_with("--") => flags(&mut run, letters, &mut arguments)?,
            unknown => return Err(format!("unknown option {unknown}")),
        }
    }
    while let Some((name, value)) = arguments.peek().and_then(assignment) {
        run.variables.push((name, value));
        arguments.next();
    }
    run.command = arguments.collect();
    if run.command.is_empty() && !run.login && !run.shell {
        return Err("usage: sudo [-nEHis] [-u USER] [-g GROUP] [NAME=VALUE]... COMMAND [ARGUMENT]...".into());
    }
    Ok(Wanted::Run(run))
}

/// One word of one-letter options: "-nE", "-uroot".
fn flags(run: &mut Run, word: &str, rest: &mut impl Iterator<Item = OsString>) -> Result<(), String> {
    let mut letters = word.chars().skip(1);
    while let Some(letter) = letters.next() {
        match letter {
            'E' => run.keep_environment = true,
            'i' => run.login = true,
            's' => run.shell = true,
            'n' | 'H' | 'S' | 'k' | 'K' | 'b' | 'A' | 'P' | 'B' | 'N' => {}
            'u' | 'g' => {
                let attached: String = letters.by_ref().collect();
                let value = if attached.is_empty() { rest.next() } else { Some(attached.into()) };
                let value = value.ok_or_else(|| format!("option -{letter} needs a value"))?.to_string_lossy().into_owned();
                *if letter == 'u' { &mut run.user } else { &mut run.group } = Some(value);
            }
            other => return Err(format!("unknown option -{other}")),
        }
    }
    Ok(())
}

fn assignment(word: &OsString) -> Option<(OsString, OsString)> {
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    let is_name = bytes[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| (OsString::from_vec(bytes[..at].to_vec()), OsString::from_vec(bytes[at + 1..].to_vec())))
}

/// A line of `/etc/passwd`.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
    shell: String,
}

/// Read as text: a static program has no name service, and the machine's must not be loaded by a set-user-id one.
fn account(matches: impl Fn(&str, u32) -> bool) -> Option<Account> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        matches(name, uid).then(|| Account { name: (*name).into(), uid, gid, home: (*home).into(), shell: (*shell).into() })
    })
}

fn target(user: &str) -> io::Result<Account> {
    let number: Option<u32> = user.strip_prefix('#').and_then(|number| number.parse().ok());
    let found = account(|name, uid| number.map_or(name == user, |number| uid == number));
    found.ok_or_else(|| io::Error::other(format!("unknown user {user}")))
}

fn groups_of(account: &Account, group: &str) -> Vec<Gid> {
    let mut gids = vec![Gid::from_raw(account.gid)];
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [_, _, gid, members] = fields.as_slice()
            && members.split(',').any(|member| member == account.name)
            && let Ok(gid) = gid.parse()
        {
            gids.push(Gid::from_raw(gid));
        }
    }
    gids
}

fn run(wanted: &Run) -> io::Error {
    match prepare(wanted) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

fn prepare(wanted: &Run) -> io::Result<Command> {
    if !Uid::effective().is_root() {
        return Err(io::Error::other("this workspace was started without the right to become root"));
    }
    let caller = account(|_, uid| uid == Uid::current().as_raw());
    let account = target(wanted.user.as_deref().unwrap_or("root"))?;
    let group = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let gid = match &wanted.group {
        None => account.gid,
        Some(name) => group_id(&group, name).ok_or_else(|| io::Error::other(format!("unknown group {name}")))?,
    };
    let environment = environment(wanted, &account, caller.as_ref());
    let shell = if account.shell.is_empty() { "/bin/sh" } else { &account.shell };
    let program = program(wanted, shell, &environment)?;
    setgroups(&groups_of(&account, &group))?;
    setresgid(Gid::from_raw(gid), Gid::from_raw(gid), Gid::from_raw(gid))?;
    let uid = Uid::from_raw(account.uid);
    setresuid(uid, uid, uid)?;
    let mut command = Command::new(program);
    words(&mut command, wanted, shell);
    command.env_clear().envs(environment);
    if let Some(directory) = wanted.directory.clone().or_else(|| wanted.login.then(|| account.home.clone().into())) {
        std::env::set_current_dir(directory)?;
    }
    Ok(command)
}

fn group_id(group: &str, name: &str) -> Option<u32> {
    if let Some(number) = name.strip_prefix('#') {
        return number.parse().ok();
    }
    group.lines().find(|line| line.split(':').next() == Some(name))?.split(':').nth(2)?.parse().ok()
}

/// Arguments: the command's own, or those of a shell that runs it.
fn words(command: &mut Command, wanted: &Run, shell: &str) {
    if !wanted.login && !wanted.shell {
        command.args(&wanted.command[1..]);
        return;
    }
    if wanted.login {
        let name = Path::new(shell).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        command.arg0(format!("-{name}"));
    }
    if !wanted.command.is_empty() {
        command.arg("-c").arg(wanted.command.iter().map(quoted).collect::<Vec<_>>().join(" "));
    }
}

/// Each word stays one word in the shell.
fn quoted(word: &OsString) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}

/// Looked for in the PATH of the caller, which is what people expect where nothing is protected, then in root's.
fn program(wanted: &Run, shell: &str, environment: &BTreeMap<OsString, OsString>) -> io::Result<OsString> {
    if wanted.login || wanted.shell {
        return Ok(shell.into());
    }
    let name = &wanted.command[0];
    if name.as_bytes().contains(&b'/') {
        return Ok(name.clone());
    }
    let path = environment.get(&OsString::from("PATH")).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let places = path.split(':').chain(PATH.split(':'));
    let is_program = |file: &Path| {
        CString::new(file.as_os_str().as_bytes()).is_ok()
            && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok()
            && file.is_file()
    };
    places
        .filter(|place| !place.is_empty())
        .map(|place| Path::new(place).join(name))
        .find(|file| is_program(file))
        .map(Into::into)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "command not found"))
}

/// The caller's variables, with who one is now. Variables of the loader are dropped, as the kernel's set-user-id rule has it.
fn environment(wanted: &Run, account: &Account, caller: Option<&Account>) -> BTreeMap<OsString, OsString> {
    let keeps = |name: &OsString| !wanted.login || matches!(name.as_bytes(), b"TERM" | b"LANG" | b"COLORTERM" | b"PATH");
    let mut variables: BTreeMap<OsString, OsString> =
        std::env::vars_os().filter(|(name, _)| keeps(name) && !name.as_bytes().starts_with(b"LD_")).collect();
    let mut set = |name: &str, value: &str| variables.insert(name.into(), value.into());
    if !wanted.keep_environment {
        set("HOME", &account.home);
        set("USER", &account.name);
        set("LOGNAME", &account.name);
        set("SHELL", if account.shell.is_empty() { "/bin/sh" } else { &account.shell });
    }
    if let Some(caller) = caller {
        set("SUDO_USER", &caller.name);
        set("SUDO_UID", &caller.uid.to_string());
        set("SUDO_GID", &caller.gid.to_string());
    }
    let line: Vec<_> = wanted.command.iter().map(|word| word.to_string_lossy()).collect();
    set("SUDO_COMMAND", &line.join(" "));
    if std::env::var_os("PATH").is_none() {
        set("PATH", PATH);
    }
    variables.extend(wanted.variables.iter().cloned());
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Run {
        match parse(words.iter().map(OsString::from).collect()) {
            Ok(Wanted::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_options_that_scripts_use_are_understood() {
        assert_eq!(parsed(&["-n", "true"]).command, ["true"]);
        let run = parsed(&["-nE", "-uada", "--", "-odd-name", "x"]);
        assert_eq!((run.user.as_deref(), run.keep_environment), (Some("ada"), true));
        assert_eq!(run.command, ["-odd-name", "x"]);
        let run = parsed(&["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "x=1"]);
        assert_eq!(run.variables, [("DEBIAN_FRONTEND".into(), "noninteractive".into())]);
        assert_eq!(run.command.len(), 4);
        assert_eq!(parsed(&["--user=ada", "id"]).user.as_deref(), Some("ada"));
        assert!(parsed(&["-i"]).login);
    }

    #[test]
    fn asking_for_nothing_is_an_error_and_validating_is_not() {
        assert!(parse(vec![]).is_err());
        assert!(parse(vec!["--nonsense".into(), "x".into()]).is_err());
        assert_eq!(parse(vec!["-v".into()]), Ok(Wanted::Nothing("")));
    }
}
