//! The form in which each dialect writes calls of tools, where a grammar can say it, and the grammar.

use serde_json::{Value, json};

use super::Dialect;
use crate::constraint::{quoted, with_options};
use crate::{Calls, ConstraintError, Tokenizer};

/// How calls are written: `open`, calls with `between` in between, `close`. A call is what stands before its name, the name,
/// what stands before its arguments (a JSON object), the arguments, and an end.
pub(super) struct Form {
    open: &'static str,
    call: [&'static str; 3],
    /// `None` where there can be but one.
    between: Option<&'static str>,
    close: &'static str,
}

const JSON: [&str; 3] = ["{\"name\": \"", "\", \"arguments\": ", "}"];

/// Names of dialects, a special token that tells of their form if there is more than one, and the form; the first that
/// fits is meant.
#[rustfmt::skip]
const FORMS: &[(&str, Option<&str>, Form)] = &[
    ("hermes", None, Form {
        open: "",
        call: ["<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"],
        between: Some("\n"),
        close: "",
    }),
    ("llama3", None, Form { open: "", call: ["{\"name\": \"", "\", \"parameters\": ", "}"], between: None, close: "" }),
    ("mistral", Some("[ARGS]"), Form { open: "", call: ["[TOOL_CALLS]", "[ARGS]", ""], between: Some(""), close: "" }),
    ("mistral", None, Form { open: "[TOOL_CALLS][", call: JSON, between: Some(", "), close: "]" }),
    ("granite", Some("<tool_call>"), Form {
        open: "",
        call: ["<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"],
        between: Some("\n"),
        close: "",
    }),
    ("granite", None, Form { open: "<|tool_call|>[", call: JSON, between: Some(", "), close: "]" }),
    ("phi", None, Form { open: "<|tool_call|>[", call: JSON, between: Some(", "), close: "]<|/tool_call|>" }),
    ("deepseek", None, Form {
        open: "<｜tool▁calls▁begin｜>",
        call: ["<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"],
        between: Some(""),
        close: "<｜tool▁calls▁end｜>",
    }),
    ("kimi-k2", None, Form {
        open: "<|tool_calls_section_begin|>",
        call: ["<|tool_call_begin|>functions.", ":0<|tool_call_argument_begin|>", "<|tool_call_end|>"],
        between: None,
        close: "<|tool_calls_section_end|>",
    }),
];

/// The form of a dialect, as the model with this tokenizer writes it.
pub(super) fn of(dialect: Dialect, tokenizer: &Tokenizer) -> Option<&'static Form> {
    let fits = |(name, marker, _): &&(&str, Option<&str>, Form)| {
        *name == dialect.name() && marker.is_none_or(|marker| tokenizer.id(marker).is_some())
    };
    FORMS.iter().find(fits).map(|(_, _, form)| form)
}

/// A dialect's markers, and the tokenizer that tells which of them are control tokens.
type Markers<'a> = (&'static [&'static str], &'a Tokenizer);

impl Form {
    /// The grammar of calls of the tools.
    pub(super) fn calls(
        &self,
        tools: &Value,
        tool: Option<&str>,
        parallel: bool,
        markers: Markers<'_>,
    ) -> Result<Calls, ConstraintError> {
        let schemas = schemas(tools, tool)?;
        let (mut names, mut rules) = (Vec::new(), String::new());
        for (i, (name, path, schema)) in schemas.iter().enumerate() {
            let schema = with_options(schema).map_err(|e| ConstraintError::new(path.as_str(), e.message))?;
            let name = Value::from(name.as_str()).to_string();
            let begin = [self.call[0], &name[1..name.len() - 1], self.call[1]].concat();
            let (begin, end) = (lark(&begin, markers), lark(self.call[2], markers));
            rules += &format!("call_{i}: {begin} %json {schema} {end}\n");
            names.push(format!("call_{i}"));
        }
        let more = match self.between.filter(|_| parallel && tool.is_none()) {
            Some(between) => format!("({} call)*", lark(between, markers)),
            None => String::new(),
        };
        let (open, close) = (lark(self.open, markers), lark(self.close, markers));
        let source = format!("start: {open} call {more} {close}\ncall: {}\n{rules}", names.join(" | "));
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
fn lark(text: &str, (markers, tokenizer): Markers<'_>) -> String {
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
