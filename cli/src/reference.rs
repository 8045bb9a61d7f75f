//! The command-line reference of the manual, generated from what clap knows; a test keeps the page in step.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use domain::class::Class;

use crate::args::Arguments;

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Arguments::command(), "crannog", &mut std::io::stdout());
}

/// The whole page `docs/cli.md`.
pub fn markdown() -> String {
    let mut root = Arguments::command();
    root.build();
    let mut page = String::from(
        "# Command line\n\nGenerated from the program: `cargo run -p cli -- reference > docs/cli.md`.\n\n\
         A workspace is named by its name, its id, or the beginning of its id.\n",
    );
    for command in root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        section(&mut page, command);
    }
    connection(&mut page, &root);
    exit_codes(&mut page);
    page
}

fn section(page: &mut String, command: &Command) {
    let _ = write!(
        page,
        "\n## crannog {}\n\n{}\n\n",
        command.get_name(),
        command.get_about().map(ToString::to_string).unwrap_or_default()
    );
    let usage = command.clone().render_usage().to_string();
    let _ = write!(page, "```\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    let rows: Vec<String> = command.get_arguments().filter(|arg| is_own(arg)).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| argument | what it does |\n|---|---|\n{}", rows.concat());
    }
}

fn is_own(arg: &Arg) -> bool {
    !arg.is_global_set() && arg.get_id() != "help" && arg.get_id() != "version"
}

fn row(arg: &Arg) -> String {
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = || arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut names: Vec<String> =
        arg.get_short().map(|c| format!("-{c}")).into_iter().chain(arg.get_long().map(|l| format!("--{l}"))).collect();
    if names.is_empty() {
        names.push(value());
    } else if takes_value {
        names = vec![format!("{} {}", names.join(", "), value())];
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    format!("| `{}` | {} |\n", names.join(", ").replace('|', "\\|"), help.replace('|', "\\|"))
}

fn connection(page: &mut String, root: &Command) {
    page.push_str("\n## Finding the server\n\nEvery command takes these. Without them, the file `client.json` that the server wrote is read.\n\n");
    page.push_str("| argument | environment | what it does |\n|---|---|---|\n");
    for arg in root.get_arguments().filter(|arg| arg.is_global_set()) {
        let env = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let _ = writeln!(
            page,
            "| `--{}` | `{env}` | {} |",
            arg.get_long().unwrap_or_default(),
            arg.get_help().map(ToString::to_string).unwrap_or_default()
        );
    }
}

fn exit_codes(page: &mut String) {
    page.push_str(
        "\n## Exit codes\n\n`exec`, `shell` and `attach` end with the status of what ran inside: 127 where there is no such \
         command, 126 where it cannot be run. Otherwise:\n\n| code | class of error |\n|---|---|\n| 0 | none |\n",
    );
    for class in Class::ALL {
        let _ = writeln!(page, "| {} | {class} |", class.exit_code());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_the_manual_is_what_the_program_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == super::markdown(),
            "docs/cli.md is out of date; make it anew: cargo run -p cli -- reference > docs/cli.md"
        );
    }
}
