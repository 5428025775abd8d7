//! What is asked of a model, as Python says it: JSON with every field optional, checked as strictly as a server checks it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use answer::{Ask, Chat, Constrained, Ending, Input, PromptText, Sampling, Service, Steering, ToolChoice};
use engine::Priority;
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use text::Constraint;

use crate::errors;
use crate::options::{named, seconds};

/// Most answers to one prompt, and most alternatives of a token.
const MOST: RangeInclusive<usize> = 0..=128;

/// A request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    input: Given,
    #[serde(default)]
    sampling: Choosing,
    #[serde(default)]
    ending: End,
    #[serde(default)]
    output: Output,
    #[serde(default)]
    service: Serving,
    #[serde(default)]
    constraint: Option<Fitting>,
    /// Comes back with the answer of a batch.
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What to continue.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Given {
    /// A user's message if the model chats, else a text to continue.
    Message(String),
    Text(String),
    Tokens(Vec<u32>),
    Chat(Box<Conversation>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversation {
    messages: Value,
    #[serde(default)]
    tools: Option<Value>,
    #[serde(default)]
    tool_choice: Option<String>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    continue_final_message: bool,
    #[serde(default)]
    template_variables: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Choosing {
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    typical_p: Option<f32>,
    repetition_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    logit_bias: BTreeMap<u32, f32>,
    allowed_token_ids: Option<Vec<u32>>,
    bad_words: Vec<String>,
    seed: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct End {
    max_tokens: Option<usize>,
    min_tokens: usize,
    ignore_eos: bool,
    stop_token_ids: Vec<u32>,
    stop: Vec<String>,
    include_stop: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Output {
    n: Option<usize>,
    logprobs: Option<usize>,
    prompt_logprobs: Option<usize>,
    echo: bool,
    skip_special_tokens: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Serving {
    priority: Option<String>,
    time_limit: Option<f64>,
    tenant: Option<String>,
    cache_salt: Option<String>,
}

/// What the answer has to fit.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fitting {
    JsonSchema(Value),
    Regex(String),
    Choice(Vec<String>),
    Lark(String),
    Gbnf(String),
}

impl Asked {
    /// As the library takes it, for a model that chats or does not.
    ///
    /// # Errors
    /// If a value is out of its range.
    pub(crate) fn ask(self, chats: bool) -> PyResult<Ask> {
        let Output { n, logprobs, prompt_logprobs, echo, skip_special_tokens } = self.output;
        let n = n.unwrap_or(1);
        within("n", n as f64, &(1.0..=*MOST.end() as f64))?;
        for (name, value) in [("logprobs", logprobs), ("prompt_logprobs", prompt_logprobs)] {
            within(name, value.unwrap_or_default() as f64, &(0.0..=*MOST.end() as f64))?;
        }
        Ok(Ask {
            n,
            sampling: self.sampling.checked()?,
            ending: self.ending.into(),
            constrained: self.constraint.map(Constrained::from),
            logprobs,
            prompt_logprobs,
            service: self.service.checked()?,
            skip_special_tokens: skip_special_tokens.unwrap_or(true),
            ..Ask::new(self.input.input(chats, echo)?)
        })
    }
}

impl Given {
    fn input(self, chats: bool, echo: bool) -> PyResult<Input> {
        let prompt = |item| Input::Prompts { items: vec![item], echo, parse_special: true, suffix: None };
        Ok(match self {
            Given::Message(text) if chats => {
                Input::Chat(Chat::new(serde_json::json!([{ "role": "user", "content": text }])))
            }
            Given::Message(text) | Given::Text(text) => prompt(PromptText::Text(text)),
            Given::Tokens(tokens) => prompt(PromptText::Tokens(tokens)),
            Given::Chat(conversation) => Input::Chat((*conversation).into()),
        })
    }
}

impl From<Conversation> for Chat {
    fn from(given: Conversation) -> Chat {
        let tool_choice = match given.tool_choice.as_deref() {
            None | Some("auto") => ToolChoice::Auto,
            Some("required") => ToolChoice::Required,
            Some(name) => ToolChoice::Named(name.to_owned()),
        };
        Chat {
            tools: given.tools,
            tool_choice,
            add_generation_prompt: !given.continue_final_message,
            continue_final_message: given.continue_final_message,
            parallel_tool_calls: given.parallel_tool_calls.unwrap_or(true),
            variables: given.template_variables,
            ..Chat::new(given.messages)
        }
    }
}

impl Choosing {
    fn checked(self) -> PyResult<Sampling> {
        const BIAS: f64 = 100.0;
        let ranges = [
            ("temperature", self.temperature, 0.0..=100.0),
            ("top_p", self.top_p, 0.0..=1.0),
            ("min_p", self.min_p, 0.0..=1.0),
            ("typical_p", self.typical_p, 0.0..=1.0),
            ("repetition_penalty", self.repetition_penalty, 1e-3..=1e3),
            ("frequency_penalty", self.frequency_penalty, -2.0..=2.0),
            ("presence_penalty", self.presence_penalty, -2.0..=2.0),
        ];
        for (name, value, range) in &ranges {
            value.map_or(Ok(()), |value| within(name, f64::from(value), range))?;
        }
        self.logit_bias.values().try_for_each(|bias| within("logit_bias", f64::from(*bias), &(-BIAS..=BIAS)))?;
        Ok(Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            logit_bias: self.logit_bias.into_iter().collect(),
            steering: Steering { allowed: self.allowed_token_ids, bad_words: self.bad_words, ..Steering::default() },
            seed: self.seed,
            ..Sampling::default()
        })
    }
}

impl From<End> for Ending {
    fn from(given: End) -> Ending {
        Ending {
            max_tokens: given.max_tokens,
            min_tokens: given.min_tokens,
            ignore_eos: given.ignore_eos,
            token_ids: given.stop_token_ids,
            strings: given.stop,
            include: given.include_stop,
        }
    }
}

impl Serving {
    fn checked(self) -> PyResult<Service> {
        let all = [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];
        Ok(Service {
            priority: named("priority", self.priority.as_deref().unwrap_or("normal"), all)?,
            time_limit: self.time_limit.map(|limit| seconds("time_limit", limit)).transpose()?,
            tenant: self.tenant,
            cache_salt: self.cache_salt,
            interposed: None,
        })
    }
}

impl From<Fitting> for Constrained {
    fn from(fitting: Fitting) -> Constrained {
        let (param, constraint) = match fitting {
            Fitting::JsonSchema(schema) => ("json_schema", Constraint::JsonSchema(schema)),
            Fitting::Regex(regex) => ("regex", Constraint::Regex(regex)),
            Fitting::Choice(texts) => ("choice", Constraint::Choice(texts)),
            Fitting::Lark(grammar) => ("lark", Constraint::Lark(grammar)),
            Fitting::Gbnf(grammar) => ("gbnf", Constraint::Gbnf(grammar)),
        };
        Constrained { constraint, param: param.to_owned() }
    }
}

fn within(name: &str, value: f64, range: &RangeInclusive<f64>) -> PyResult<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(errors::invalid(name, &format!("{name} is {value}, but must be from {least} to {most}")))
}
