//! Credential helpers: `docker-credential-NAME get`, the registry on stdin, JSON on stdout. Protocol:
//! docker-credential-helpers, `credentials/credentials.go`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{CredentialError, Credentials};

/// A helper may ask a keychain, not a person.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most that is read of an answer.
const MAX_ANSWER: u64 = 64 * 1024;
/// The user name that marks a secret as an identity token.
const TOKEN_USER: &str = "<token>";
/// Variables of ours that helpers need to find their keychain; nothing else is passed on.
const PASSED: [&str; 6] = ["PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME", "PASSWORD_STORE_DIR", "LANG"];

/// Whose file named the helper.
#[derive(Debug)]
pub struct Owner {
    uid: u32,
    gid: u32,
    home: PathBuf,
}

impl Owner {
    /// The owner of `config`, a file `HOME/.docker/config.json`.
    pub fn new(uid: u32, gid: u32, config: &Path) -> Self {
        let home = config.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        Self { uid, gid, home: home.to_owned() }
    }

    #[cfg(test)]
    pub fn current(home: &Path) -> Self {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Self { uid, gid, home: home.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper of that name, found on PATH.
pub async fn ask(name: &str, registry: &str, owner: &Owner) -> Result<Option<Credentials>, CredentialError> {
    run(name, registry, owner, None).await
}

/// As [`ask`], with the helper in a directory of the test's.
#[cfg(test)]
pub async fn ask_in(name: &str, registry: &str, owner: &Owner, directory: &Path) -> Result<Option<Credentials>, CredentialError> {
    run(name, registry, owner, Some(directory)).await
}

async fn run(
    name: &str,
    registry: &str,
    owner: &Owner,
    directory: Option<&Path>,
) -> Result<Option<Credentials>, CredentialError> {
    let program = format!("docker-credential-{name}");
    let failed = |problem: String| CredentialError::Helper { program: program.clone(), problem };
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if name.is_empty() || name.len() > 64 || !is_plain {
        return Err(failed("its name may have letters, digits, dashes and _ only".to_owned()));
    }
    let path = directory.map_or_else(|| OsString::from(&program), |directory| directory.join(&program).into());
    let command = command(&path, owner);
    let answered = tokio::time::timeout(DEADLINE, exchange(command, registry)).await;
    let (is_success, answer) = match answered {
        Err(_) => return Err(failed("it did not answer within 10 seconds".to_owned())),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(answer)) => answer,
    };
    if !is_success {
        let said = String::from_utf8_lossy(&answer).trim().chars().take(200).collect::<String>();
        return if said.contains("credentials not found") { Ok(None) } else { Err(failed(said)) };
    }
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| failed("its answer is not of the protocol".to_owned()))?;
    Ok(match (answer.username.as_str(), answer.secret.is_empty()) {
        (_, true) => None,
        (TOKEN_USER, _) => Some(Credentials::IdentityToken(answer.secret)),
        _ => Some(Credentials::Basic { user: answer.username, password: answer.secret }),
    })
}

fn command(path: &OsString, owner: &Owner) -> Command {
    let mut command = Command::new(path);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.current_dir("/").env_clear().env("HOME", &owner.home);
    command.envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // A daemon that runs as root gives a user's configuration no more than that user has.
    if rustix::process::geteuid().is_root() && owner.uid != 0 {
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

async fn exchange(mut command: Command, registry: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input closes it; its answer still counts.
        drop(stdin.write_all(format!("{registry}\n").as_bytes()).await);
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?.success(), answer))
}
