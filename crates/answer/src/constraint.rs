//! What an answer has to fit: from what is asked for to a mask of each continuation.

use engine::{MaskError, MaskState, TokenMask, TokenSet};
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
    /// A matcher of what the answers have to fit; `None` if they are free.
    pub(crate) fn matcher(&self, ask: &Ask) -> Result<Option<ConstraintMatcher>, Problem> {
        let forced = match &ask.input {
            Input::Chat(chat) => self.forced(chat)?,
            Input::Prompts { .. } => None,
        };
        let Some(Constrained { constraint, param }) = forced.as_ref().or(ask.constrained.as_ref()) else {
            return Ok(None);
        };
        let refused = |error| refused(param, error);
        self.constrainer().map_err(refused)?.compile(constraint).map(Some).map_err(refused)
    }

    /// The calls that a conversation asks for.
    fn forced(&self, chat: &Chat) -> Result<Option<Constrained>, Problem> {
        let tool = match &chat.tool_choice {
            ToolChoice::Auto => return Ok(None),
            ToolChoice::Required => None,
            ToolChoice::Named(name) => Some(name.as_str()),
        };
        let (info, tools) = (&self.info, chat.tools.as_ref().unwrap_or(&Value::Null));
        let calls = info.dialect.calls(tools, tool, chat.parallel_tool_calls, &info.tokenizer);
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

/// One continuation's.
pub(crate) struct Mask(pub(crate) ConstraintMatcher);

impl TokenMask for Mask {
    fn fill(&mut self, allowed: &mut TokenSet) -> Result<(), MaskError> {
        self.0.fill(allowed.words_mut()).map_err(failed)
    }

    fn accept(&mut self, token: u32) -> Result<MaskState, MaskError> {
        let complete = self.0.accept(token).map_err(failed)?;
        Ok(if complete { MaskState::Complete } else { MaskState::Open })
    }
}

fn failed(error: ConstraintError) -> MaskError {
    MaskError(error.message)
}
