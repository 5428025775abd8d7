//! The values of templates, as Python has them.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use super::JinjaError;
use super::ast::Macro;
use super::functions::Function;
use super::loops::Loop;
use super::text::{Budget, Origin, Text, Writer};

/// How deep values may be nested.
const DEEPEST: u8 = 100;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// What is not there, and what it would be called.
    Undefined(Option<Arc<str>>),
    None,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Text),
    List(Rc<List>),
    Map(Rc<Map>),
    Namespace(Rc<RefCell<Vec<(Arc<str>, Value)>>>),
    Function(Function),
    /// A macro, and the frame that it was defined in.
    Macro(Arc<Macro>, usize),
    /// A method of a value.
    Method(Rc<(Value, Arc<str>)>),
    Loop(Rc<Loop>),
}

/// A list or a tuple.
#[derive(Debug)]
pub(super) struct List {
    items: RefCell<Vec<Value>>,
    shape: Cell<Shape>,
    pub tuple: bool,
}

/// A dictionary in the order of its entries.
#[derive(Debug)]
pub(super) struct Map {
    pub entries: Vec<(Value, Value)>,
    shape: Shape,
}

/// What nested values must not be: without end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    depth: u8,
    /// There is a namespace in it. One in another could be itself.
    namespace: bool,
}

impl List {
    pub(super) fn items(&self) -> Vec<Value> {
        self.items.borrow().clone()
    }

    pub(super) fn len(&self) -> usize {
        self.items.borrow().len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Value> {
        self.items.borrow().get(index).cloned()
    }

    /// Changes the items. What is new in them must be from [`Value::copied`].
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Vec<Value>) -> T) -> Result<T, JinjaError> {
        let mut items = self.items.borrow_mut();
        let changed = change(&mut items);
        self.shape.set(around(items.iter())?);
        Ok(changed)
    }
}

impl Map {
    pub(super) fn get(&self, key: &Value, budget: &Budget) -> Option<&Value> {
        self.entries.iter().find(|(own, _)| own.equals(key, budget)).map(|(_, value)| value)
    }

    pub(super) fn get_text(&self, key: &str) -> Option<&Value> {
        let is = |own: &Value| matches!(own, Value::Text(own) if own.as_str() == key);
        self.entries.iter().find(|(own, _)| is(own)).map(|(_, value)| value)
    }
}

fn around<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Shape, JinjaError> {
    let mut shape = Shape::default();
    for value in values {
        let inner = value.shape();
        shape.depth = shape.depth.max(inner.depth);
        shape.namespace |= inner.namespace;
    }
    shape.depth += 1;
    if shape.depth > DEEPEST { Err(JinjaError::new("values are nested too deep")) } else { Ok(shape) }
}

impl Value {
    /// A text of the template's.
    pub(super) fn template(text: &str) -> Value {
        Value::Text(Text::new(text.into(), Origin::Template))
    }

    pub(super) fn list(items: Vec<Value>, budget: &Budget) -> Result<Value, JinjaError> {
        Value::sequence(items, false, budget)
    }

    pub(super) fn tuple(items: Vec<Value>, budget: &Budget) -> Result<Value, JinjaError> {
        Value::sequence(items, true, budget)
    }

    fn sequence(items: Vec<Value>, tuple: bool, budget: &Budget) -> Result<Value, JinjaError> {
        budget.bytes(items.len() * size_of::<Value>())?;
        budget.steps(items.len())?;
        let shape = Cell::new(around(items.iter())?);
        Ok(Value::List(Rc::new(List { items: RefCell::new(items), shape, tuple })))
    }

    /// A dictionary; of two entries with the same key the last counts, in the place of the first.
    pub(super) fn map(entries: Vec<(Value, Value)>, budget: &Budget) -> Result<Value, JinjaError> {
        budget.bytes(entries.len() * size_of::<(Value, Value)>())?;
        let mut own: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            budget.steps(1 + own.len() / 8)?;
            match own.iter_mut().find(|(other, _)| other.equals(&key, budget)) {
                Some((_, old)) => *old = value,
                None => own.push((key, value)),
            }
        }
        let shape = around(own.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Value::Map(Rc::new(Map { entries: own, shape })))
    }

    /// A value of JSON: what others wrote.
    pub(super) fn of_json(json: &serde_json::Value, budget: &Budget) -> Result<Value, JinjaError> {
        let text = |text: &str| Value::Text(Text::new(text.into(), Origin::Data));
        Ok(match json {
            serde_json::Value::Null => Value::None,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match number.as_i128() {
                Some(number) => Value::Integer(number),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(value) => text(value),
            serde_json::Value::Array(items) => {
                let items: Result<Vec<Value>, _> = items.iter().map(|item| Value::of_json(item, budget)).collect();
                Value::list(items?, budget)?
            }
            serde_json::Value::Object(map) => {
                let entry =
                    |(key, value): (&String, &serde_json::Value)| Ok((text(key), Value::of_json(value, budget)?));
                let entries = map.iter().map(entry).collect::<Result<Vec<_>, JinjaError>>()?;
                let shape = around(entries.iter().map(|(_, value)| value))?;
                Value::Map(Rc::new(Map { entries, shape }))
            }
        })
    }

    fn shape(&self) -> Shape {
        match self {
            Value::List(list) => list.shape.get(),
            Value::Map(map) => map.shape,
            Value::Namespace(_) => Shape { depth: 0, namespace: true },
            Value::Method(method) => method.0.shape(),
            Value::Loop(values) => Shape { depth: 0, namespace: values.holds_namespace() },
            _ => Shape::default(),
        }
    }

    /// Whether there is a namespace in it.
    pub(super) fn holds_namespace(&self) -> bool {
        self.shape().namespace
    }

    /// A value of its own, so that a list that is put into itself does not become endless.
    pub(super) fn copied(&self, budget: &Budget) -> Result<Value, JinjaError> {
        let copy = |values: &[Value]| values.iter().map(|value| value.copied(budget)).collect::<Result<Vec<_>, _>>();
        match self {
            Value::List(list) => Value::sequence(copy(&list.items())?, list.tuple, budget),
            Value::Map(map) => {
                let copied = |(key, value): &(Value, Value)| Ok((key.clone(), value.copied(budget)?));
                Value::map(map.entries.iter().map(copied).collect::<Result<_, JinjaError>>()?, budget)
            }
            value if value.holds_namespace() => Err(JinjaError::new("a list cannot hold a namespace")),
            value => Ok(value.clone()),
        }
    }

    /// What Python calls its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "undefined",
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Integer(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "str",
            Value::List(list) if list.tuple => "tuple",
            Value::List(_) => "list",
            Value::Map(_) => "dict",
            Value::Namespace(_) => "namespace",
            Value::Function(_) | Value::Method(_) => "function",
            Value::Macro(..) => "macro",
            Value::Loop(_) => "loop",
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Integer(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.as_str().is_empty(),
            Value::List(list) => list.len() > 0,
            Value::Map(map) => !map.entries.is_empty(),
            _ => true,
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// A whole number; a truth value is 0 or 1.
    pub(super) fn as_integer(&self) -> Option<i128> {
        match self {
            Value::Bool(value) => Some(i128::from(*value)),
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            value => value.as_integer().map(|number| number as f64),
        }
    }

    /// Whether they are equal. Without steps left they are not, and what comes next fails.
    pub(super) fn equals(&self, other: &Value, budget: &Budget) -> bool {
        if budget.scan(self.weight().min(other.weight())).is_err() {
            return false;
        }
        match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Text(a), Value::Text(b)) => a.as_str() == b.as_str(),
            (Value::List(a), Value::List(b)) => {
                Rc::ptr_eq(a, b)
                    || a.tuple == b.tuple
                        && a.len() == b.len()
                        && a.items.borrow().iter().zip(b.items.borrow().iter()).all(|(a, b)| a.equals(b, budget))
            }
            (Value::Map(a), Value::Map(b)) => {
                Rc::ptr_eq(a, b)
                    || a.entries.len() == b.entries.len()
                        && a.entries
                            .iter()
                            .all(|(key, value)| b.get(key, budget).is_some_and(|other| value.equals(other, budget)))
            }
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
            (Value::Macro(a, _), Value::Macro(b, _)) => Arc::ptr_eq(a, b),
            (Value::Function(a), Value::Function(b)) => a == b,
            _ => match (self.as_integer(), other.as_integer()) {
                (Some(a), Some(b)) => a == b,
                _ => self.as_float().is_some_and(|a| other.as_float() == Some(a)),
            },
        }
    }

    /// Which is less.
    ///
    /// # Errors
    /// If Python has no order for them.
    pub(super) fn order(&self, other: &Value, budget: &Budget) -> Result<Ordering, JinjaError> {
        let problem = || JinjaError::new(format!("{} and {} have no order", self.kind(), other.kind()));
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Ok(a.as_str().cmp(b.as_str())),
            (Value::List(a), Value::List(b)) if a.tuple == b.tuple => {
                let (a, b) = (a.items(), b.items());
                match a.iter().zip(&b).find(|(a, b)| !a.equals(b, budget)) {
                    Some((a, b)) => a.order(b, budget),
                    None => Ok(a.len().cmp(&b.len())),
                }
            }
            _ => match (self.as_integer(), other.as_integer()) {
                (Some(a), Some(b)) => Ok(a.cmp(&b)),
                _ => {
                    let (a, b) = self.as_float().zip(other.as_float()).ok_or_else(problem)?;
                    a.partial_cmp(&b).ok_or_else(problem)
                }
            },
        }
    }

    /// The text that is printed for it.
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        match self {
            Value::Text(text) => out.text(text),
            Value::Undefined(_) => {}
            value => super::repr::write(value, out),
        }
    }

    /// Its text.
    pub(super) fn to_text(&self, budget: &Budget) -> Result<Text, JinjaError> {
        if let Value::Text(text) = self {
            return Ok(text.clone());
        }
        let mut out = Writer::new(budget);
        self.write(&mut out);
        out.finish()
    }

    /// How many bytes a comparison or a search goes through.
    pub(super) fn weight(&self) -> usize {
        match self {
            Value::Text(text) => text.as_str().len(),
            Value::List(list) => list.len() * size_of::<Value>(),
            Value::Map(map) => map.entries.len() * size_of::<Value>(),
            _ => 0,
        }
    }
}
