//! Jinja2's filters.

use std::cmp::Ordering;

use super::JinjaError;
use super::given::Taken;
use super::json;
use super::lists;
use super::machine::{Given, Machine};
use super::methods::{self, joined};
use super::printf;
use super::slices::part;
use super::text::{Budget, Origin, Text, Writer};
use super::text_methods::{self, is_space, lines, replaced, stripped};
use super::value::Value;

type Done<T> = Result<T, JinjaError>;

/// What a filter of this name gives.
///
/// # Errors
/// If there is none, or it does not take these values.
pub(super) fn apply(machine: &mut Machine<'_>, name: &str, value: Value, given: Given) -> Done<Value> {
    let budget = machine.budget;
    if lists::NAMES.contains(&name) {
        return lists::apply(machine, name, &value, given);
    }
    if name == "format" {
        let Value::Text(format) = &value else { return Err(wrong(name, &value)) };
        let all = if given.positional.is_empty() {
            let named = given.named.into_iter().map(|(name, value)| (Value::template(&name), value));
            Value::map(named.collect(), budget)?
        } else {
            Value::tuple(given.positional, budget)?
        };
        return printf::percent(format, &all, budget);
    }
    let mut taken = Taken::new(given, "a filter");
    let value = match name {
        "abs" | "round" | "int" | "float" => number(name, &value, &mut taken)?,
        "attr" => {
            let name = taken.required("name")?;
            machine.attribute(&value, &name.to_text(budget)?.as_str().into())?
        }
        "default" | "d" => {
            let default = taken.next("default_value").unwrap_or_else(|| Value::template(""));
            let falsy = taken.flag("boolean");
            if value.is_undefined() || falsy && !value.is_true() { default } else { value }
        }
        "length" | "count" => Value::Integer(length(&value)? as i128),
        "string" | "safe" => Value::Text(value.to_text(budget)?),
        "tojson" => {
            let style = json_style(&mut taken)?;
            let mut out = Writer::new(budget);
            json::write(&value, &style, &mut out)?;
            Value::Text(out.finish()?)
        }
        "items" => match &value {
            Value::Map(map) => methods::pairs(map, budget)?,
            Value::Undefined(_) => Value::list(Vec::new(), budget)?,
            other => return Err(wrong(name, other)),
        },
        "join" => {
            let between = taken.next("d").unwrap_or_else(|| Value::template("")).to_text(budget)?;
            let items = machine.items(&value)?;
            let items = match taken.some("attribute") {
                Some(attribute) => {
                    items.iter().map(|item| lists::attribute(machine, item, &attribute)).collect::<Done<_>>()?
                }
                None => items,
            };
            joined(&items, &between, false, budget)?
        }
        _ => of_text(name, &value.to_text(budget)?, &mut taken, budget)?,
    };
    taken.none_left()?;
    Ok(value)
}

pub(super) fn wrong(name: &str, value: &Value) -> JinjaError {
    JinjaError::new(format!("the filter {name} does not take {}", value.kind()))
}

fn length(value: &Value) -> Done<usize> {
    match value {
        Value::Undefined(_) => Ok(0),
        Value::Text(text) => Ok(text.as_str().chars().count()),
        Value::List(list) => Ok(list.len()),
        Value::Map(map) => Ok(map.entries.len()),
        Value::Loop(state) => Ok(state.items.len()),
        other => Err(wrong("length", other)),
    }
}

fn json_style(taken: &mut Taken) -> Done<json::Style> {
    let ascii = taken.flag("ensure_ascii");
    let indent = taken.count("indent")?;
    let line = if indent.is_some() { "," } else { ", " };
    let (item, key) = match taken.some("separators") {
        None => (line.to_owned(), ": ".to_owned()),
        Some(Value::List(list)) if list.len() == 2 => match (list.get(0), list.get(1)) {
            (Some(Value::Text(item)), Some(Value::Text(key))) => (item.as_str().to_owned(), key.as_str().to_owned()),
            _ => return Err(JinjaError::new("separators are two texts")),
        },
        Some(_) => return Err(JinjaError::new("separators are two texts")),
    };
    Ok(json::Style { indent, item, key, ascii, sorted: taken.flag("sort_keys") })
}

fn number(name: &str, value: &Value, taken: &mut Taken) -> Done<Value> {
    let float_of = |text: &str| text.trim().replace('_', "").parse::<f64>().ok();
    Ok(match name {
        "abs" => match (value.as_integer(), value) {
            (Some(number), _) => Value::Integer(number.saturating_abs()),
            (None, Value::Float(number)) => Value::Float(number.abs()),
            (None, other) => return Err(wrong(name, other)),
        },
        "float" => {
            let default = taken.next("default").unwrap_or(Value::Float(0.0));
            let number = value.as_float().or_else(|| float_of(value.as_str()?));
            number.map_or(default, Value::Float)
        }
        "int" => {
            let default = taken.next("default").unwrap_or(Value::Integer(0));
            let base = taken.integer("base")?.and_then(|base| u32::try_from(base).ok()).unwrap_or(10);
            let text = value.as_str().map(str::trim);
            let read = |text: &str| i128::from_str_radix(text, base.clamp(2, 36)).ok();
            let whole = |number: f64| number.is_finite().then_some(number.trunc() as i128);
            let number = value.as_integer().or_else(|| text.and_then(read));
            let number = number.or_else(|| value.as_float().or_else(|| float_of(text?)).and_then(whole));
            number.map_or(default, Value::Integer)
        }
        _ => {
            let precision = taken.integer("precision")?.unwrap_or(0);
            let method = taken.text("method")?;
            rounded(value, precision, method.as_ref().map_or("common", Text::as_str))?
        }
    })
}

fn rounded(value: &Value, precision: i128, method: &str) -> Done<Value> {
    let Value::Float(number) = value else {
        return value.as_integer().map(Value::Integer).ok_or_else(|| wrong("round", value));
    };
    let power = 10f64.powi(i32::try_from(precision.clamp(-300, 300)).unwrap_or(0));
    Ok(Value::Float(match method {
        "ceil" => (number * power).ceil() / power,
        "floor" => (number * power).floor() / power,
        // The nearest number with so many digits, as they are written: halves that are exact go to the even one.
        "common" if precision >= 0 => format!("{number:.*}", precision.min(300) as usize).parse().unwrap_or(*number),
        "common" => (number * power).round_ties_even() / power,
        _ => return Err(JinjaError::new("round is common, ceil or floor")),
    }))
}

fn of_text(name: &str, text: &Text, taken: &mut Taken, budget: &Budget) -> Done<Value> {
    let call = |name: &str, positional: Vec<Value>| {
        text_methods::call(text, name, Given { positional, named: Vec::new() }, budget)
    };
    match name {
        "upper" | "lower" | "capitalize" => call(name, Vec::new()),
        "trim" => {
            let chars = taken.text("chars")?;
            part(text, stripped(text.as_str(), chars.as_ref().map(Text::as_str), "strip"), budget)
        }
        "center" => {
            let width = taken.next("width").unwrap_or(Value::Integer(80));
            call(name, vec![width])
        }
        "replace" => {
            let (old, new) = (taken.required("old")?, taken.required("new")?);
            let count = taken.integer("count")?;
            let text_of = |value: Value| value.to_text(budget).map(Value::Text);
            replaced(text, &text_of(old)?, &text_of(new)?, count, budget)
        }
        "title" => title(text, budget),
        "indent" => indent(text, taken, budget),
        "truncate" => truncate(text, taken, budget),
        "wordcount" => {
            let words = text.as_str().split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            Ok(Value::Integer(words.count() as i128))
        }
        "escape" | "e" | "forceescape" => escaped(text, budget),
        "urlencode" => Ok(text_methods::template(url_encoded(text.as_str()))),
        _ => Err(JinjaError::new(format!("there is no filter {name:?}"))),
    }
}

fn escaped(text: &Text, budget: &Budget) -> Done<Value> {
    let mut out = Writer::new(budget);
    out.mapped(text, |part| {
        let part = part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        part.replace('\'', "&#39;").replace('"', "&#34;")
    });
    Ok(Value::Text(out.finish()?))
}

fn url_encoded(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte);
    text.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The first letter of each word large and the others small; words begin after white space, brackets and hyphens.
fn title(text: &Text, budget: &Budget) -> Done<Value> {
    let mut out = Writer::new(budget);
    let mut inside = false;
    for (part, origin) in text.parts(0..text.as_str().len()) {
        let mut cased = String::new();
        for c in part.chars() {
            let begins = is_space(c) || "-({[<".contains(c);
            match std::mem::replace(&mut inside, !begins) {
                false => cased.extend(c.to_uppercase()),
                true => cased.extend(c.to_lowercase()),
            }
        }
        out.push(&cased, origin);
    }
    Ok(Value::Text(out.finish()?))
}

fn indent(text: &Text, taken: &mut Taken, budget: &Budget) -> Done<Value> {
    let width = match taken.next("width") {
        None => Text::new("    ".into(), Origin::Template),
        Some(Value::Text(text)) => text,
        Some(width) => {
            let width = usize::try_from(width.as_integer().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
            budget.bytes(width)?;
            Text::new(" ".repeat(width).into(), Origin::Template)
        }
    };
    let (first, blank) = (taken.flag("first"), taken.flag("blank"));
    let mut out = Writer::new(budget);
    // A line break at the end has an empty line after it.
    let mut all = lines(text.as_str(), false);
    if text.as_str().is_empty() || text.as_str().ends_with('\n') {
        all.push(text.as_str().len()..text.as_str().len());
    }
    for (i, line) in all.into_iter().enumerate() {
        out.template(if i > 0 { "\n" } else { "" });
        if i > 0 && (blank || !line.is_empty()) || i == 0 && first {
            out.text(&width);
        }
        out.part(text, line);
    }
    Ok(Value::Text(out.finish()?))
}

fn truncate(text: &Text, taken: &mut Taken, budget: &Budget) -> Done<Value> {
    let length = taken.count("length")?.unwrap_or(255);
    let kill = taken.flag("killwords");
    let end = taken.text("end")?.unwrap_or_else(|| Text::new("...".into(), Origin::Template));
    let leeway = taken.count("leeway")?.unwrap_or(5);
    if text.as_str().chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::Text(text.clone()));
    }
    let shown = length.saturating_sub(end.as_str().chars().count());
    let cut = text.as_str().char_indices().nth(shown).map_or(text.as_str().len(), |(at, _)| at);
    let cut = if kill { cut } else { text.as_str()[..cut].rfind(' ').unwrap_or(cut) };
    let mut out = Writer::new(budget);
    out.part(text, 0..cut);
    out.text(&end);
    Ok(Value::Text(out.finish()?))
}

/// How two values are ordered; texts without regard to case unless `case`.
pub(super) fn order(a: &Value, b: &Value, case: bool, budget: &Budget) -> Done<Ordering> {
    budget.scan(a.weight().min(b.weight()))?;
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) if !case => Ok(a.to_lowercase().cmp(&b.to_lowercase())),
        _ => a.order(b, budget),
    }
}
