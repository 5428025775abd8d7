//! `whinchat tokenize`: the tokens of a text, or how fast they are made.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use text::{EncodeOptions, Tokenizer, TokenizerConfig};
use whinchat::bounds;

use super::{ModelArg, text_or_stdin, within};

/// Show the tokens of a text
///
/// A line for each: its id and its piece of the text. With --stats only how many there are, and how long it took.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat tokenize \"The whinchat is a bird.\"
  whinchat tokenize --model model.gguf --json - < text.txt
  whinchat tokenize --model tokenizer.json --stats --threads 1 text.txt")]
pub(crate) struct Tokenize {
    #[command(flatten)]
    model: ModelArg,
    /// Neither add the model's special tokens nor recognise them in the text.
    #[arg(long)]
    no_special: bool,
    /// Encode a file as one text and print tokens, seconds and megabytes_per_second.
    #[arg(long)]
    stats: bool,
    /// Threads that share a long text, with --stats [default: every core]
    #[arg(long, short, value_name = "N", requires = "stats", allow_negative_numbers = true, value_parser = within(bounds::THREADS))]
    threads: Option<usize>,
    /// One JSON object: {"ids": [...], "pieces": [...]}, or what --stats prints.
    #[arg(long)]
    json: bool,
    /// The text, with --stats the file that has it; - reads stdin.
    #[arg(value_name = "TEXT|FILE")]
    text: String,
}

impl Tokenize {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let tokenizer = self.tokenizer()?;
        let special = !self.no_special;
        let options = EncodeOptions { add_special: special, parse_special: special };
        if self.stats {
            return self.stats(tokenizer, options);
        }
        let text = text_or_stdin(self.text)?;
        let ids = tokenizer.encode(&text, options);
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

    /// A model's, or that of a file that is a tokenizer and nothing else.
    fn tokenizer(&self) -> anyhow::Result<Tokenizer> {
        match self.model.model.as_ref().and_then(|name| whinchat::tokenizer_of_file(Path::new(name))) {
            Some(tokenizer) => Ok(tokenizer?),
            None => Ok(whinchat::tokenizer(&*self.model.open()?)?),
        }
    }

    fn stats(&self, tokenizer: Tokenizer, options: EncodeOptions) -> anyhow::Result<()> {
        let text = match self.text.as_str() {
            "-" => text_or_stdin("-".into())?,
            file => std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?,
        };
        let default = tokenizer.config();
        let threads = self.threads.unwrap_or(default.threads);
        let tokenizer = tokenizer.with_config(TokenizerConfig { threads, pool: threads, ..default });
        let begun = Instant::now();
        let tokens = tokenizer.count(&text, options);
        let seconds = begun.elapsed().as_secs_f64();
        let speed = text.len() as f64 / 1e6 / seconds.max(1e-9);
        let mut out = std::io::stdout().lock();
        if self.json {
            let stats = json!({ "tokens": tokens, "seconds": seconds, "megabytes_per_second": speed, "bytes": text.len(), "threads": threads });
            writeln!(out, "{stats}")?;
        } else {
            writeln!(
                out,
                "tokens                {tokens}\nseconds               {seconds:.6}\nmegabytes_per_second  {speed:.2}"
            )?;
        }
        Ok(())
    }
}
