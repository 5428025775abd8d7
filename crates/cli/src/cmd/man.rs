//! `whinchat man`: every command's help as manual pages and as a page of Markdown, from the one definition that parses it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory};

use super::Cli;

/// Print a manual page, or write all of them
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat man serve | man -l -
  whinchat man --out /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// The command whose page to print [default: whinchat itself]
    command: Option<String>,
    /// Write the pages of all commands into this folder: whinchat.1, whinchat-run.1, …
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
    /// Write the help of all commands into this file, as Markdown.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    markdown: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let program = program();
        if let Some(folder) = &self.out {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            for command in all(&program) {
                let page = clap_mangen::Man::new(command.clone());
                write(&folder.join(page.get_filename()), &rendered(&page)?)?;
            }
        }
        if let Some(file) = &self.markdown {
            write(file, markdown(&program).as_bytes())?;
        }
        if self.out.is_some() || self.markdown.is_some() {
            return Ok(());
        }
        let command = self.command.map_or(Ok(&program), |name| find(&program, &name))?;
        Ok(std::io::stdout().lock().write_all(&rendered(&clap_mangen::Man::new(command.clone()))?)?)
    }
}

/// The program as clap knows it, saying the same on every machine and at every terminal.
fn program() -> Command {
    let mut program = Cli::command().disable_help_subcommand(true).term_width(100);
    program.build();
    program.mut_subcommands(plain)
}

fn plain(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env_values(true)).term_width(100).mut_subcommands(plain)
}

/// The program, its commands and theirs.
fn all(program: &Command) -> Vec<&Command> {
    let below = program.get_subcommands().flat_map(all);
    std::iter::once(program).chain(below).collect()
}

fn find<'a>(program: &'a Command, name: &str) -> anyhow::Result<&'a Command> {
    program.find_subcommand(name).with_context(|| {
        let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
        format!("there is no command {name}; there are {}", names.join(", "))
    })
}

fn rendered(page: &clap_mangen::Man) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok(text)
}

/// The help of every command.
fn markdown(program: &Command) -> String {
    let head = "# Commands and flags\n\nWhat `--help` says, of every command; written by `cargo xtask docs`.\n";
    let section = |command: &Command| {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
        let help = command.clone().render_long_help().to_string();
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n"))
    };
    all(program).into_iter().map(section).fold(head.to_owned(), |page, section| page + &section)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
