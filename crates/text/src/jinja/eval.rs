//! Evaluates expressions.

use std::rc::Rc;
use std::sync::Arc;

use super::JinjaError;
use super::ast::{Arguments, Comparison, Expr, Postfix};
use super::functions;
use super::machine::{Given, Machine};
use super::methods;
use super::numbers;
use super::text::{Origin, Text, Writer};
use super::value::Value;
use super::{filters, tests};

type Done<T> = Result<T, JinjaError>;

impl Machine<'_> {
    pub(super) fn value(&mut self, expr: &Expr) -> Done<Value> {
        match expr {
            Expr::None => Ok(Value::None),
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Integer(number) => Ok(Value::Integer(*number)),
            Expr::Float(number) => Ok(Value::Float(*number)),
            Expr::Text(text) => Ok(Value::Text(Text::new(text.clone(), Origin::Template))),
            Expr::Name(name) => Ok(self.lookup(name).unwrap_or_else(|| Value::Undefined(Some(name.clone())))),
            _ => self.nested(|machine| machine.compound(expr)),
        }
    }

    fn compound(&mut self, expr: &Expr) -> Done<Value> {
        match expr {
            Expr::List(items) => Value::list(self.values(items)?, self.budget),
            Expr::Tuple(items) => Value::tuple(self.values(items)?, self.budget),
            Expr::Dict(entries) => self.dict(entries),
            Expr::Not(value) => Ok(Value::Bool(!self.value(value)?.is_true())),
            Expr::Negative(value) => numbers::signed(&self.value(value)?, true),
            Expr::Positive(value) => numbers::signed(&self.value(value)?, false),
            Expr::And(items) => self.first(items, false),
            Expr::Or(items) => self.first(items, true),
            Expr::Join(items) => self.join(items),
            Expr::Arithmetic(first, others) => {
                let mut value = self.value(first)?;
                for (operator, other) in others {
                    let other = self.value(other)?;
                    self.budget.steps(1)?;
                    value = numbers::arithmetic(&value, *operator, &other, self.budget)?;
                }
                Ok(value)
            }
            Expr::Compare(first, others) => self.compare(first, others),
            Expr::If(parts, otherwise) => match (self.value(&parts[1])?.is_true(), otherwise) {
                (true, _) => self.value(&parts[0]),
                (false, Some(otherwise)) => self.value(otherwise),
                (false, None) => Ok(Value::Undefined(None)),
            },
            Expr::Postfix(value, postfixes) => self.postfixed(value, postfixes),
            simple => self.value(simple),
        }
    }

    fn values(&mut self, exprs: &[Expr]) -> Done<Vec<Value>> {
        exprs.iter().map(|expr| self.value(expr)).collect()
    }

    fn dict(&mut self, entries: &[(Expr, Expr)]) -> Done<Value> {
        let mut values = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.value(key)?;
            if matches!(&key, Value::Map(_) | Value::Namespace(_)) || matches!(&key, Value::List(list) if !list.tuple) {
                return Err(JinjaError::new(format!("{} cannot be a key", key.kind())));
            }
            values.push((key, self.value(value)?));
        }
        Value::map(values, self.budget)
    }

    /// The first value that is true, or false; else the last.
    fn first(&mut self, exprs: &[Expr], wanted: bool) -> Done<Value> {
        let mut value = Value::None;
        for expr in exprs {
            value = self.value(expr)?;
            if value.is_true() == wanted {
                break;
            }
        }
        Ok(value)
    }

    fn join(&mut self, exprs: &[Expr]) -> Done<Value> {
        let mut out = Writer::new(self.budget);
        for expr in exprs {
            self.value(expr)?.write(&mut out);
        }
        Ok(Value::Text(out.finish()?))
    }

    fn compare(&mut self, first: &Expr, others: &[(Comparison, Expr)]) -> Done<Value> {
        let mut left = self.value(first)?;
        for (comparison, right) in others {
            let right = self.value(right)?;
            if !self.compares(&left, *comparison, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    pub(super) fn compares(&self, left: &Value, comparison: Comparison, right: &Value) -> Done<bool> {
        Ok(match comparison {
            Comparison::Equal => left.equals(right, self.budget),
            Comparison::NotEqual => !left.equals(right, self.budget),
            Comparison::In => self.contains(right, left)?,
            Comparison::NotIn => !self.contains(right, left)?,
            Comparison::Less => left.order(right, self.budget)?.is_lt(),
            Comparison::LessOrEqual => left.order(right, self.budget)?.is_le(),
            Comparison::Greater => left.order(right, self.budget)?.is_gt(),
            Comparison::GreaterOrEqual => left.order(right, self.budget)?.is_ge(),
        })
    }

    fn contains(&self, whole: &Value, part: &Value) -> Done<bool> {
        self.budget.scan(whole.weight())?;
        match (whole, part) {
            (Value::Undefined(_), _) => Ok(false),
            (Value::Text(whole), Value::Text(part)) => Ok(whole.as_str().contains(part.as_str())),
            (Value::List(list), part) => Ok(list.items().iter().any(|item| item.equals(part, self.budget))),
            (Value::Map(map), part) => Ok(map.get(part, self.budget).is_some()),
            _ => {
                let problem = format!("{} cannot be in {}", part.kind(), whole.kind());
                Err(JinjaError::new(problem))
            }
        }
    }

    fn postfixed(&mut self, value: &Expr, postfixes: &[Postfix]) -> Done<Value> {
        let value = self.value(value)?;
        postfixes.iter().try_fold(value, |value, postfix| {
            self.budget.steps(1)?;
            self.postfix(value, postfix)
        })
    }

    pub(super) fn postfix(&mut self, value: Value, postfix: &Postfix) -> Done<Value> {
        match postfix {
            Postfix::Attribute(name) => self.attribute(&value, name),
            Postfix::Item(index) => {
                let index = self.value(index)?;
                self.item(&value, &index)
            }
            Postfix::Slice(parts) => {
                let mut bounds = [None, None, None];
                for (bound, part) in bounds.iter_mut().zip(&**parts) {
                    *bound = part.as_ref().map(|part| self.value(part)).transpose()?;
                }
                super::slices::slice(&value, &bounds, self.budget)
            }
            Postfix::Call(arguments) => {
                let given = self.given(arguments)?;
                self.call(&value, given)
            }
            Postfix::Filter(name, arguments) => {
                let given = self.given(arguments)?;
                self.filter(name, value, given)
            }
            Postfix::Test { name, arguments, negated } => {
                let given = self.given(arguments)?;
                Ok(Value::Bool(self.test(name, &value, &given.positional)? != *negated))
            }
        }
    }

    fn given(&mut self, arguments: &Arguments) -> Done<Given> {
        let positional = self.values(&arguments.positional)?;
        let named = arguments.named.iter().map(|(name, value)| Ok((name.clone(), self.value(value)?)));
        Ok(Given { positional, named: named.collect::<Done<_>>()? })
    }

    /// The call in `{% call %}`, with the body as `caller`.
    pub(super) fn call_with(&mut self, call: &Expr, caller: Value) -> Done<Value> {
        let problem = || JinjaError::new("{% call %} is followed by a call");
        let Expr::Postfix(value, postfixes) = call else { return Err(problem()) };
        let [before @ .., Postfix::Call(arguments)] = postfixes.as_slice() else { return Err(problem()) };
        let callee = self.postfixed(value, before)?;
        let mut given = self.given(arguments)?;
        given.named.push(("caller".into(), caller));
        self.call(&callee, given)
    }

    pub(super) fn call(&mut self, callee: &Value, given: Given) -> Done<Value> {
        match callee {
            Value::Macro(definition, frame) => self.call_macro(definition, *frame, given),
            Value::Function(function) => functions::call(self, *function, given),
            Value::Method(method) => match &method.0 {
                Value::Loop(state) => state.call(&method.1, given.positional, self.budget),
                value => methods::call(value, &method.1, given, self.budget),
            },
            Value::Loop(state) => match given.positional.first() {
                Some(items) => self.recurse(state, items),
                None => Err(JinjaError::new("loop is called with what to go through")),
            },
            Value::Undefined(Some(name)) => Err(JinjaError::new(format!("{name} is not defined, and is called"))),
            other => Err(JinjaError::new(format!("{} is called, and is no function", other.kind()))),
        }
    }

    /// `value.name`: as Python has it, methods come before a dictionary's entries.
    pub(super) fn attribute(&self, value: &Value, name: &Arc<str>) -> Done<Value> {
        let missing = || Value::Undefined(Some(name.clone()));
        let method = || Value::Method(Rc::new((value.clone(), name.clone())));
        Ok(match value {
            Value::Map(map) => {
                self.budget.steps(1 + map.entries.len() / 16)?;
                match methods::is_method(value, name) {
                    true => method(),
                    false => map.get_text(name).cloned().unwrap_or_else(missing),
                }
            }
            Value::Namespace(names) => {
                let names = names.borrow();
                names.iter().find(|(own, _)| own == name).map_or_else(missing, |(_, value)| value.clone())
            }
            Value::Loop(state) => match state.attribute(name) {
                Some(value) => value,
                None if matches!(&**name, "cycle" | "changed") => method(),
                None => missing(),
            },
            Value::Macro(definition, _) if &**name == "name" => Value::template(&definition.name),
            Value::Undefined(of) => return Err(undefined(of.as_deref(), name)),
            value if methods::is_method(value, name) => method(),
            _ => missing(),
        })
    }

    /// `value[index]`: a dictionary's entries come before methods.
    pub(super) fn item(&self, value: &Value, index: &Value) -> Done<Value> {
        let missing = || Value::Undefined(index.as_str().map(Into::into));
        match (value, index) {
            (Value::Undefined(of), _) => Err(undefined(of.as_deref(), index.as_str().unwrap_or("item"))),
            (Value::Map(map), _) => {
                self.budget.steps(1 + map.entries.len() / 16)?;
                match (map.get(index, self.budget), index.as_str()) {
                    (Some(value), _) => Ok(value.clone()),
                    (None, Some(name)) if methods::is_method(value, name) => self.attribute(value, &name.into()),
                    (None, _) => Ok(missing()),
                }
            }
            (Value::List(list), _) if let Some(at) = index.as_integer() => {
                let at = if at < 0 { at + list.len() as i128 } else { at };
                Ok(usize::try_from(at).ok().and_then(|at| list.get(at)).unwrap_or_else(missing))
            }
            (Value::Text(text), _) if let Some(at) = index.as_integer() => {
                super::slices::character(text, at, self.budget)
            }
            (_, Value::Text(name)) => self.attribute(value, &name.as_str().into()),
            _ => Ok(missing()),
        }
    }

    /// The items that a loop or a filter goes through.
    pub(super) fn items(&self, value: &Value) -> Done<Vec<Value>> {
        items(value, self.budget)
    }

    pub(super) fn filter(&mut self, name: &str, value: Value, given: Given) -> Done<Value> {
        self.budget.scan(value.weight())?;
        filters::apply(self, name, value, given)
    }

    pub(super) fn test(&mut self, name: &str, value: &Value, arguments: &[Value]) -> Done<bool> {
        self.budget.steps(1)?;
        tests::holds(self, name, value, arguments)
    }
}

/// The items of a value: of a dictionary its keys, of a text its characters.
pub(super) fn items(value: &Value, budget: &super::text::Budget) -> Done<Vec<Value>> {
    budget.scan(value.weight())?;
    match value {
        Value::Undefined(_) => Ok(Vec::new()),
        Value::List(list) => {
            budget.bytes(list.len() * size_of::<Value>())?;
            Ok(list.items())
        }
        Value::Map(map) => Ok(map.entries.iter().map(|(key, _)| key.clone()).collect()),
        Value::Text(text) => {
            budget.bytes(text.as_str().len() * size_of::<Value>())?;
            let part = |(at, c): (usize, char)| super::slices::part(text, at..at + c.len_utf8(), budget);
            text.as_str().char_indices().map(part).collect()
        }
        other => Err(JinjaError::new(format!("{} cannot be gone through item by item", other.kind()))),
    }
}

fn undefined(of: Option<&str>, name: &str) -> JinjaError {
    JinjaError::new(format!("{} is not defined, and {name:?} of it is asked for", of.unwrap_or("a value")))
}
