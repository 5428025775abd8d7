//! `whinchat run`: continue a prompt.

use std::io::{IsTerminal, Write};

use anyhow::Context as _;
use clap::Args;
use whinchat::Piece;

use super::sampling::SamplingArgs;
use super::{LoadArgs, text_or_stdin};

/// Continue a prompt and print the text as it comes.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print the prompt before its continuation.
    #[arg(long)]
    echo: bool,
    /// The text to continue; - reads it from stdin.
    #[arg(default_value = "")]
    prompt: String,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let prompt = text_or_stdin(self.prompt)?;
        let model = self.load.load(1)?;
        let options = self.sampling.options(&model);
        let mut out = std::io::stdout().lock();
        if self.echo {
            out.write_all(prompt.as_bytes())?;
        }
        for piece in model.pieces(&prompt, &options)? {
            let piece = piece.with_context(|| format!("running {}", self.load.model.model))?;
            if let Piece::Text(text) = piece {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
        // In a pipe: the text and nothing else.
        if out.is_terminal() {
            writeln!(out)?;
        }
        Ok(())
    }
}
