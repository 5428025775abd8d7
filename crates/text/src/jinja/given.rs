//! What filters, methods and functions are called with, taken one by one.

use std::sync::Arc;

use super::JinjaError;
use super::machine::Given;
use super::value::Value;

/// Arguments by place and by name.
pub(super) struct Taken {
    positional: std::vec::IntoIter<Value>,
    named: Vec<(Arc<str>, Value)>,
    of: &'static str,
}

impl Taken {
    /// The arguments of a call of `of`.
    pub(super) fn new(given: Given, of: &'static str) -> Taken {
        Taken { positional: given.positional.into_iter(), named: given.named, of }
    }

    fn error(&self, problem: &str) -> JinjaError {
        JinjaError::new(format!("{}: {problem}", self.of))
    }

    /// The next argument, which may have this name.
    pub(super) fn next(&mut self, name: &str) -> Option<Value> {
        let named = self.named.iter().position(|(own, _)| **own == *name);
        self.positional.next().or_else(|| named.map(|at| self.named.remove(at).1))
    }

    pub(super) fn required(&mut self, name: &str) -> Result<Value, JinjaError> {
        self.next(name).ok_or_else(|| self.error(&format!("{name} is missing")))
    }

    /// An argument that may be left out or none.
    pub(super) fn some(&mut self, name: &str) -> Option<Value> {
        self.next(name).filter(|value| !matches!(value, Value::None))
    }

    /// A text that may be left out or none.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<super::text::Text>, JinjaError> {
        match self.some(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(&format!("{name} is a text, not {}", other.kind()))),
        }
    }

    /// A whole number that may be left out or none.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i128>, JinjaError> {
        match self.some(name) {
            None => Ok(None),
            Some(value) => match value.as_integer() {
                Some(number) => Ok(Some(number)),
                None => Err(self.error(&format!("{name} is a whole number, not {}", value.kind()))),
            },
        }
    }

    /// A count that may be left out or none; what is below 0 is 0.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<usize>, JinjaError> {
        Ok(self.integer(name)?.map(|number| usize::try_from(number.max(0)).unwrap_or(usize::MAX)))
    }

    /// Whether an argument that may be left out is true.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.next(name).is_some_and(|value| value.is_true())
    }

    /// # Errors
    /// If anything is left.
    pub(super) fn none_left(mut self) -> Result<(), JinjaError> {
        if let Some((name, _)) = self.named.first() {
            return Err(self.error(&format!("there is no argument {name:?}")));
        }
        match self.positional.next() {
            Some(_) => Err(self.error("it is given too many arguments")),
            None => Ok(()),
        }
    }
}
