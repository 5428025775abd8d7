//! Jinja2's filters that go through items.

use std::cmp::Ordering;

use super::JinjaError;
use super::filters::{order, wrong};
use super::given::Taken;
use super::machine::{Given, Machine};
use super::slices::slice;
use super::text::Budget;
use super::value::Value;

type Done<T> = Result<T, JinjaError>;

/// All that there are.
pub(super) const NAMES: [&str; 18] = [
    "batch",
    "dictsort",
    "first",
    "groupby",
    "last",
    "list",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "slice",
    "sort",
    "sum",
    "unique",
];

pub(super) fn apply(machine: &mut Machine<'_>, name: &str, value: &Value, given: Given) -> Done<Value> {
    let budget = machine.budget;
    match name {
        "map" => return map(machine, value, given),
        "select" | "reject" | "selectattr" | "rejectattr" => return select(machine, name, value, given),
        _ => {}
    }
    let mut taken = Taken::new(given, "a filter");
    let items = match value {
        // From the end of a text its characters need not all be taken.
        Value::Text(_) if name == "reverse" => Vec::new(),
        value => machine.items(value)?,
    };
    let value = match name {
        "list" => Value::list(items, budget)?,
        "first" => items.into_iter().next().unwrap_or(Value::Undefined(None)),
        "last" => items.into_iter().next_back().unwrap_or(Value::Undefined(None)),
        "reverse" => match value {
            Value::Text(_) => slice(value, &[None, None, Some(Value::Integer(-1))], budget)?,
            _ => Value::list(items.into_iter().rev().collect(), budget)?,
        },
        "sum" => {
            let attribute = taken.some("attribute");
            let start = taken.next("start").unwrap_or(Value::Integer(0));
            let items = attributes(machine, &items, attribute.as_ref())?;
            let add =
                |sum: Value, item: &Value| super::numbers::arithmetic(&sum, super::ast::Operator::Add, item, budget);
            items.iter().try_fold(start, add)?
        }
        "max" | "min" => extreme(machine, items, name == "max", &mut taken)?,
        "unique" => unique(machine, items, &mut taken)?,
        "sort" => sort(machine, items, &mut taken)?,
        "dictsort" => dictsort(value, &mut taken, budget)?,
        "groupby" => groupby(machine, items, &mut taken)?,
        "batch" | "slice" => rows(items, name == "batch", &mut taken, budget)?,
        _ => return Err(JinjaError::new(format!("there is no filter {name:?}"))),
    };
    taken.none_left()?;
    Ok(value)
}

/// An attribute of a value, `a.b.0`.
pub(super) fn attribute(machine: &Machine<'_>, value: &Value, path: &Value) -> Done<Value> {
    attribute_or(machine, value, path, None)
}

/// The same, with a default for each part of the path that is not there.
fn attribute_or(machine: &Machine<'_>, value: &Value, path: &Value, default: Option<&Value>) -> Done<Value> {
    let or_default = |value: Value| if value.is_undefined() { default.cloned().unwrap_or(value) } else { value };
    let Some(path) = path.as_str() else { return machine.item(value, path).map(or_default) };
    path.split('.').try_fold(value.clone(), |value, name| {
        let name = name.parse::<u32>().map_or_else(|_| Value::template(name), |index| Value::Integer(index.into()));
        machine.item(&value, &name).map(or_default)
    })
}

fn attributes(machine: &Machine<'_>, items: &[Value], path: Option<&Value>) -> Done<Vec<Value>> {
    items.iter().map(|item| path.map_or_else(|| Ok(item.clone()), |path| attribute(machine, item, path))).collect()
}

fn map(machine: &mut Machine<'_>, value: &Value, mut given: Given) -> Done<Value> {
    let items = machine.items(value)?;
    let mut mapped = Vec::with_capacity(items.len());
    if let Some(at) = given.named.iter().position(|(name, _)| &**name == "attribute") {
        let (_, path) = given.named.remove(at);
        let default = given.named.iter().find(|(name, _)| &**name == "default").map(|(_, value)| value.clone());
        for item in &items {
            mapped.push(attribute_or(machine, item, &path, default.as_ref())?);
        }
    } else {
        let (filter, given) = named(machine, given, "map")?;
        for item in items {
            let given = Given { positional: given.positional.clone(), named: given.named.clone() };
            mapped.push(machine.nested(|machine| machine.filter(&filter, item, given))?);
        }
    }
    Value::list(mapped, machine.budget)
}

/// The filter or test that is named first, and what it is given.
fn named(machine: &Machine<'_>, mut given: Given, of: &str) -> Done<(String, Given)> {
    if given.positional.is_empty() {
        return Err(JinjaError::new(format!("{of} needs a filter's name or an attribute")));
    }
    let name = given.positional.remove(0).to_text(machine.budget)?;
    Ok((name.as_str().to_owned(), given))
}

fn select(machine: &mut Machine<'_>, name: &str, value: &Value, mut given: Given) -> Done<Value> {
    let items = machine.items(value)?;
    let path = match name.ends_with("attr") {
        true if given.positional.is_empty() => return Err(JinjaError::new(format!("{name} needs an attribute"))),
        true => Some(given.positional.remove(0)),
        false => None,
    };
    let wanted = name.starts_with("select");
    let test = if given.positional.is_empty() { None } else { Some(named(machine, given, name)?) };
    let mut kept = Vec::new();
    for item in items {
        let value = path.as_ref().map_or_else(|| Ok(item.clone()), |path| attribute(machine, &item, path))?;
        let holds = match &test {
            Some((test, given)) => machine.test(test, &value, &given.positional)?,
            None => value.is_true(),
        };
        if holds == wanted {
            kept.push(item);
        }
    }
    Value::list(kept, machine.budget)
}

/// Items sorted by keys, those with equal keys in their order.
fn sorted(items: Vec<(Vec<Value>, Value)>, case: bool, reverse: bool, budget: &Budget) -> Done<Vec<Value>> {
    let mut problem = None;
    let mut compare = |a: &[Value], b: &[Value]| {
        let orders = a.iter().zip(b).map(|(a, b)| order(a, b, case, budget));
        let first =
            orders.into_iter().find(|order| !matches!(order, Ok(Ordering::Equal))).unwrap_or(Ok(Ordering::Equal));
        first.unwrap_or_else(|error| {
            problem.get_or_insert(error);
            Ordering::Equal
        })
    };
    let mut items = items;
    // A sort that is turned around keeps the order of what is equal.
    items.sort_by(|(a, _), (b, _)| if reverse { compare(b, a) } else { compare(a, b) });
    match problem {
        Some(error) => Err(error),
        None => Ok(items.into_iter().map(|(_, item)| item).collect()),
    }
}

fn sort(machine: &Machine<'_>, items: Vec<Value>, taken: &mut Taken) -> Done<Value> {
    let (reverse, case) = (taken.flag("reverse"), taken.flag("case_sensitive"));
    let paths: Vec<Value> = match taken.some("attribute") {
        Some(path) if path.as_str().is_some_and(|path| path.contains(',')) => {
            path.as_str().unwrap_or_default().split(',').map(|path| Value::template(path.trim())).collect()
        }
        path => path.into_iter().collect(),
    };
    let keyed = items.into_iter().map(|item| {
        let keys = match paths.is_empty() {
            true => vec![item.clone()],
            false => paths.iter().map(|path| attribute(machine, &item, path)).collect::<Done<_>>()?,
        };
        Ok((keys, item))
    });
    let sorted = sorted(keyed.collect::<Done<_>>()?, case, reverse, machine.budget)?;
    Value::list(sorted, machine.budget)
}

fn dictsort(value: &Value, taken: &mut Taken, budget: &Budget) -> Done<Value> {
    let Value::Map(map) = value else { return Err(wrong("dictsort", value)) };
    let case = taken.flag("case_sensitive");
    let by_value = taken.text("by")?.is_some_and(|by| by.as_str() == "value");
    let reverse = taken.flag("reverse");
    let pairs = map.entries.iter().map(|(key, value)| {
        let pair = Value::tuple(vec![key.clone(), value.clone()], budget)?;
        Ok((vec![if by_value { value.clone() } else { key.clone() }], pair))
    });
    Value::list(sorted(pairs.collect::<Done<_>>()?, case, reverse, budget)?, budget)
}

fn extreme(machine: &Machine<'_>, items: Vec<Value>, largest: bool, taken: &mut Taken) -> Done<Value> {
    let case = taken.flag("case_sensitive");
    let path = taken.some("attribute");
    let keys = attributes(machine, &items, path.as_ref())?;
    let mut best: Option<usize> = None;
    for at in 0..items.len() {
        let better = match best {
            None => true,
            Some(best) => {
                let order = order(&keys[at], &keys[best], case, machine.budget)?;
                order == if largest { Ordering::Greater } else { Ordering::Less }
            }
        };
        best = if better { Some(at) } else { best };
    }
    Ok(best.map_or(Value::Undefined(None), |at| items[at].clone()))
}

fn lowered(value: &Value, case: bool) -> Value {
    match value.as_str() {
        Some(text) if !case => Value::template(&text.to_lowercase()),
        _ => value.clone(),
    }
}

fn unique(machine: &Machine<'_>, items: Vec<Value>, taken: &mut Taken) -> Done<Value> {
    let case = taken.flag("case_sensitive");
    let path = taken.some("attribute");
    let keys = attributes(machine, &items, path.as_ref())?;
    let mut seen: Vec<Value> = Vec::new();
    let mut kept = Vec::new();
    for (item, key) in items.into_iter().zip(keys) {
        machine.budget.steps(1 + seen.len())?;
        let key = lowered(&key, case);
        if !seen.iter().any(|other| other.equals(&key, machine.budget)) {
            seen.push(key);
            kept.push(item);
        }
    }
    Value::list(kept, machine.budget)
}

fn groupby(machine: &Machine<'_>, items: Vec<Value>, taken: &mut Taken) -> Done<Value> {
    let budget = machine.budget;
    let path = taken.required("attribute")?;
    let default = taken.next("default");
    let case = taken.flag("case_sensitive");
    let keyed = items.into_iter().map(|item| {
        let key = attribute_or(machine, &item, &path, default.as_ref())?;
        Ok((vec![key.clone()], Value::tuple(vec![key, item], budget)?))
    });
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for pair in sorted(keyed.collect::<Done<_>>()?, case, false, budget)? {
        let (key, item) = (machine.item(&pair, &Value::Integer(0))?, machine.item(&pair, &Value::Integer(1))?);
        match groups.last_mut() {
            Some((last, items)) if lowered(last, case).equals(&lowered(&key, case), budget) => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let group = |(key, items)| Value::tuple(vec![key, Value::list(items, budget)?], budget);
    Value::list(groups.into_iter().map(group).collect::<Done<_>>()?, budget)
}

/// Items in rows: of so many items, or so many rows.
fn rows(items: Vec<Value>, by_length: bool, taken: &mut Taken, budget: &Budget) -> Done<Value> {
    let count = taken.count(if by_length { "linecount" } else { "slices" })?.unwrap_or(0).max(1);
    let fill = taken.some("fill_with");
    let mut rows: Vec<Vec<Value>> = Vec::new();
    if by_length {
        rows.extend(items.chunks(count).map(<[Value]>::to_vec));
        if let (Some(fill), Some(last)) = (&fill, rows.last_mut()) {
            budget.bytes((count - last.len()).saturating_mul(size_of::<Value>()))?;
            last.resize(count, fill.clone());
        }
    } else {
        budget.bytes(count.saturating_mul(size_of::<Value>()))?;
        let (each, more) = (items.len() / count, items.len() % count);
        let mut items = items.into_iter();
        for row in 0..count {
            let mut row_items: Vec<Value> = items.by_ref().take(each + usize::from(row < more)).collect();
            if let Some(fill) = fill.as_ref().filter(|_| row >= more && more > 0) {
                row_items.push(fill.clone());
            }
            rows.push(row_items);
        }
    }
    Value::list(rows.into_iter().map(|row| Value::list(row, budget)).collect::<Done<_>>()?, budget)
}
