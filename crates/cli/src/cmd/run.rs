//! `whinchat run`: one answer, or the continuation of a text.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use whinchat::{Answer, Ask, Chat, Event, Input, LoadOptions, Model, PromptText};

use super::sampling::SamplingArgs;
use super::{AnswerArgs, LoadArgs, adapter, text_or_stdin};
use crate::terminal::Screen;

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
    #[command(flatten)]
    answer: AnswerArgs,
    /// Answer with this LoRA adapter: a folder of PEFT, or a GGUF file (docs/lora.md).
    #[arg(long, value_name = "PATH")]
    lora: Option<PathBuf>,
    /// Continue the text as it is, without the model's chat template.
    #[arg(long, conflicts_with = "chat_template")]
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
        let options = LoadOptions { max_sequences: Some(1), ..self.answer.options(&self.load)? };
        let model = self.load.load_with(&options)?;
        let adapter = adapter(&model, self.lora.as_deref())?;
        self.sampling.check(&model)?;
        let input = self.input(&model, text)?;
        let mut screen = Screen::plain();
        if self.echo {
            screen.text(&prompt(&model, &input)?)?;
        }
        let mut answer = Answer::default();
        for event in model.begin(&Ask { adapter, ..self.sampling.options().ask(input) })? {
            let event = event.with_context(|| format!("running {}", self.load.model.name()))?;
            match &event {
                Event::Text { text, .. } => screen.text(text)?,
                Event::Reasoning { text, .. } => screen.reasoning(text)?,
                Event::Prompt { .. } | Event::ToolCall { .. } | Event::Finished { .. } => {}
            }
            answer.add(event);
        }
        answer.calls.iter().try_for_each(|call| screen.call(call))?;
        Ok(screen.end()?)
    }

    fn text(&self) -> anyhow::Result<String> {
        if self.prompt.is_none() && std::io::stdin().is_terminal() {
            anyhow::bail!("there is no text: give one (whinchat run \"Who are you?\"), or talk with whinchat chat")
        }
        text_or_stdin(self.prompt.clone().unwrap_or_else(|| "-".into()))
    }

    /// What the model is given: the text, or a user's message where it chats.
    fn input(&self, model: &Model, text: String) -> anyhow::Result<Input> {
        if self.raw || !model.chats() {
            anyhow::ensure!(
                self.system.is_none(),
                "--system: {} has no chat template to say it by; --chat-template gives it one",
                model.name()
            );
            return Ok(Input::text(text));
        }
        anyhow::ensure!(!text.trim().is_empty(), "the message is empty (--raw continues even an empty text)");
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let chat = Chat::new(system.chain([json!({ "role": "user", "content": text })]).collect());
        model.render(&chat).context("--raw continues the text without the template")?;
        Ok(Input::Chat(chat))
    }
}

/// The text that the model sees.
fn prompt(model: &Model, input: &Input) -> anyhow::Result<String> {
    match input {
        Input::Chat(chat) => Ok(model.render(chat)?.into_text()),
        Input::Prompts { items, .. } => Ok(items.iter().filter_map(text_of).collect()),
    }
}

fn text_of(item: &PromptText) -> Option<&str> {
    match item {
        PromptText::Text(text) => Some(text),
        PromptText::Tokens(_) => None,
    }
}
