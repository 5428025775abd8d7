//! The subcommands and the options that several of them share.

mod bench;
mod chat;
mod completions;
mod inspect;
mod logits;
mod perplexity;
mod run;
mod sampling;
mod scorer;
mod serve;
mod tokenize;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use whinchat::{LoadOptions, Model, Prepared};

use crate::terminal::Bars;

/// Serves language models: runs them, chats with them, and answers over the APIs that clients already speak.
#[derive(Parser)]
#[command(name = "whinchat", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Continue a prompt and print the text.
    Run(run::Run),
    /// Chat in the terminal.
    Chat(chat::Chat),
    /// Answer over HTTP (OpenAI's API).
    Serve(serve::Serve),
    /// Show what is in a model: metadata, tensors, memory by part, the graph.
    Inspect(inspect::Inspect),
    /// Measure perplexity on a text (llama.cpp's protocol).
    Perplexity(perplexity::Perplexity),
    /// Show the tokens of a text.
    Tokenize(tokenize::Tokenize),
    /// Write the logits of a sequence of tokens to a NumPy file.
    Logits(logits::Logits),
    /// Measure speed: prefill and decode, for one or several streams.
    Bench(bench::Bench),
    /// Print shell completions.
    Completions(completions::Completions),
}

/// Parses the command line and does what it says.
pub(crate) fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(c) => c.run(),
        Command::Chat(c) => c.run(),
        Command::Serve(c) => c.run(),
        Command::Inspect(c) => c.run(),
        Command::Perplexity(c) => c.run(),
        Command::Tokenize(c) => c.run(),
        Command::Logits(c) => c.run(),
        Command::Bench(c) => c.run(),
        Command::Completions(c) => c.run(),
    }
}

/// Which model.
#[derive(Args)]
struct ModelArg {
    /// A GGUF file, a safetensors folder, or a Hugging Face id (org/name, org/name:file.gguf).
    #[arg(long, short, value_name = "MODEL", env = "WHINCHAT_MODEL")]
    model: String,
}

impl ModelArg {
    /// Where its files are, downloaded if need be.
    fn locate(&self) -> anyhow::Result<PathBuf> {
        locate(&self.model)
    }
}

/// Where a model's files are, downloaded if need be.
fn locate(source: &str) -> anyhow::Result<PathBuf> {
    let bars = Bars::new();
    Ok(whinchat::locate(source, &|stage, done, total| bars.show(stage, done, total))?)
}

/// A text of the command line; `-` reads it from stdin.
fn text_or_stdin(text: String) -> anyhow::Result<String> {
    if text == "-" { std::io::read_to_string(std::io::stdin().lock()).context("reading stdin") } else { Ok(text) }
}

/// How it is brought into memory.
#[derive(Args)]
struct LoadArgs {
    #[command(flatten)]
    model: ModelArg,
    /// Longest sequence, prompt and answer [default: the model's own, at most 8192]
    #[arg(long, short, value_name = "TOKENS", allow_negative_numbers = true)]
    context: Option<usize>,
    /// Threads that compute [default: every core]
    #[arg(long, short, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl LoadArgs {
    fn options(&self) -> LoadOptions {
        LoadOptions { context: self.context, threads: self.threads.map(usize::from), ..LoadOptions::default() }
    }

    /// Loads the model with its engine, for `max_sequences` at once.
    fn load(&self, max_sequences: usize) -> anyhow::Result<Model> {
        self.load_with(&LoadOptions { max_sequences: Some(max_sequences), ..self.options() })
    }

    /// Loads the model with its engine.
    fn load_with(&self, options: &LoadOptions) -> anyhow::Result<Model> {
        let prepared = self.prepare(options)?;
        let bars = Bars::new();
        let model = Model::start(&prepared, &|stage, done, total| bars.show(stage, done, total));
        // What is wrong with a file names the file itself.
        model.map_err(|e| match e {
            whinchat::Error::Backend(_) => anyhow::Error::new(e).context(format!("cannot load {}", self.model.model)),
            other => other.into(),
        })
    }

    /// Opens the model without bringing it into memory.
    fn prepare(&self, options: &LoadOptions) -> anyhow::Result<Prepared> {
        let prepared = whinchat::prepare(&self.model.locate()?, options)?;
        let own = prepared.model.spec().context;
        if prepared.context > own {
            eprintln!("warning: a context of {}, but the model was made for {own} positions", prepared.context);
        }
        Ok(prepared)
    }
}
