//! `whinchat tokenize`: the tokens of a text.

use std::io::Write;

use clap::Args;
use serde_json::json;
use text::EncodeOptions;

use super::{ModelArg, text_or_stdin};

/// Show the tokens of a text
///
/// A line for each: its id and its piece of the text.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat tokenize \"The whinchat is a bird.\"
  whinchat tokenize --model model.gguf --json - < text.txt")]
pub(crate) struct Tokenize {
    #[command(flatten)]
    model: ModelArg,
    /// Neither add the model's special tokens nor recognise them in the text.
    #[arg(long)]
    no_special: bool,
    /// One JSON object: {"ids": [...], "pieces": [...]}.
    #[arg(long)]
    json: bool,
    /// The text; - reads it from stdin.
    text: String,
}

impl Tokenize {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let tokenizer = whinchat::tokenizer(&*self.model.open()?)?;
        let text = text_or_stdin(self.text)?;
        let special = !self.no_special;
        let ids = tokenizer.encode(&text, EncodeOptions { add_special: special, parse_special: special });
        let pieces: Vec<&str> = ids.iter().map(|id| tokenizer.piece(*id).unwrap_or_default()).collect();
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "ids": ids, "pieces": pieces }))?;
            return Ok(());
        }
        for (id, piece) in ids.iter().zip(pieces) {
            writeln!(out, "{id:>7}  {piece}")?;
        }
        Ok(())
    }
}
