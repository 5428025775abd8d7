//! `whinchat chat`: a conversation in the terminal.

mod answer;
mod commands;
mod conversation;
mod exchange;
mod files;
mod input;
mod session;

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};
use whinchat::LoadOptions;

#[cfg(test)]
pub(super) use self::commands::COMMANDS;
use self::conversation::Conversation;
use self::input::Input;
use self::session::Session;
use super::sampling::SamplingArgs;
use super::{AnswerArgs, LoadArgs, adapter, text_or_stdin};

/// Chat in the terminal
///
/// /help lists what can be typed; Ctrl-C stops an answer and not the program. With MESSAGE the answer to it is printed, and
/// nothing else. Without a terminal each line of stdin is answered, with a line for each answer.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat chat
  whinchat chat --model org/name --temperature 0.7 --tools tools.json
  whinchat chat --system \"Translate into French.\" \"Good morning!\"")]
#[command(mut_arg("max_tokens", |arg| arg.help("Most tokens of an answer [default: what the context leaves]")))]
pub(crate) struct Chat {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    answer: AnswerArgs,
    /// Answer with this LoRA adapter: a folder of PEFT, or a GGUF file (docs/lora.md).
    #[arg(long, value_name = "PATH")]
    lora: Option<PathBuf>,
    /// What the model is told before the conversation.
    #[arg(long, short, value_name = "TEXT")]
    system: Option<String>,
    /// Functions the model may call: a JSON file with OpenAI's list of tools.
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// Variables of the model's chat template, as {"enable_thinking": false}.
    #[arg(long, value_name = "JSON", value_parser = object)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// No line about speed after each answer.
    #[arg(long)]
    no_timings: bool,
    /// What to answer; - reads it from stdin.
    message: Option<String>,
    // Last: the heading is that of every flag after it.
    #[command(flatten, next_help_heading = "Sampling")]
    sampling: SamplingArgs,
}

impl Chat {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let tools = self.tools.as_deref().map(files::read_tools).transpose()?;
        let message = self.message.map(text_or_stdin).transpose()?;
        let options = LoadOptions { max_sequences: Some(1), ..self.answer.options(&self.load)? };
        let model = self.load.load_with(&options)?;
        let adapter = adapter(&model, self.lora.as_deref())?;
        self.sampling.check(&model)?;
        let conversation = Conversation::new(self.system, tools, Vec::new());
        let variables = self.chat_template_kwargs.unwrap_or_default();
        let terminal = std::io::stdin().is_terminal() && message.is_none();
        let input = if terminal { Input::editor()? } else { Input::pipe() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let timings = terminal && !self.no_timings;
        let sampling = self.sampling;
        let mut session = Session {
            model,
            adapter,
            sampling,
            variables,
            conversation,
            input,
            runtime,
            timings,
            files: HashSet::new(),
        };
        // A model that cannot chat says so before anyone types.
        session.check(&session.conversation)?;
        match message {
            Some(message) => session.answer_once(&message),
            None if terminal => session.converse(),
            None => session.answer_lines(),
        }
    }
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|e| format!("must be a JSON object: {e}"))
}
