//! A case of a suite: what is asked, and what is expected of the answer.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use text::{Grammar, GrammarMatcher};

use super::Choice;
use super::fields::{Fields, Wrong, must_be};

/// Most tokens of an answer where a case does not say.
const MAX_TOKENS: u64 = 64;

/// A case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name, unique in the suite.
    pub(crate) id: String,
    /// What it is counted under.
    pub(crate) task: String,
    /// What is asked.
    pub(crate) input: Input,
    /// Tools that the model may call (OpenAI's array).
    pub(crate) tools: Option<Value>,
    /// Most tokens to generate.
    pub(crate) max_tokens: usize,
    /// 0 always takes the most likely token.
    pub(crate) temperature: f32,
    /// Makes the answer repeatable where the temperature is not 0.
    pub(crate) seed: u64,
    /// What is expected.
    pub(crate) expect: Expect,
    /// The same as the suite has it.
    pub(crate) expected: Value,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// A conversation (OpenAI's messages), rendered by the model's chat template.
    Messages(Value),
    /// A text to go on with.
    Prompt(String),
}

/// What is expected of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    /// One of these, but for outer white space.
    Exact(Vec<String>),
    /// Each of these appears.
    Contains(Vec<String>),
    /// This value as JSON.
    Json(Value),
    /// These calls of tools and nothing else.
    ToolCalls(Vec<Call>),
    /// Every sentence is one of this grammar's.
    Grammar(GrammarMatcher),
    /// The likeliest of some options is the right one; nothing is generated.
    Choice(Choice),
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// The tool's name.
    pub(crate) name: String,
    /// What it is called with.
    pub(crate) arguments: Map<String, Value>,
}

impl Input {
    /// The last thing said: what a person would call the question.
    pub(crate) fn question(&self) -> &str {
        match self {
            Input::Messages(messages) => {
                let last = messages.as_array().and_then(|messages| messages.last());
                last.and_then(|message| message["content"].as_str()).unwrap_or_default()
            }
            Input::Prompt(prompt) => prompt,
        }
    }
}

impl Case {
    /// Reads a case.
    pub(super) fn read(value: &Value, grammars: &mut Grammars) -> Result<Case, Wrong> {
        let known = ["id", "task", "messages", "prompt", "tools", "max_tokens", "temperature", "seed", "expect"];
        let fields = Fields::of(value, "", &known)?;
        let (id, task) = (fields.text("id")?.to_owned(), fields.text("task")?.to_owned());
        let input = input(&fields)?;
        let tools = tools(&fields)?;
        if tools.is_some() && matches!(input, Input::Prompt(_)) {
            return Err(fields.wrong("tools", "go with messages, not with a prompt; take one of them out"));
        }
        let max_tokens = fields.count("max_tokens", 1)?.unwrap_or(MAX_TOKENS) as usize;
        let temperature = fields.number("temperature", 0.0..=1e6, "a number from 0 on")?.unwrap_or(0.0) as f32;
        let seed = fields.count("seed", 0)?.unwrap_or(1);
        let expected = fields.required("expect")?;
        let expect = expect(expected, grammars)?;
        if matches!((&expect, &input), (Expect::Choice(_), Input::Messages(_))) {
            return Err(fields.wrong("messages", "have no options to choose from; write a prompt instead"));
        }
        Ok(Case { id, task, input, tools, max_tokens, temperature, seed, expect, expected: expected.clone() })
    }
}

fn input(fields: &Fields) -> Result<Input, Wrong> {
    let messages = fields.array("messages")?;
    match (messages, fields.get("prompt")) {
        (Some(_), Some(_)) => Err(fields.wrong("prompt", "stands beside messages; take one of them out")),
        (None, None) => Err(fields.wrong("messages", "are missing; add them, or a prompt")),
        (None, Some(_)) => Ok(Input::Prompt(fields.text("prompt")?.to_owned())),
        (Some(messages), None) => {
            for (i, message) in messages.iter().enumerate() {
                check_message(message, format!("messages[{i}]"))?;
            }
            Ok(Input::Messages(Value::Array(messages.to_vec())))
        }
    }
}

fn check_message(message: &Value, path: String) -> Result<(), Wrong> {
    let fields = Fields::of(message, path, &["role", "content", "name", "tool_calls", "tool_call_id"])?;
    let role = fields.text("role")?;
    if !["system", "user", "assistant", "tool"].contains(&role) {
        return Err(fields.wrong("role", must_be("system, user, assistant or tool", &message["role"])));
    }
    let calls = fields.array("tool_calls")?.is_some();
    match fields.get("content") {
        Some(Value::String(_)) => Ok(()),
        None | Some(Value::Null) if calls => Ok(()),
        None => Err(fields.wrong("content", "is missing; add it")),
        Some(other) => Err(fields.wrong("content", must_be("a string", other))),
    }
}

fn tools(fields: &Fields) -> Result<Option<Value>, Wrong> {
    let Some(tools) = fields.array("tools")? else { return Ok(None) };
    for (i, tool) in tools.iter().enumerate() {
        if tool.pointer("/function/name").and_then(Value::as_str).is_none() {
            let what = r#"a tool of OpenAI's API: {"type": "function", "function": {"name": …, "parameters": …}}"#;
            return Err(Wrong::new(fields.path_of(&format!("tools[{i}]")), must_be(what, tool)));
        }
    }
    Ok(Some(Value::Array(tools.to_vec())))
}

fn expect(value: &Value, grammars: &mut Grammars) -> Result<Expect, Wrong> {
    let kinds = ["exact", "contains", "json", "tool_calls", "grammar", "choice"];
    let fields = Fields::of(value, "expect", &kinds)?;
    let names: Vec<&str> = fields.names().collect();
    match names[..] {
        ["exact"] => exact(&fields),
        ["contains"] => Ok(Expect::Contains(fields.texts("contains")?)),
        ["json"] => Ok(Expect::Json(fields.required("json")?.clone())),
        ["tool_calls"] => {
            let calls = fields.array("tool_calls")?.unwrap_or_default().iter().enumerate();
            let call = |(i, call)| expected_call(call, format!("expect.tool_calls[{i}]"));
            Ok(Expect::ToolCalls(calls.map(call).collect::<Result<_, _>>()?))
        }
        ["grammar"] => {
            let found = grammars.get(fields.text("grammar")?);
            Ok(Expect::Grammar(found.map_err(|why| Wrong { field: "expect.grammar".into(), ..why })?))
        }
        ["choice"] => choice(fields.required("choice")?).map(Expect::Choice),
        _ => Err(Wrong::new("expect", format!("must have exactly one of: {}", kinds.join(", ")))),
    }
}

fn choice(value: &Value) -> Result<Choice, Wrong> {
    let fields = Fields::of(value, "expect.choice", &["options", "answer"])?;
    let options = fields.texts("options")?;
    let answer = fields.required("answer")?;
    let place = answer.as_u64().map(|place| place as usize).filter(|place| *place < options.len());
    let what = format!("the place of the right option, from 0 to {}", options.len() - 1);
    let answer = place.ok_or_else(|| fields.wrong("answer", must_be(&what, answer)))?;
    if options.len() < 2 {
        return Err(fields.wrong("options", "are fewer than two; add others"));
    }
    Ok(Choice { options, answer })
}

fn exact(fields: &Fields) -> Result<Expect, Wrong> {
    let texts = fields.texts("exact")?;
    match texts.iter().find(|text| text.trim() != text.as_str()) {
        Some(text) => {
            let message = format!("{text:?} has outer white space, which is taken off answers; take it off here too");
            Err(fields.wrong("exact", message))
        }
        None => Ok(Expect::Exact(texts)),
    }
}

fn expected_call(value: &Value, path: String) -> Result<Call, Wrong> {
    let fields = Fields::of(value, path, &["name", "arguments"])?;
    let arguments = fields.required("arguments")?;
    let object = arguments.as_object().ok_or_else(|| fields.wrong("arguments", must_be("an object", arguments)))?;
    Ok(Call { name: fields.text("name")?.to_owned(), arguments: object.clone() })
}

/// The grammars of a suite, each read once.
pub(super) struct Grammars {
    folder: PathBuf,
    read: HashMap<String, Option<GrammarMatcher>>,
}

impl Grammars {
    pub(super) fn new(folder: PathBuf) -> Grammars {
        Grammars { folder, read: HashMap::new() }
    }

    /// The grammar in a file; what is wrong with it is said once.
    fn get(&mut self, name: &str) -> Result<GrammarMatcher, Wrong> {
        if let Some(known) = self.read.get(name) {
            return known.clone().ok_or_else(Wrong::told);
        }
        let read = self.compile(name);
        self.read.insert(name.to_owned(), read.as_ref().ok().cloned());
        read.map_err(|message| Wrong::new("", message))
    }

    fn compile(&self, name: &str) -> Result<GrammarMatcher, String> {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("{name:?} is not in the suite's folder; name a file in it"));
        }
        let source = std::fs::read_to_string(self.folder.join(name)).map_err(|e| format!("cannot read {name}: {e}"))?;
        let matcher = Grammar::parse(&source).and_then(|grammar| grammar.matcher());
        matcher.map_err(|e| format!("{name}, {e}"))
    }
}
