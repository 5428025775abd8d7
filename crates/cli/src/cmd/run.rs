//! `whinchat run`: one answer, or the continuation of a text.

use std::io::{IsTerminal, Write};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use whinchat::{GenerateOptions, Model, Piece};

use super::sampling::SamplingArgs;
use super::{LoadArgs, text_or_stdin};

/// Answer a message, or continue a text, and print what comes
///
/// A model with a chat template is asked by it; another one, and every one with --raw, continues the text.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat run \"Who are you?\"
  whinchat run --model model.gguf --raw \"Once upon a time\"
  whinchat run --system \"Sum it up.\" < notes.txt")]
pub(crate) struct Run {
    #[command(flatten)]
    load: LoadArgs,
    /// Continue the text as it is, without the model's chat template.
    #[arg(long)]
    raw: bool,
    /// What the model is told before the message.
    #[arg(long, short, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Print the prompt, as the model sees it, before what it says.
    #[arg(long)]
    echo: bool,
    /// The message, or the text to continue; - reads it from stdin, as does a pipe where there is none.
    prompt: Option<String>,
    // Last: the heading is that of every flag after it.
    #[command(flatten, next_help_heading = "Sampling")]
    sampling: SamplingArgs,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let text = self.text()?;
        let model = self.load.load(1)?;
        let options = self.sampling.options(&model);
        let (prompt, options) = self.prompt(&model, text, options)?;
        let mut out = std::io::stdout().lock();
        if self.echo {
            out.write_all(prompt.as_bytes())?;
        }
        for piece in model.pieces(&prompt, &options)? {
            let piece = piece.with_context(|| format!("running {}", self.load.model.name()))?;
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

    fn text(&self) -> anyhow::Result<String> {
        if self.prompt.is_none() && std::io::stdin().is_terminal() {
            anyhow::bail!("there is no text: give one (whinchat run \"Who are you?\"), or talk with whinchat chat")
        }
        text_or_stdin(self.prompt.clone().unwrap_or_else(|| "-".into()))
    }

    /// What the model is to continue: the text, or what its template makes of it as a user's message.
    fn prompt(
        &self,
        model: &Model,
        text: String,
        options: GenerateOptions,
    ) -> anyhow::Result<(String, GenerateOptions)> {
        if self.raw || !model.chats() {
            anyhow::ensure!(self.system.is_none(), "--system: {} has no chat template to say it by", model.name());
            return Ok((text, options));
        }
        anyhow::ensure!(!text.trim().is_empty(), "the message is empty (--raw continues even an empty text)");
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let messages = system.chain([json!({ "role": "user", "content": text })]).collect();
        let prompt = model.render_chat(&messages).context("--raw continues the text without the template")?;
        Ok((prompt, GenerateOptions { templated: true, ..options }))
    }
}
