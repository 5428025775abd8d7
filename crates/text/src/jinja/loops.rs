//! `loop`: what a loop knows of itself.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::JinjaError;
use super::ast::For;
use super::text::Budget;
use super::value::Value;

#[derive(Debug)]
pub(super) struct Loop {
    pub items: Vec<Value>,
    pub index: Cell<usize>,
    /// Loops of a recursive loop around this.
    pub depth: usize,
    /// The loop itself and the frame it stands in, if it is recursive.
    pub recursive: Option<(Arc<For>, usize)>,
    /// What `changed` was asked of last.
    changed: RefCell<Option<Vec<Value>>>,
}

impl Loop {
    pub(super) fn new(items: Vec<Value>, depth: usize, recursive: Option<(Arc<For>, usize)>) -> Loop {
        Loop { items, index: Cell::new(0), depth, recursive, changed: RefCell::new(None) }
    }

    pub(super) fn holds_namespace(&self) -> bool {
        self.items.iter().any(Value::holds_namespace)
    }

    /// An attribute; `None` if there is none of this name.
    pub(super) fn attribute(&self, name: &str) -> Option<Value> {
        let (index, len) = (self.index.get(), self.items.len());
        let number = |number: usize| Value::Integer(number as i128);
        let item = |at: Option<usize>| at.and_then(|at| self.items.get(at)).cloned().unwrap_or(Value::Undefined(None));
        Some(match name {
            "index" => number(index + 1),
            "index0" => number(index),
            "revindex" => number(len - index),
            "revindex0" => number(len - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == len),
            "length" => number(len),
            "depth" => number(self.depth + 1),
            "depth0" => number(self.depth),
            "previtem" => item(index.checked_sub(1)),
            "nextitem" => item(Some(index + 1)),
            _ => return None,
        })
    }

    pub(super) fn call(&self, method: &str, arguments: Vec<Value>, budget: &Budget) -> Result<Value, JinjaError> {
        match method {
            "cycle" if !arguments.is_empty() => Ok(arguments[self.index.get() % arguments.len()].clone()),
            "changed" => {
                let mut last = self.changed.borrow_mut();
                let same = last.as_ref().is_some_and(|last| {
                    last.len() == arguments.len() && last.iter().zip(&arguments).all(|(a, b)| a.equals(b, budget))
                });
                *last = Some(arguments);
                Ok(Value::Bool(!same))
            }
            _ => Err(JinjaError::new(format!("loop has no method {method:?}"))),
        }
    }
}
