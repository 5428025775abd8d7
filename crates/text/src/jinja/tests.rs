//! Jinja2's tests: `value is name`.

use super::JinjaError;
use super::ast::Comparison;
use super::machine::Machine;
use super::value::Value;

/// Whether a test of this name holds.
///
/// # Errors
/// If there is none, or it does not take these values.
pub(super) fn holds(machine: &Machine<'_>, name: &str, value: &Value, arguments: &[Value]) -> Result<bool, JinjaError> {
    let compare = |comparison: Comparison| match arguments {
        [other, ..] => machine.compares(value, comparison, other),
        [] => Err(JinjaError::new(format!("the test {name} compares with a value"))),
    };
    let remainder = |by: i128| match value.as_integer() {
        Some(number) if by != 0 => Ok(number.rem_euclid(by.abs())),
        _ => Err(JinjaError::new(format!("the test {name} is of whole numbers, not {}", value.kind()))),
    };
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Integer(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Integer(_) | Value::Float(_)),
        "string" => matches!(value, Value::Text(_)),
        "mapping" => matches!(value, Value::Map(_)),
        "sequence" => matches!(value, Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Undefined(_)),
        "iterable" => {
            matches!(value, Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Loop(_) | Value::Undefined(_))
        }
        "callable" => matches!(value, Value::Function(_) | Value::Macro(..) | Value::Method(_)),
        "escaped" => false,
        "lower" => {
            value.to_text(machine.budget)?.as_str().chars().any(char::is_lowercase) && cased(value, machine, false)?
        }
        "upper" => {
            value.to_text(machine.budget)?.as_str().chars().any(char::is_uppercase) && cased(value, machine, true)?
        }
        "even" => remainder(2)? == 0,
        "odd" => remainder(2)? == 1,
        "divisibleby" => remainder(arguments.first().and_then(Value::as_integer).unwrap_or(0))? == 0,
        "eq" | "==" | "equalto" => compare(Comparison::Equal)?,
        "ne" | "!=" => compare(Comparison::NotEqual)?,
        "lt" | "<" | "lessthan" => compare(Comparison::Less)?,
        "le" | "<=" => compare(Comparison::LessOrEqual)?,
        "gt" | ">" | "greaterthan" => compare(Comparison::Greater)?,
        "ge" | ">=" => compare(Comparison::GreaterOrEqual)?,
        "in" => compare(Comparison::In)?,
        "sameas" => match (value, arguments.first()) {
            (Value::None, Some(Value::None)) => true,
            (Value::Bool(a), Some(Value::Bool(b))) => a == b,
            (Value::Integer(a), Some(Value::Integer(b))) => a == b,
            (Value::Text(a), Some(Value::Text(b))) => a.as_str() == b.as_str(),
            (Value::List(a), Some(Value::List(b))) => std::rc::Rc::ptr_eq(a, b),
            (Value::Map(a), Some(Value::Map(b))) => std::rc::Rc::ptr_eq(a, b),
            _ => false,
        },
        _ => return Err(JinjaError::new(format!("there is no test {name:?}"))),
    })
}

/// Whether no letter is of the other case.
fn cased(value: &Value, machine: &Machine<'_>, upper: bool) -> Result<bool, JinjaError> {
    let text = value.to_text(machine.budget)?;
    let other: fn(char) -> bool = if upper { char::is_lowercase } else { char::is_uppercase };
    Ok(!text.as_str().chars().any(other))
}
