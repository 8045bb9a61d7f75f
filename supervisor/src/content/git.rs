//! Runs the image's own Git as the workspace user, hardened: no configuration but ours, no hooks, no prompts, no helper
//! programs, only the transports we allow, credentials for one host each. What a repository holds can thus name nothing
//! that Git would start. Output is bounded; a remote that falls silent is given up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::credentials::Credentials;
use super::error::{ContentError, Fault};
use super::progress::{Progress, Reader};
use super::remote::Remote;
use crate::Context;
use crate::error::SupervisorError;
use crate::process::{Command, Process, Stdio};
use crate::timeline::StepGuard;

/// How long a remote may be silent.
const SILENCE: Duration = Duration::from_secs(120);
/// Upper bound of what a command may print, in bytes: a million refs.
const STDOUT_MAX: usize = 96 << 20;
/// Variables of the workspace that Git and curl need to reach the outside; all others stay out.
const PASSED_ON: &[&str] = &[
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
];

/// Settings of every run. `fetch.fsck.*` names what old but honest repositories have: those are not refused.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.alternateRefsCommand=",
    "core.protectNTFS=true",
    "protocol.version=2",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.git.allow=always",
    "protocol.ext.allow=never",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.missingNameBeforeEmail=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.fsck.badEmail=ignore",
    "fetch.fsck.badDateOverflow=ignore",
    "fetch.fsck.zeroPaddedDate=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.multipleAuthors=ignore",
    "fetch.fsck.missingTaggerEntry=ignore",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
];

/// Git for one source.
pub struct Git<'a> {
    context: &'a Context,
    credentials: Credentials,
    subject: String,
}

/// One command.
pub struct Call<'a> {
    step: &'static str,
    args: Vec<String>,
    directory: PathBuf,
    subject: Option<String>,
    progress: Option<&'a StepGuard>,
    files: bool,
    low: bool,
}

/// What a command that succeeded said.
#[derive(Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Numbers of its last stage.
    pub progress: Progress,
}

impl Output {
    /// Standard output as text, without the line's end.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

impl<'a> Call<'a> {
    /// `git ARGS` in a directory. The first word names the step.
    pub fn new(step: &'static str, directory: &Path) -> Self {
        Self {
            step,
            args: vec![step.to_owned()],
            directory: directory.to_owned(),
            subject: None,
            progress: None,
            files: false,
            low: false,
        }
    }

    /// Further arguments. What comes from outside goes after `--` or is checked before.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// What an error is about, when it is not the remote: a branch, a commit.
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Reports to this row of the timeline.
    pub fn progress(mut self, step: &'a StepGuard) -> Self {
        self.progress = Some(step);
        self
    }

    /// Allows reading a bundle from a file.
    pub fn files(mut self) -> Self {
        self.files = true;
        self
    }

    /// Runs behind everything else.
    pub fn low(mut self) -> Self {
        self.low = true;
        self
    }
}

impl<'a> Git<'a> {
    /// Git that may speak to `remote`; `subject` is how errors name the source.
    pub fn new(context: &'a Context, remote: Option<&Remote>, subject: &str) -> Self {
        let credentials = Credentials::new(&context.config.supervisor.credentials, remote);
        let subject = credentials.redactor().clean(subject);
        Self { context, credentials, subject }
    }

    /// What the instance is given.
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// Runs one command to its end.
    pub async fn run(&self, call: Call<'_>) -> Result<Output, ContentError> {
        let mut process = self.start(&call)?;
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        let reading = async { tokio::try_join!(read_output(stdout), read_progress(stderr, call.progress, SILENCE)) };
        let (stdout, (progress, words)) = match reading.await {
            Ok(both) => both,
            Err(fault) => return Err(self.failed(&call, fault, "")),
        };
        let status = process.wait().await;
        tracing::debug!(step = call.step, code = status.code, "git ended");
        match status.code {
            0 if status.signal == 0 => Ok(Output { stdout, progress }),
            // What execvp of a missing helper program, or a shell without git, answers.
            127 => Err(self.failed(&call, Fault::NoGit, &words)),
            _ => Err(self.failed(&call, Fault::of(&words), &words)),
        }
    }

    fn start(&self, call: &Call<'_>) -> Result<Process, ContentError> {
        let file = |source| ContentError::File { step: "make", path: "a memory file".into(), source };
        let secrets = self.credentials.files().map_err(file)?;
        let transport = format!("protocol.file.allow={}", if call.files { "always" } else { "never" });
        let settings = SETTINGS.iter().map(|s| (*s).to_owned()).chain([transport]).chain(self.credentials.settings(&secrets));
        let mut argv = vec!["git".to_owned()];
        argv.extend(settings.flat_map(|setting| ["-c".to_owned(), setting]));
        argv.extend(call.args.iter().cloned());
        let command = Command::new(argv, self.context.users.workspace())
            .env(self.environment())
            .cwd(&call.directory)
            .stdio(Stdio::Pipes { stdin: false })
            .nice(if call.low { 19 } else { 0 })
            .kill_on_drop(true);
        let command = secrets.into_iter().fold(command, Command::keep);
        self.context.spawner.spawn(command).map_err(|error| match error {
            SupervisorError::NoProgram { .. } => self.failed(call, Fault::NoGit, ""),
            error => ContentError::Start(error),
        })
    }

    /// Nothing of the workspace's own environment but how to reach the outside. `HOME` leads nowhere, so that a Git that is
    /// too old for `GIT_CONFIG_GLOBAL` finds no configuration either.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut variables = self.context.environment.for_user(self.context.users.workspace());
        variables.retain(|name, _| PASSED_ON.contains(&name.as_str()));
        let ours = [
            ("HOME", "/nonexistent"),
            ("XDG_CONFIG_HOME", "/nonexistent"),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", ""),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("GIT_SSH_VARIANT", "ssh"),
            (
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20 -o ForwardAgent=no",
            ),
        ];
        variables.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        variables
    }

    /// The error of a call, credentials removed.
    pub fn failed(&self, call: &Call<'_>, fault: Fault, words: &str) -> ContentError {
        let redactor = self.credentials.redactor();
        let subject = call.subject.as_deref().map_or_else(|| self.subject.clone(), |s| redactor.clean(s));
        let detail = if fault.says_it_all() { String::new() } else { telling(&redactor.clean(words)) };
        ContentError::Git { step: call.step, subject, fault, detail }
    }
}

/// The lines that say why: those of `fatal:`, `error:` and `remote:`, the last three of them.
fn telling(words: &str) -> String {
    let says = |line: &&str| ["fatal:", "error:", "remote:"].iter().any(|start| line.starts_with(start));
    let mut lines: Vec<&str> = words.lines().filter(says).collect();
    if lines.is_empty() {
        lines = words.lines().collect();
    }
    let last = lines.split_off(lines.len().saturating_sub(3));
    if last.is_empty() { String::new() } else { format!(": {}", last.join("; ")) }
}

async fn read_output(pipe: Option<pipe::Receiver>) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(STDOUT_MAX as u64 + 1).read_to_end(&mut bytes).await.map_err(|_| Fault::Other)?;
    }
    if bytes.len() > STDOUT_MAX { Err(Fault::TooLarge) } else { Ok(bytes) }
}

async fn read_progress(
    pipe: Option<pipe::Receiver>,
    step: Option<&StepGuard>,
    silence: Duration,
) -> Result<(Progress, String), Fault> {
    let mut reader = Reader::default();
    let Some(mut pipe) = pipe else { return Ok(reader.finish()) };
    let mut buffer = vec![0; 8 << 10];
    loop {
        let read = tokio::time::timeout(silence, pipe.read(&mut buffer)).await.map_err(|_| Fault::TimedOut)?;
        match read.map_err(|_| Fault::Other)? {
            0 => return Ok(reader.finish()),
            length => {
                if reader.push(&buffer[..length])
                    && let Some(step) = step
                {
                    show(step, reader.progress());
                }
            }
        }
    }
}

fn show(step: &StepGuard, progress: &Progress) {
    let Progress { stage, done, total, bytes } = progress;
    step.bytes(*bytes, 0);
    step.detail(if *total > 0 { format!("{stage}: {done} of {total}") } else { format!("{stage}: {done}") });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn a_remote_that_falls_silent_is_given_up() {
        let (mut writer, reader) = pipe::pipe().expect("pipe");
        writer.write_all(b"remote: hello\n").await.expect("write");
        let given_up = read_progress(Some(reader), None, Duration::from_millis(20)).await;
        assert_eq!(given_up.expect_err("silent"), Fault::TimedOut);
    }

    #[test]
    fn the_lines_that_say_why_are_kept() {
        let words = "Cloning\nremote: Denied by policy\nwarning: x\nfatal: unable to access\n";
        assert_eq!(telling(words), ": remote: Denied by policy; fatal: unable to access");
        assert_eq!(telling("odd\n"), ": odd");
        assert_eq!(telling(""), "");
    }
}
