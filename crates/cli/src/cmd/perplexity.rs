//! `whinchat perplexity`: how surprised a model is by a text, by llama.cpp's protocol.

use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use text::EncodeOptions;

use super::LoadArgs;
use super::scorer::Scorer;

/// Measure perplexity on a text (llama.cpp's protocol)
///
/// The text is cut into chunks of the context; of each the second half is scored.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat perplexity --model model.gguf wiki.test.raw
  whinchat perplexity --context 2048 --chunks 20 --json wiki.test.raw")]
#[command(mut_arg("context", |arg| arg.help("Tokens in a chunk [default: 512]")))]
pub(crate) struct Perplexity {
    #[command(flatten)]
    load: LoadArgs,
    /// Score only the first chunks.
    #[arg(long, value_name = "N")]
    chunks: Option<NonZeroUsize>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// The text.
    file: PathBuf,
}

/// Sums over scored tokens.
#[derive(Default)]
struct Score {
    tokens: usize,
    nll: f64,
    nll2: f64,
}

impl Perplexity {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let context = self.load.context.unwrap_or(512);
        anyhow::ensure!(context >= 4, "--context {context}: at least 4 tokens are needed");
        let bytes = std::fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", self.file.display()))?;
        let mut scorer = Scorer::load(&self.load, context)?;
        let tokenizer = whinchat::tokenizer(&scorer.prepared.checkpoint)?;
        let tokens = tokenizer.encode(&text, EncodeOptions { add_special: true, parse_special: false });
        let bos = tokenizer.bos().filter(|bos| tokens.first() == Some(bos));
        let total = (tokens.len() / context).min(self.chunks.map_or(usize::MAX, NonZeroUsize::get));
        anyhow::ensure!(
            total >= 1 && tokens.len() >= 2 * context,
            "{} has {} tokens; at least {} are needed for --context {context}",
            self.file.display(),
            tokens.len(),
            2 * context
        );
        let mut score = Score::default();
        for (done, chunk) in tokens.chunks_exact(context).take(total).enumerate() {
            score.chunk(&mut scorer, chunk, bos)?;
            if std::io::stderr().is_terminal() {
                eprintln!("[{}/{total}] {:.4}", done + 1, score.perplexity());
            }
        }
        self.report(&score, total, context)
    }

    fn report(&self, score: &Score, chunks: usize, context: usize) -> anyhow::Result<()> {
        let (perplexity, error) = (score.perplexity(), score.error());
        let mut out = std::io::stdout().lock();
        if self.json {
            let tokens = score.tokens;
            let line = json!({ "perplexity": perplexity, "error": error, "context": context, "chunks": chunks, "tokens": tokens });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "perplexity {perplexity:.4} +/- {error:.5}")?;
        }
        Ok(())
    }
}

impl Score {
    /// Scores the second half of `chunk`; its first token is replaced by `bos` where the model wants one.
    fn chunk(&mut self, scorer: &mut Scorer, chunk: &[u32], bos: Option<u32>) -> anyhow::Result<()> {
        let mut tokens = chunk.to_vec();
        if let Some(bos) = bos {
            tokens[0] = bos;
        }
        scorer.score(&tokens, chunk.len() / 2, |i, logits| {
            if let Some(next) = chunk.get(i + 1) {
                self.add(lab::log_sum(logits) - f64::from(logits[*next as usize]));
            }
            Ok(())
        })
    }

    fn add(&mut self, nll: f64) {
        self.tokens += 1;
        self.nll += nll;
        self.nll2 += nll * nll;
    }

    fn mean(&self) -> f64 {
        self.nll / self.tokens as f64
    }

    fn perplexity(&self) -> f64 {
        self.mean().exp()
    }

    /// Standard error of the perplexity, from the spread of the tokens' surprise.
    fn error(&self) -> f64 {
        let variance = self.nll2 / self.tokens as f64 - self.mean() * self.mean();
        (variance.max(0.0) / (self.tokens as f64 - 1.0).max(1.0)).sqrt() * self.perplexity()
    }
}
