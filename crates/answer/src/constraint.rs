//! What an answer has to fit: from what is asked for to a matcher.

use serde_json::Value;
use text::{Constrainer, Constraint, ConstraintError, ConstraintMatcher};

use crate::{Ask, Chat, Input, Kind, LoadedModel, Problem};

/// What an answer has to fit, and the field that asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Constrained {
    /// What it has to fit.
    pub constraint: Constraint,
    /// The field of the request, for problems with it.
    pub param: String,
}

/// Whether an answer to a conversation has to call tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// It calls at least one.
    Required,
    /// It calls this one.
    Named(String),
}

impl LoadedModel {
    /// A matcher of what the answers to a rendered prompt have to fit; `None` if they are free.
    pub(crate) fn matcher(&self, ask: &Ask, prompt: &str) -> Result<Option<ConstraintMatcher>, Problem> {
        let forced = match &ask.input {
            Input::Chat(chat) => self.forced(chat, prompt)?,
            Input::Prompts { .. } => None,
        };
        let Some(Constrained { constraint, param }) = forced.as_ref().or(ask.constrained.as_ref()) else {
            return Ok(None);
        };
        let refused = |error| refused(param, error);
        self.constrainer().map_err(refused)?.compile(constraint).map(Some).map_err(refused)
    }

    /// The calls that a conversation asks for.
    fn forced(&self, chat: &Chat, prompt: &str) -> Result<Option<Constrained>, Problem> {
        let tool = match &chat.tool_choice {
            ToolChoice::Auto => return Ok(None),
            ToolChoice::Required => None,
            ToolChoice::Named(name) => Some(name.as_str()),
        };
        let (info, tools) = (&self.info, chat.tools.as_ref().unwrap_or(&Value::Null));
        let calls = info.dialect.calls(tools, (tool, chat.parallel_tool_calls), prompt, &info.tokenizer);
        let Some(calls) = calls.map_err(|error| match error.path.is_empty() {
            true => refused("tool_choice", error),
            false => refused("tools", error),
        })?
        else {
            let name = info.dialect.name();
            let message = format!(
                "tool_choice: calls cannot be forced on the model {}, whose dialect ({name}) has no grammar. Use auto.",
                info.name
            );
            return Err(Problem::of(Kind::Unsupported, "tool_choice", message));
        };
        Ok(Some(Constrained { constraint: Constraint::Calls(calls), param: "tools".into() }))
    }

    /// Made when the first constraint is asked for.
    fn constrainer(&self) -> Result<&Constrainer, ConstraintError> {
        let make = || Constrainer::new(&self.info.tokenizer, &self.info.stop_tokens);
        self.constrainer.get_or_init(make).as_ref().map_err(Clone::clone)
    }
}

fn refused(param: &str, error: ConstraintError) -> Problem {
    let param = format!("{param}{}", error.path);
    let kind = if error.unsupported { Kind::Unsupported } else { Kind::InvalidValue };
    let message = format!("{param}: {}.", error.message.trim_end_matches('.'));
    Problem::of(kind, param, message)
}
