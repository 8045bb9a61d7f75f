//! The shell program that runs one task's stages. One shell runs them all, so that what `init` exports or sources,
//! `command` sees; a line that fails goes on with the next, as typed lines would; and when they are done the same shell is
//! the user's prompt. Nothing is typed into the terminal: nothing echoes, and no length or quoting is in the way.
//!
//! The stages are files that the driver sources. It says how far it is by lines in a FIFO ([`super::report`]).

use std::path::Path;

use api::v1::{Kind, TaskSpec};

/// A stage and its text.
pub type Stage<'a> = (&'static str, &'a str);

/// Which shell runs the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Runs it in place of its rc file, and stays.
    Bash,
    /// Runs it as a script that becomes the user's shell; for images without bash.
    Sh,
}

/// The stages that run, in order. A prebuild runs what a start can be spared; `init` runs once for each content.
pub fn stages(task: &TaskSpec, kind: Kind, run_init: bool) -> Vec<Stage<'_>> {
    let init: Stage<'_> = ("init", if run_init { &task.init } else { "" });
    let stages = match kind {
        Kind::Prebuild => vec![("before", task.before.as_str()), init, ("prebuild", &task.prebuild)],
        _ => vec![("before", task.before.as_str()), init, ("command", &task.command)],
    };
    stages.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect()
}

/// The program. `directory` holds the FIFO `report` and one file for each stage; its path is ours and needs no quoting.
/// `stay`: leave the user's shell behind at the end.
pub fn program(directory: &Path, stages: &[Stage<'_>], shell: Shell, stay: bool) -> String {
    let directory = directory.display();
    let mut text = format!("__crannog_say() {{ printf '%s\\n' \"$*\" > {directory}/report; }} 2>/dev/null\n");
    if shell == Shell::Bash {
        text.push_str(RC);
    }
    text.push_str("__crannog_stage=\n");
    text.push_str(&LEFT.replace("{end}", if stay { BECOME } else { "" }));
    text.push_str(if shell == Shell::Bash { PROMPT } else { "trap 'exit 130' INT\n" });
    for (name, _) in stages {
        text.push_str(&format!(
            "__crannog_stage={name}; __crannog_say begin {name}\n. {directory}/{name}\n__crannog_say end {name} $?\n"
        ));
    }
    text.push_str(&end(shell, stay));
    text
}

/// The user's own rc file, for what it defines (nvm, pyenv, aliases). One that ends or replaces the shell is kept from it.
const RC: &str = r#"exit() { return "${1:-0}"; }
exec() { if [ $# -eq 0 ]; then builtin exec; fi; }
if [ -r ~/.bashrc ]; then . ~/.bashrc; fi
unset -f exit exec
"#;

/// A stage that says `exit` ends the shell, as it would if typed; the user still gets a new one.
const LEFT: &str = r#"__crannog_left() { trap - EXIT INT; __crannog_say end "$__crannog_stage" "$1"; __crannog_say shell; {end}}
trap '__crannog_left $?' EXIT
"#;

const BECOME: &str = r#"exec "${SHELL:-/bin/sh}" -i; "#;

/// Ctrl-C ends the program and leads to the prompt; the prompt then says how the stage ended.
const PROMPT: &str = r#"__crannog_prompt=${PROMPT_COMMAND-}
__crannog_back() { trap - EXIT; PROMPT_COMMAND=${__crannog_prompt:-history -a}; unset -v __crannog_prompt __crannog_stage; unset -f __crannog_say __crannog_left __crannog_back; }
PROMPT_COMMAND='__crannog_say end "$__crannog_stage" $?; __crannog_say shell; __crannog_back'
"#;

fn end(shell: Shell, stay: bool) -> String {
    let leave = "trap - EXIT INT\n__crannog_say shell\n";
    match (stay, shell) {
        (false, _) => format!("{leave}exit 0\n"),
        (true, Shell::Sh) => format!("{leave}{BECOME}\n"),
        // Another shell than bash is the user's choice: it takes over, with what was exported.
        (true, Shell::Bash) => format!(
            "case ${{SHELL##*/}} in bash|'') __crannog_say shell; __crannog_back ;; *) {} ;; esac\n",
            format_args!("trap - EXIT INT; __crannog_say shell; {BECOME}")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: Kind, run_init: bool) -> Vec<&'static str> {
        let text = |t: &str| t.to_owned();
        let task = TaskSpec { before: text("b"), init: text("i"), prebuild: text("p"), command: text("c"), ..Default::default() };
        stages(&task, kind, run_init).iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn stages_are_those_of_the_kind_and_init_runs_once() {
        assert_eq!(names(Kind::Workspace, true), ["before", "init", "command"]);
        assert_eq!(names(Kind::Workspace, false), ["before", "command"]);
        assert_eq!(names(Kind::Prebuild, true), ["before", "init", "prebuild"]);
    }

    #[test]
    fn a_stage_of_blanks_is_none() {
        let task = TaskSpec { init: " \n".into(), command: "make".into(), ..Default::default() };
        assert_eq!(stages(&task, Kind::Workspace, true), [("command", "make")]);
    }
}
