//! Structural tags: text that is free until a trigger, then goes on as one of the structures that begin with it.

use serde_json::Value;

use super::{ConstraintError, quoted, with_options};

/// Structures and triggers at most.
const MOST: usize = 256;

/// The grammar of a structural tag.
pub(super) fn lark(tag: &Value) -> Result<String, ConstraintError> {
    let triggers = texts(tag)?;
    let structures = list(tag, "structures")?;
    let (mut names, mut rules) = (Vec::new(), String::new());
    for (i, structure) in structures.iter().enumerate() {
        let path = format!(".structures[{i}]");
        let (begin, end) = (text(structure, &path, "begin")?, text(structure, &path, "end")?);
        let Some(trigger) = triggers.iter().position(|trigger| begin.starts_with(*trigger)) else {
            let message = format!("{begin:?} begins with none of the triggers; add one");
            return Err(ConstraintError::new(path + ".begin", message));
        };
        let rest = &begin[triggers[trigger].len()..];
        let schema = structure.get("schema").unwrap_or(&Value::Null);
        let schema = with_options(schema).map_err(|e| ConstraintError::new(format!("{path}.schema"), e.message))?;
        rules += &format!("tag_{i}: trigger_{trigger} {}%json {schema} {}\n", quoted(rest), quoted(end));
        names.push(format!("tag_{i}"));
    }
    for (i, trigger) in triggers.iter().enumerate() {
        rules += &format!("trigger_{i}[lazy]: TEXT {}\n", quoted(trigger));
    }
    Ok(format!("start: ({})* end\nend: TEXT\nTEXT: /(.|\\n)*/\n{rules}", names.join(" | ")))
}

fn texts(tag: &Value) -> Result<Vec<&str>, ConstraintError> {
    let one = |(i, value): (usize, &'_ Value)| match value.as_str() {
        None | Some("") => Err(ConstraintError::new(format!(".triggers[{i}]"), "a trigger is a text of some length")),
        Some(_) => Ok(()),
    };
    let triggers = list(tag, "triggers")?;
    triggers.iter().enumerate().try_for_each(one)?;
    Ok(triggers.iter().filter_map(Value::as_str).collect())
}

fn list<'a>(tag: &'a Value, name: &str) -> Result<&'a [Value], ConstraintError> {
    let message = format!("an array of 1 to {MOST} is expected; a structural tag has `structures` and `triggers`");
    let items = tag.get(name).and_then(Value::as_array).filter(|items| (1..=MOST).contains(&items.len()));
    items.map(Vec::as_slice).ok_or_else(|| ConstraintError::new(format!(".{name}"), message))
}

fn text<'a>(structure: &'a Value, path: &str, name: &str) -> Result<&'a str, ConstraintError> {
    let error = || ConstraintError::new(format!("{path}.{name}"), "a string is expected");
    structure.get(name).and_then(Value::as_str).ok_or_else(error)
}
