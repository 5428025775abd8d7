//! Runs statements.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::JinjaError;
use super::ast::{For, Macro, Postfix, Statement, StatementKind, Target};
use super::functions::Function;
use super::loops::Loop;
use super::text::{Budget, Origin, Text, Writer};
use super::value::Value;

type Done<T> = Result<T, JinjaError>;

/// How deep statements, expressions and calls may be nested while they run. A level takes at most a kilobyte of stack or two.
const DEEPEST: usize = 300;

/// The state of a rendering.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub budget: &'a Budget,
    frames: Vec<Frame>,
    /// The frame that names are looked up in first.
    frame: usize,
    out: Writer<'a>,
    depth: usize,
    /// Seconds since 1970, for those who ask for the time.
    pub now: Option<i64>,
}

/// Names and values, and where to look for others.
#[derive(Debug)]
struct Frame {
    outer: Option<usize>,
    names: Vec<(Arc<str>, Value)>,
}

/// How a list of statements ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Break,
    Continue,
}

/// What a macro or function is called with.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub positional: Vec<Value>,
    pub named: Vec<(Arc<str>, Value)>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(budget: &'a Budget, names: Vec<(Arc<str>, Value)>, now: Option<i64>) -> Machine<'a> {
        let frames = vec![Frame { outer: None, names: Vec::new() }, Frame { outer: Some(0), names }];
        Machine { budget, frames, frame: 1, out: Writer::new(budget), depth: 0, now }
    }

    /// What was written.
    pub(super) fn finish(self) -> Done<(String, Vec<(usize, Origin)>)> {
        self.out.into_parts()
    }

    pub(super) fn run(&mut self, statements: &[Statement]) -> Done<Flow> {
        for statement in statements {
            let flow = self.nested(|machine| machine.statement(&statement.kind));
            match flow.map_err(|error| error.at(statement.line))? {
                Flow::On => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::On)
    }

    /// Runs what is nested.
    pub(super) fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.depth == DEEPEST {
            return Err(JinjaError::new("it is nested too deep"));
        }
        self.budget.steps(1)?;
        self.depth += 1;
        let done = run(self);
        self.depth -= 1;
        done
    }

    fn statement(&mut self, statement: &StatementKind) -> Done<Flow> {
        match statement {
            StatementKind::Data(text) => self.out.template(text),
            StatementKind::Output(value) => {
                let value = self.value(value)?;
                value.write(&mut self.out);
            }
            StatementKind::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.value(condition)?.is_true() {
                        return self.run(body);
                    }
                }
                return self.run(otherwise);
            }
            StatementKind::For(definition) => {
                let items = self.value(&definition.items)?;
                self.for_loop(definition, &items, 0)?;
            }
            StatementKind::Set(target, value) => {
                let value = self.value(value)?;
                self.assign(target, value)?;
            }
            StatementKind::SetBlock(target, filters, body) => {
                let text = self.captured(body)?;
                let value = self.filtered(text, filters)?;
                self.assign(target, value)?;
            }
            StatementKind::Macro(definition) => {
                self.set(definition.name.clone(), Value::Macro(definition.clone(), self.frame));
            }
            StatementKind::Call(call, body) => {
                let caller = Value::Macro(body.clone(), self.frame);
                let value = self.call_with(call, caller)?;
                value.write(&mut self.out);
            }
            StatementKind::Filter(filters, body) => {
                let text = self.captured(body)?;
                self.filtered(text, filters)?.write(&mut self.out);
            }
            StatementKind::With(values, body) => return self.with(values, body),
            StatementKind::Break => return Ok(Flow::Break),
            StatementKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn with(&mut self, values: &[(Target, super::ast::Expr)], body: &[Statement]) -> Done<Flow> {
        let values = values.iter().map(|(target, value)| Ok((target, self.value(value)?))).collect::<Done<Vec<_>>>()?;
        self.scoped(self.frame, |machine| {
            for (target, value) in values {
                machine.assign(target, value)?;
            }
            machine.run(body)
        })
    }

    /// Runs with names of its own, `outer` around them.
    fn scoped<T>(&mut self, outer: usize, run: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        let before = std::mem::replace(&mut self.frame, self.frames.len());
        // A frame that is gone was within one that is not.
        let outer = outer.min(before);
        self.frames.push(Frame { outer: Some(outer), names: Vec::new() });
        let done = run(self);
        self.frames.truncate(self.frame);
        self.frame = before;
        done
    }

    /// What statements write, as a text.
    fn captured(&mut self, body: &[Statement]) -> Done<Value> {
        let text = self.capture(|machine| machine.scoped(machine.frame, |machine| machine.run(body)).map(|_| ()))?;
        Ok(Value::Text(text))
    }

    fn capture(&mut self, run: impl FnOnce(&mut Self) -> Done<()>) -> Done<Text> {
        let before = std::mem::replace(&mut self.out, Writer::new(self.budget));
        let done = run(self);
        let text = std::mem::replace(&mut self.out, before).finish();
        done?;
        text
    }

    fn filtered(&mut self, value: Value, filters: &[Postfix]) -> Done<Value> {
        filters.iter().try_fold(value, |value, filter| self.postfix(value, filter))
    }

    fn for_loop(&mut self, definition: &Arc<For>, items: &Value, depth: usize) -> Done<()> {
        let frame = self.frame;
        let mut items = self.items(items)?;
        if let Some(condition) = &definition.condition {
            let mut kept = Vec::new();
            for item in items {
                let keep = self.scoped(frame, |machine| {
                    machine.assign(&definition.target, item.clone())?;
                    machine.value(condition)
                });
                if keep?.is_true() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(frame, |machine| machine.run(&definition.otherwise)).map(|_| ());
        }
        let recursive = definition.recursive.then(|| (definition.clone(), frame));
        let state = Rc::new(Loop::new(items, depth, recursive));
        for (index, item) in state.items.iter().enumerate() {
            state.index.set(index);
            let flow = self.scoped(frame, |machine| {
                machine.set("loop".into(), Value::Loop(state.clone()));
                machine.assign(&definition.target, item.clone())?;
                machine.run(&definition.body)
            });
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    /// What a call of `loop` in a recursive loop writes.
    pub(super) fn recurse(&mut self, state: &Loop, items: &Value) -> Done<Value> {
        let Some((definition, frame)) = &state.recursive else {
            return Err(JinjaError::new("loop is called, but the loop is not recursive"));
        };
        let before = std::mem::replace(&mut self.frame, *frame);
        let text =
            self.nested(|machine| machine.capture(|machine| machine.for_loop(definition, items, state.depth + 1)));
        self.frame = before;
        Ok(Value::Text(text?))
    }

    fn assign(&mut self, target: &Target, value: Value) -> Done<()> {
        match target {
            Target::Name(name) => self.set(name.clone(), value),
            Target::Attribute(name, attribute) => match self.lookup(name) {
                Some(Value::Namespace(namespace)) => set_attribute(&namespace, attribute, value)?,
                _ => return Err(JinjaError::new(format!("{name} is no namespace, so that nothing in it can be set"))),
            },
            Target::Tuple(targets) => {
                let items = self.items(&value)?;
                if items.len() != targets.len() {
                    let problem = format!("{} values for {} names", items.len(), targets.len());
                    return Err(JinjaError::new(problem));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, name: Arc<str>, value: Value) {
        let names = &mut self.frames[self.frame].names;
        match names.iter_mut().find(|(own, _)| *own == name) {
            Some((_, old)) => *old = value,
            None => names.push((name, value)),
        }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<Value> {
        let mut frame = Some(self.frame);
        while let Some(Frame { outer, names }) = frame.map(|at| &self.frames[at]) {
            if let Some((_, value)) = names.iter().find(|(own, _)| **own == *name) {
                return Some(value.clone());
            }
            frame = *outer;
        }
        Function::named(name).map(Value::Function)
    }

    /// Calls a macro: what it writes.
    pub(super) fn call_macro(&mut self, definition: &Arc<Macro>, frame: usize, given: Given) -> Done<Value> {
        let text = self.nested(|machine| {
            machine.capture(|machine| {
                machine.scoped(frame, |machine| {
                    machine.bind(definition, given)?;
                    machine.run(&definition.body).map(|_| ())
                })
            })
        });
        Ok(Value::Text(text?))
    }

    fn bind(&mut self, definition: &Macro, given: Given) -> Done<()> {
        let Given { positional, mut named } = given;
        let mut positional = positional.into_iter();
        for (name, default) in &definition.parameters {
            let own = named.iter().position(|(own, _)| own == name).map(|at| named.remove(at).1);
            let value = match (positional.next(), own, default) {
                (Some(_), Some(_), _) => {
                    return Err(JinjaError::new(format!("{}: {name} is given twice", definition.name)));
                }
                (Some(value), None, _) | (None, Some(value), _) => value,
                (None, None, Some(default)) => self.value(default)?,
                (None, None, None) => Value::Undefined(Some(name.clone())),
            };
            self.set(name.clone(), value);
        }
        let rest: Vec<Value> = positional.collect();
        let rest = Value::tuple(rest, self.budget)?;
        self.set("varargs".into(), rest);
        let mut others = Vec::new();
        for (name, value) in named {
            match &*name {
                "caller" => self.set(name, value),
                _ => others.push((Value::template(&name), value)),
            }
        }
        let others = Value::map(others, self.budget)?;
        self.set("kwargs".into(), others);
        Ok(())
    }
}

fn set_attribute(namespace: &RefCell<Vec<(Arc<str>, Value)>>, name: &Arc<str>, value: Value) -> Done<()> {
    if value.holds_namespace() {
        return Err(JinjaError::new("a namespace cannot hold another"));
    }
    if name.starts_with('_') {
        return Err(JinjaError::new(format!("a namespace's names begin with a letter, not as {name:?}")));
    }
    let mut names = namespace.borrow_mut();
    match names.iter_mut().find(|(own, _)| own == name) {
        Some((_, old)) => *old = value,
        None => names.push((name.clone(), value)),
    }
    Ok(())
}

/// A namespace with these names.
pub(super) fn namespace(given: Given, budget: &Budget) -> Done<Value> {
    let namespace = Rc::new(RefCell::new(Vec::new()));
    for map in &given.positional {
        let Value::Map(map) = map else { return Err(JinjaError::new("namespace takes names and values")) };
        for (key, value) in &map.entries {
            set_attribute(&namespace, &key.to_text(budget)?.as_str().into(), value.clone())?;
        }
    }
    for (name, value) in given.named {
        set_attribute(&namespace, &name, value)?;
    }
    Ok(Value::Namespace(namespace))
}
