//! `completions` and `man`: what shells and readers of manual pages need, from the command line itself.

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::Failure;
use super::output;

const NAME: &str = "kube-event-relay";

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL", value_parser = shell)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Of which command; of the whole program unless given
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// Shells that are promised.
fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        other => Err(format!("{other:?} is none of bash, zsh, fish")),
    }
}

/// Prints a script that completes commands and options.
pub(super) fn completions(args: &CompletionsArgs, mut program: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, NAME, &mut script);
    output::print(&String::from_utf8_lossy(&script)).map_err(Failure::failed)
}

/// Prints a manual page in roff.
pub(super) fn man(args: &ManArgs, program: Command) -> Result<(), Failure> {
    let mut page = Vec::new();
    let command = find(program, &args.command)?;
    clap_mangen::Man::new(command).render(&mut page).map_err(Failure::failed)?;
    output::print(&String::from_utf8_lossy(&page)).map_err(Failure::failed)
}

/// The command of these words, under its whole name.
fn find(mut program: Command, words: &[String]) -> Result<Command, Failure> {
    program.build();
    let mut command = program;
    for word in words {
        let found = command.find_subcommand(word).cloned();
        let known =
            || command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
        let Some(found) = found else {
            let text = format!("there is no command {word:?} here; there are: {}", known());
            return Err(Failure::Usage(text));
        };
        command = found;
    }
    Ok(command)
}
