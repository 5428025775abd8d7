//! The form in which each dialect writes calls of tools, where a grammar can say it, and the grammar.

use serde_json::{Value, json};

use super::Dialect;
use super::parameters::{Each, GEMMA, Notation, Writer};
use crate::constraint::{quoted, with_options};
use crate::{Calls, ConstraintError, Tokenizer};

/// How calls are written: `open`, calls with `between` in between, `close`. A call is what stands before its name, the name,
/// what stands before its arguments, the arguments, and an end.
pub(super) struct Form {
    /// Around reasoning that may come before; the model begins it itself.
    thought: Option<[&'static str; 2]>,
    /// Left out where the prompt ends with it.
    open: &'static str,
    call: [&'static str; 3],
    /// `None` where there can be but one.
    between: Option<&'static str>,
    close: &'static str,
    /// How arguments are written one by one; `None` for a JSON object.
    each: Option<Each>,
}

/// Calls in JSON, one after another.
const PLAIN: Form = Form { thought: None, open: "", call: ["", "", ""], between: None, close: "", each: None };

const JSON: [&str; 3] = ["{\"name\": \"", "\", \"arguments\": ", "}"];

/// Names of dialects, a special token that tells of their form if there is more than one, and the form; the first that
/// fits is meant.
#[rustfmt::skip]
const FORMS: &[(&str, Option<&str>, Form)] = &[
    ("hermes", None, Form {
        call: ["<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"],
        between: Some("\n"),
        ..PLAIN
    }),
    ("llama3", None, Form { call: ["{\"name\": \"", "\", \"parameters\": ", "}"], ..PLAIN }),
    ("mistral", Some("[ARGS]"), Form { call: ["[TOOL_CALLS]", "[ARGS]", ""], between: Some(""), ..PLAIN }),
    ("mistral", None, Form { open: "[TOOL_CALLS][", call: JSON, between: Some(", "), close: "]", ..PLAIN }),
    ("granite", Some("<tool_call>"), Form {
        call: ["<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"],
        between: Some("\n"),
        ..PLAIN
    }),
    ("granite", None, Form { open: "<|tool_call|>[", call: JSON, between: Some(", "), close: "]", ..PLAIN }),
    ("phi", None, Form { open: "<|tool_call|>[", call: JSON, between: Some(", "), close: "]<|/tool_call|>", ..PLAIN }),
    ("deepseek", None, Form {
        open: "<｜tool▁calls▁begin｜>",
        call: ["<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"],
        between: Some(""),
        close: "<｜tool▁calls▁end｜>",
        ..PLAIN
    }),
    ("kimi-k2", None, Form {
        open: "<|tool_calls_section_begin|>",
        call: ["<|tool_call_begin|>functions.", ":0<|tool_call_argument_begin|>", "<|tool_call_end|>"],
        close: "<|tool_calls_section_end|>",
        ..PLAIN
    }),
    // The token that ends the message is one that ends the answer.
    ("gpt-oss", None, Form {
        thought: Some(["<|channel|>analysis<|message|>", "<|end|><|start|>assistant"]),
        call: ["<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", ""],
        ..PLAIN
    }),
    ("functionary-v3.2", None, Form { open: ">>>", call: ["", "\n", ""], between: Some(">>>"), ..PLAIN }),
    // Calls are numbered; one has no other before it.
    ("command-r7b", None, Form {
        thought: Some(["<|START_THINKING|>", "<|END_THINKING|>"]),
        open: "<|START_ACTION|>[\n",
        call: ["    {\"tool_call_id\": \"0\", \"tool_name\": \"", "\", \"parameters\": ", "}"],
        close: "\n]<|END_ACTION|>",
        ..PLAIN
    }),
    ("lfm2", None, Form {
        open: "<|tool_call_start|>[",
        call: ["", "(", ")"],
        between: Some(", "),
        close: "]<|tool_call_end|>",
        each: Some(Each { key: ["", "="], end: "", between: ", ", notation: Notation::Json }),
        ..PLAIN
    }),
    ("gemma4", None, Form { call: ["<|tool_call>call:", "{", "}<tool_call|>"], between: Some(""), each: Some(GEMMA), ..PLAIN }),
    ("glm", None, Form {
        call: ["<tool_call>", "\n", "</tool_call>"],
        between: Some("\n"),
        each: Some(elements(["<arg_key>", "</arg_key>\n<arg_value>"], "</arg_value>\n")),
        ..PLAIN
    }),
    ("qwen3-coder", None, Form {
        call: ["<tool_call>\n<function=", ">\n", "</function>\n</tool_call>"],
        between: Some("\n"),
        each: Some(elements(["<parameter=", ">\n"], "\n</parameter>\n")),
        ..PLAIN
    }),
    ("seed-oss", None, Form {
        call: ["<seed:tool_call>\n<function=", ">\n", "</function>\n</seed:tool_call>"],
        between: Some("\n"),
        each: Some(elements(["<parameter=", ">"], "</parameter>\n")),
        ..PLAIN
    }),
    ("minimax-m2", None, Form {
        call: ["<minimax:tool_call>\n<invoke name=\"", "\">\n", "</invoke>\n</minimax:tool_call>"],
        between: Some("\n"),
        each: Some(elements(["<parameter name=\"", "\">"], "</parameter>\n")),
        ..PLAIN
    }),
];

const fn elements(key: [&'static str; 2], end: &'static str) -> Each {
    Each { key, end, between: "", notation: Notation::Raw }
}

/// The form of a dialect, as the model with this tokenizer writes it.
pub(super) fn of(dialect: Dialect, tokenizer: &Tokenizer) -> Option<&'static Form> {
    let fits = |(name, marker, _): &&(&str, Option<&str>, Form)| {
        *name == dialect.name() && marker.is_none_or(|marker| tokenizer.id(marker).is_some())
    };
    FORMS.iter().find(fits).map(|(_, _, form)| form)
}

/// A dialect's markers, and the tokenizer that tells which of them are control tokens.
pub(super) type Markers<'a> = (&'static [&'static str], &'a Tokenizer);

impl Form {
    /// The grammar of calls of the tools: of all of them, or of the one that is named. `prompt` ends where the answer begins.
    pub(super) fn calls(
        &self,
        tools: &Value,
        (tool, parallel): (Option<&str>, bool),
        prompt: &str,
        markers: Markers<'_>,
    ) -> Result<Calls, ConstraintError> {
        let schemas = schemas(tools, tool)?;
        let (mut names, mut rules, mut count) = (Vec::new(), String::new(), 0);
        for (i, (name, path, schema)) in schemas.iter().enumerate() {
            let mut writer = Writer { markers, root: schema, rules: String::new(), count };
            let arguments = match &self.each {
                Some(each) => writer.arguments(each, (schema, path), 0)?,
                None => {
                    let schema = with_options(schema).map_err(|e| ConstraintError::new(path.as_str(), e.message))?;
                    format!("%json {schema}")
                }
            };
            count = writer.count;
            rules += &writer.rules;
            let name = Value::from(name.as_str()).to_string();
            let begin = [self.call[0], &name[1..name.len() - 1], self.call[1]].concat();
            let (begin, end) = (lark(&begin, markers), lark(self.call[2], markers));
            rules += &format!("call_{i}: {begin} {arguments} {end}\n");
            names.push(format!("call_{i}"));
        }
        let more = match self.between.filter(|_| parallel && tool.is_none()) {
            Some(between) => format!("({} call)*", lark(between, markers)),
            None => String::new(),
        };
        let mut writer = Writer { markers, root: &Value::Null, rules: String::new(), count };
        let thought =
            self.thought.map(|[begin, end]| format!("({} {})?", lark(begin, markers), writer.text_up_to(end)));
        let open = if self.open.is_empty() || prompt.ends_with(self.open) { "" } else { self.open };
        let (open, close) = (lark(open, markers), lark(self.close, markers));
        let thought = thought.unwrap_or_default();
        let source = format!(
            "start: {thought} {open} call {more} {close}\ncall: {}\n{rules}{}TEXT: /(.|\\n)*/\n",
            names.join(" | "),
            writer.rules
        );
        Ok(Calls { lark: source, schemas: schemas.into_iter().map(|(_, path, schema)| (path, schema)).collect() })
    }
}

/// Name, path and schema of the arguments of each tool that may be called.
fn schemas(tools: &Value, only: Option<&str>) -> Result<Vec<(String, String, Value)>, ConstraintError> {
    let mut all = Vec::new();
    for (i, tool) in tools.as_array().into_iter().flatten().enumerate() {
        let inner = tool.get("function").filter(|function| function.is_object());
        let (function, path) = inner.map_or((tool, format!("[{i}]")), |inner| (inner, format!("[{i}].function")));
        let Some(name) = function.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return Err(ConstraintError::new(path + ".name", "a tool that must be called needs a name"));
        };
        if only.is_none_or(|only| only == name) {
            let schema = function.get("parameters").filter(|schema| !schema.is_null());
            let mut schema = schema.cloned().unwrap_or_else(|| json!({}));
            if let Some(map) = schema.as_object_mut() {
                map.entry("type").or_insert_with(|| "object".into());
            }
            all.push((name.to_owned(), path + ".parameters", schema));
        }
    }
    let missing = || only.map_or("there are no tools to call".into(), |name| format!("there is no tool `{name}`"));
    if all.is_empty() { Err(ConstraintError::new("", missing())) } else { Ok(all) }
}

/// A text of a dialect in Lark: markers that are control tokens as such, the rest as it is.
pub(super) fn lark(text: &str, (markers, tokenizer): Markers<'_>) -> String {
    let control = |marker: &str| tokenizer.id(marker).filter(|id| tokenizer.bytes(*id).is_empty());
    let found = markers.iter().filter_map(|marker| Some((text.find(marker)?, *marker, control(marker)?))).min();
    match found {
        None if text.is_empty() => String::new(),
        None => quoted(text),
        Some((at, marker, id)) => {
            let before = if at > 0 { quoted(&text[..at]) } else { String::new() };
            format!("{before}<[{id}]> {}", lark(&text[at + marker.len()..], (markers, tokenizer)))
        }
    }
}
