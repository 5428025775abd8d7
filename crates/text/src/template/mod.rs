//! Chat templates: the model's own Jinja, rendered with limits as Hugging Face renders it.

mod adapt;
mod builtin;
mod messages;
mod prompt;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::Dialect;
use crate::jinja::{Jinja, JinjaError, LIMITS, Limits, Variable};
use adapt::Needs;
pub use builtin::{builtin_template, builtin_template_names};
pub use messages::{MessageError, MessageErrorKind, normalized_messages};
pub use prompt::ChatPrompt;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not valid Jinja.
    #[error("the model's chat template is not valid: {0}")]
    Syntax(String),
    /// The messages are not what they should be, whatever the template.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// It refused the conversation (raise_exception) or failed on it.
    #[error("the model's chat template does not take this conversation: {0}")]
    Render(String),
}

/// A conversation to render.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// OpenAI's messages.
    pub messages: &'a Value,
    /// OpenAI's tools.
    pub tools: Option<&'a Value>,
    /// End the prompt with the start of an answer.
    pub add_generation_prompt: bool,
    /// The last message is the beginning of the answer: the prompt ends with its text.
    pub continue_final_message: bool,
    /// Further variables (`chat_template_kwargs`).
    pub variables: Option<&'a Map<String, Value>>,
    /// The time for templates that ask for it (`strftime_now`, UTC), in seconds since 1970.
    pub now: Option<i64>,
}

impl<'a> Conversation<'a> {
    /// A conversation that is to be answered.
    pub fn new(messages: &'a Value) -> Conversation<'a> {
        Conversation {
            messages,
            tools: None,
            add_generation_prompt: true,
            continue_final_message: false,
            variables: None,
            now: None,
        }
    }
}

/// A chat template that can be rendered. Shared between threads.
///
/// ```
/// use text::{ChatTemplate, Conversation, builtin_template};
///
/// let template = ChatTemplate::new(builtin_template("chatml").unwrap(), &[]).unwrap();
/// let messages = serde_json::json!([{"role": "user", "content": "Hello"}]);
/// let prompt = template.render(&Conversation::new(&messages)).unwrap();
/// assert_eq!(prompt.text(), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
/// ```
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    jinja: Jinja,
    special: Vec<(String, String)>,
    source: Arc<str>,
    needs: Needs,
}

/// What a trial of a template may take: it renders three short messages.
const TRIAL: Limits = Limits { steps: 200_000, bytes: 4 << 20, times: 64 };

/// Where a message that is continued ends. The space at its end tells whether the template drops white space.
const CONTINUED: &str = "\u{e000}continued\u{e001} ";

impl ChatTemplate {
    /// Parses `source` and finds out what messages it takes; `special` are the texts of the special tokens that it may
    /// name (`bos_token`, `eos_token` …).
    ///
    /// # Errors
    /// If it is not valid Jinja.
    pub fn new(source: &str, special: &[(&str, &str)]) -> Result<ChatTemplate, TemplateError> {
        let jinja = Jinja::new(source).map_err(|e| TemplateError::Syntax(e.to_string()))?;
        let special = special.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let all = Needs { lists: true, texts: true, null: true, system: true, ..Needs::default() };
        let mut template = ChatTemplate { jinja, special, source: source.into(), needs: all };
        template.needs = Needs::of(&|messages| {
            let trial = Conversation { now: Some(0), ..Conversation::new(messages) };
            Some(template.render_as_given(&trial, (messages, None), TRIAL).ok()?.into_text())
        });
        Ok(template)
    }

    /// Renders a conversation. Messages are checked ([`normalized_messages`]) and given in the form that the template takes:
    /// contents as texts or lists, null or empty, arguments as objects or JSON, the system's words in the first of the
    /// user's messages where the template does not let the system speak. A conversation that the template refuses is tried
    /// in a plainer form before it is an error.
    ///
    /// # Errors
    /// If the messages are wrong, or the template refuses the conversation, fails, or takes too much time or memory.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<ChatPrompt, TemplateError> {
        let mut messages = normalized_messages(conversation.messages)?;
        if conversation.continue_final_message {
            mark_end(&mut messages, conversation.add_generation_prompt)?;
        }
        let prompt = self.render_somehow(conversation, &messages)?;
        if conversation.continue_final_message { cut_at_end(prompt) } else { Ok(prompt) }
    }

    fn render_somehow(&self, conversation: &Conversation<'_>, messages: &Value) -> Result<ChatPrompt, TemplateError> {
        let render = |messages: &Value, tools: Option<&Value>| {
            self.render_as_given(conversation, (&self.needs.apply(messages), tools), LIMITS)
        };
        let refused = |error: JinjaError| TemplateError::Render(error.to_string());
        let error = match render(messages, conversation.tools) {
            Err(error) if !error.exhausted => error,
            done => return done.map_err(refused),
        };
        let tools = adapt::complete(conversation.tools);
        let plain = adapt::plainer(messages, true);
        let mut others = vec![(messages, Some(&tools)), (&plain, conversation.tools), (&plain, Some(&tools))];
        let in_text = adapt::plainer(messages, false);
        others.extend([(&in_text, conversation.tools), (&in_text, Some(&tools))]);
        others.iter().find_map(|(messages, tools)| render(messages, *tools).ok()).ok_or(refused(error))
    }

    fn render_as_given(
        &self,
        conversation: &Conversation<'_>,
        (messages, tools): (&Value, Option<&Value>),
        limits: Limits,
    ) -> Result<ChatPrompt, JinjaError> {
        let prompt = Value::Bool(conversation.add_generation_prompt);
        // Of two with a name the first counts.
        let mut variables: Vec<(&str, Variable<'_>)> = vec![
            ("messages", Variable::Data(messages)),
            ("tools", Variable::Data(tools.unwrap_or(&Value::Null))),
            ("add_generation_prompt", Variable::Data(&prompt)),
        ];
        let others = conversation.variables.into_iter().flatten();
        variables.extend(others.map(|(name, value)| (name.as_str(), Variable::Data(value))));
        variables.extend(self.special.iter().map(|(name, text)| (name.as_str(), Variable::Template(text))));
        variables.push(("documents", Variable::Data(&Value::Null)));
        let written = self.jinja.render(&variables, conversation.now, limits)?;
        Ok(ChatPrompt::new(written, self.source.clone()))
    }

    /// Whether it is written for models that rank: it shows a message of the role `query` and one of the role `document`, and nothing
    /// that a user says. The system's message is then the instruction.
    pub fn ranks(&self) -> bool {
        self.needs.pairs
    }

    /// Its source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The dialect of the models that it is written for.
    pub fn dialect(&self) -> Dialect {
        Dialect::of_template(&self.source)
    }

    /// Whether its source has this word in it: a template that never says `tool_calls` has no place for them.
    pub fn mentions(&self, word: &str) -> bool {
        self.source.contains(word)
    }
}

/// Marks the end of the last message's text.
fn mark_end(messages: &mut Value, add_generation_prompt: bool) -> Result<(), MessageError> {
    let wrong = |problem: &str| MessageError::new("continue_final_message", MessageErrorKind::Value, problem);
    if add_generation_prompt {
        return Err(wrong("contradicts add_generation_prompt"));
    }
    let last = messages.as_array_mut().and_then(|all| all.last_mut()).filter(|last| last["role"] == "assistant");
    let content = last.and_then(|message| match &mut message["content"] {
        Value::Array(parts) => parts.last_mut().map(|part| &mut part["text"]),
        content => Some(content),
    });
    let text = content.filter(|content| content.as_str().is_some_and(|text| !text.trim().is_empty()));
    let Some(Value::String(text)) = text else {
        return Err(wrong("needs a last message of the assistant with text"));
    };
    text.push_str(CONTINUED);
    Ok(())
}

/// Ends the prompt where the last message's text does.
fn cut_at_end(mut prompt: ChatPrompt) -> Result<ChatPrompt, TemplateError> {
    let Some(at) = prompt.text().rfind(CONTINUED.trim_end()) else {
        let problem = "is not possible: the model's chat template changes the last message";
        return Err(MessageError::new("continue_final_message", MessageErrorKind::Value, problem).into());
    };
    // A template that drops the space at the end would have dropped what stands before it too.
    let kept = prompt.text()[at..].starts_with(CONTINUED);
    let end = if kept { at } else { prompt.text()[..at].trim_end().len() };
    prompt.truncate(end);
    Ok(prompt)
}
