//! Constraints: answers that are sure to fit a JSON schema, a regular expression, a choice or a grammar.
//!
//! ```
//! use std::sync::Arc;
//! use text::{Constrainer, Constraint, GgufVocab, Tokenizer};
//!
//! let tokens = ["a", "b", "ab", "</s>"].map(|token| token.as_bytes().to_vec());
//! let merges = vec![b"a b".to_vec()];
//! let vocab = GgufVocab { model: "gpt2".into(), tokens: tokens.into(), merges, ..GgufVocab::default() };
//! let constrainer = Constrainer::new(&Arc::new(Tokenizer::from_gguf(vocab)?), &[3])?;
//! let mut matcher = constrainer.compile(&Constraint::Regex("b+|aa".into()))?;
//! let mut allowed = [0];
//! matcher.fill(&mut allowed)?;
//! assert_eq!(allowed, [0b0011]);
//! matcher.accept(1)?;
//! matcher.fill(&mut allowed)?;
//! assert_eq!(allowed, [0b1010]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod choice;
mod constrainer;
mod literal;
mod matcher;
mod schema;
mod tags;
mod vocabulary;

use llguidance::api::TopLevelGrammar;
use serde_json::Value;

use crate::Grammar;
pub use constrainer::Constrainer;
pub(crate) use literal::quoted;
pub use matcher::ConstraintMatcher;
pub(crate) use schema::with_options;

/// Bytes of a constraint's source at most.
const LONGEST: usize = 256 << 10;

/// What an answer has to fit.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// A JSON value that is valid by this JSON schema.
    JsonSchema(Value),
    /// A text that this regular expression takes as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in llguidance's dialect of Lark; its rule `start` is the whole.
    Lark(String),
    /// A grammar in llama.cpp's GBNF; its rule `root` is the whole.
    Gbnf(String),
    /// Text with parts by JSON schemas, each begun by a text that triggers it: an object with `structures` (each with
    /// `begin`, `schema` and `end`) and `triggers`.
    StructuralTag(Value),
    /// Calls of tools ([`crate::Dialect::calls`]).
    Calls(Calls),
}

/// Calls of tools as a dialect writes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    pub(crate) lark: String,
    /// The schemas of the tools' arguments, with the paths at which they stand.
    pub(crate) schemas: Vec<(String, Value)>,
}

/// Why a constraint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConstraintError {
    /// Where in the constraint, as a path to be appended to its name (`.properties.a.not`); empty for the whole.
    pub path: String,
    /// What is wrong and what would fix it.
    pub message: String,
    /// It may be right, but is not supported.
    pub unsupported: bool,
}

impl ConstraintError {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> ConstraintError {
        ConstraintError { path: path.into(), message: message.into(), unsupported: false }
    }
}

impl Constraint {
    /// Any JSON object.
    pub fn json_object() -> Constraint {
        Constraint::JsonSchema(serde_json::json!({ "type": "object" }))
    }

    /// A grammar in either notation: GBNF, if it defines rules by `::=`, else Lark.
    pub fn grammar(source: impl Into<String>) -> Constraint {
        let source = source.into();
        if source.contains("::=") { Constraint::Gbnf(source) } else { Constraint::Lark(source) }
    }

    fn compiled(&self) -> Result<TopLevelGrammar, ConstraintError> {
        match self {
            Constraint::JsonSchema(schema) => Ok(TopLevelGrammar::from_json_schema(with_options(schema)?)),
            Constraint::Regex(regex) => Ok(TopLevelGrammar::from_regex(regex)),
            Constraint::Choice(choices) => choice::lark(choices).map(TopLevelGrammar::from_lark),
            Constraint::Lark(source) => Ok(TopLevelGrammar::from_lark(source.clone())),
            Constraint::Gbnf(source) => match Grammar::lark(source) {
                Ok(lark) => Ok(TopLevelGrammar::from_lark(lark)),
                Err(error) => Err(ConstraintError::new("", error.to_string())),
            },
            Constraint::StructuralTag(tag) => tags::lark(tag).map(TopLevelGrammar::from_lark),
            Constraint::Calls(calls) => Ok(TopLevelGrammar::from_lark(calls.lark.clone())),
        }
    }

    /// Refuses what is too long before anything is made of it.
    fn check_size(&self) -> Result<(), ConstraintError> {
        let bytes = match self {
            Constraint::JsonSchema(value) | Constraint::StructuralTag(value) => value.to_string().len(),
            Constraint::Regex(source) | Constraint::Lark(source) | Constraint::Gbnf(source) => source.len(),
            Constraint::Choice(choices) => choices.iter().map(|choice| choice.len() + 1).sum(),
            Constraint::Calls(calls) => calls.lark.len(),
        };
        let message = || format!("it has {bytes} bytes, but may have at most {LONGEST}; leave something out");
        if bytes > LONGEST { Err(ConstraintError::new("", message())) } else { Ok(()) }
    }

    /// The schemas in it, each with its path.
    fn schemas(&self) -> Vec<(String, &Value)> {
        match self {
            Constraint::JsonSchema(schema) => vec![(String::new(), schema)],
            Constraint::Calls(calls) => calls.schemas.iter().map(|(path, schema)| (path.clone(), schema)).collect(),
            Constraint::StructuralTag(tag) => {
                let structures = tag.get("structures").and_then(Value::as_array).into_iter().flatten().enumerate();
                structures
                    .filter_map(|(i, one)| Some((format!(".structures[{i}].schema"), one.get("schema")?)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}
