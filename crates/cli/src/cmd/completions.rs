//! `whinchat completions`: for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Print shell completions
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat completions bash > /etc/bash_completion.d/whinchat
  whinchat completions fish > ~/.config/fish/completions/whinchat.fish")]
pub(crate) struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "whinchat", &mut script);
        Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?)
    }
}
