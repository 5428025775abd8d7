//! Python's methods of texts, lists and dictionaries.

use super::JinjaError;
use super::given::Taken;
use super::machine::Given;
use super::text::{Budget, Text, Writer};
use super::text_methods;
use super::value::{List, Map, Value};

type Done<T> = Result<T, JinjaError>;

const OF_DICT: [&str; 5] = ["copy", "get", "items", "keys", "values"];
/// What would change a dictionary, which templates may not.
const CHANGING: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const OF_LIST: [&str; 6] = ["append", "count", "extend", "index", "insert", "pop"];

/// Whether a value has this method.
pub(super) fn is_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Map(_) => OF_DICT.contains(&name) || CHANGING.contains(&name),
        Value::List(list) if list.tuple => matches!(name, "count" | "index"),
        Value::List(_) => OF_LIST.contains(&name),
        Value::Text(_) => text_methods::NAMES.contains(&name),
        _ => false,
    }
}

/// Calls a method.
pub(super) fn call(value: &Value, name: &str, given: Given, budget: &Budget) -> Done<Value> {
    budget.scan(value.weight())?;
    match value {
        Value::Map(map) => of_dict(map, name, Taken::new(given, "a method of a dictionary"), budget),
        Value::List(list) => of_list(list, name, Taken::new(given, "a method of a list"), budget),
        Value::Text(text) => text_methods::call(text, name, given, budget),
        _ => Err(JinjaError::new(format!("{} has no method {name:?}", value.kind()))),
    }
}

fn of_dict(map: &Map, name: &str, mut taken: Taken, budget: &Budget) -> Done<Value> {
    let entries = map.entries.iter();
    let value = match name {
        "get" => {
            let (key, default) = (taken.required("key")?, taken.next("default"));
            map.get(&key, budget).cloned().or(default).unwrap_or(Value::None)
        }
        "items" => pairs(map, budget)?,
        "keys" => Value::list(entries.map(|(key, _)| key.clone()).collect(), budget)?,
        "values" => Value::list(entries.map(|(_, value)| value.clone()).collect(), budget)?,
        "copy" => Value::map(map.entries.clone(), budget)?,
        _ => return Err(JinjaError::new(format!("a template may not change a dictionary, and calls {name}"))),
    };
    taken.none_left()?;
    Ok(value)
}

/// The entries of a dictionary as a list of pairs.
pub(super) fn pairs(map: &Map, budget: &Budget) -> Done<Value> {
    let pair = |(key, value): &(Value, Value)| Value::tuple(vec![key.clone(), value.clone()], budget);
    Value::list(map.entries.iter().map(pair).collect::<Done<_>>()?, budget)
}

/// A list can be changed, which transformers refuses: templates made for other programs do it.
fn of_list(list: &List, name: &str, mut taken: Taken, budget: &Budget) -> Done<Value> {
    let out_of_range = || JinjaError::new("the index is not in the list");
    let value = match name {
        "append" => {
            let item = taken.required("item")?.copied(budget)?;
            added(list, vec![item], list.len(), budget)?
        }
        "extend" => {
            let items = super::eval::items(&taken.required("items")?, budget)?;
            let items = items.iter().map(|item| item.copied(budget)).collect::<Done<_>>()?;
            added(list, items, list.len(), budget)?
        }
        "insert" => {
            let at = place(taken.integer("index")?.unwrap_or(0), list.len()).min(list.len());
            let item = taken.required("item")?.copied(budget)?;
            added(list, vec![item], at, budget)?
        }
        "pop" => {
            let at = place(taken.integer("index")?.unwrap_or(-1), list.len());
            let removed = list.change(|items| (at < items.len()).then(|| items.remove(at)))?;
            removed.ok_or_else(out_of_range)?
        }
        "count" => {
            let item = taken.required("item")?;
            Value::Integer(list.items().iter().filter(|own| own.equals(&item, budget)).count() as i128)
        }
        _ => {
            let item = taken.required("item")?;
            let at = list.items().iter().position(|own| own.equals(&item, budget));
            Value::Integer(at.ok_or_else(|| JinjaError::new("the item is not in the list"))? as i128)
        }
    };
    taken.none_left()?;
    Ok(value)
}

fn added(list: &List, new: Vec<Value>, at: usize, budget: &Budget) -> Done<Value> {
    budget.bytes(new.len() * size_of::<Value>())?;
    list.change(|items| {
        items.splice(at..at, new);
    })?;
    Ok(Value::None)
}

/// A place in a list, from its end if the index is negative; past the end if it is none.
fn place(index: i128, len: usize) -> usize {
    let at = if index < 0 { index + len as i128 } else { index };
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Texts with `between` between them.
///
/// # Errors
/// If an item is no text, where `texts` wants that.
pub(super) fn joined(items: &[Value], between: &Text, texts: bool, budget: &Budget) -> Done<Value> {
    let mut out = Writer::new(budget);
    for (i, item) in items.iter().enumerate() {
        if texts && item.as_str().is_none() {
            return Err(JinjaError::new(format!("join puts texts together, not {}", item.kind())));
        }
        if i > 0 {
            out.text(between);
        }
        item.write(&mut out);
    }
    Ok(Value::Text(out.finish()?))
}
