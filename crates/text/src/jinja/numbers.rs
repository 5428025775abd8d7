//! Arithmetic as Python has it, of texts and lists too.

use super::JinjaError;
use super::ast::Operator;
use super::printf;
use super::text::{Budget, Writer};
use super::value::Value;

type Done<T> = Result<T, JinjaError>;

pub(super) fn signed(value: &Value, negative: bool) -> Done<Value> {
    match (value, value.as_integer()) {
        (_, Some(number)) => {
            let number = if negative { number.checked_neg() } else { Some(number) };
            number.map(Value::Integer).ok_or_else(too_large)
        }
        (Value::Float(number), _) => Ok(Value::Float(if negative { -number } else { *number })),
        (other, _) => Err(JinjaError::new(format!("{} has no sign", other.kind()))),
    }
}

/// # Errors
/// If Python has no such operation, or the result is too large.
pub(super) fn arithmetic(left: &Value, operator: Operator, right: &Value, budget: &Budget) -> Done<Value> {
    match (left, operator, right) {
        (Value::Text(a), Operator::Add, Value::Text(b)) => {
            let mut out = Writer::new(budget);
            out.text(a);
            out.text(b);
            Ok(Value::Text(out.finish()?))
        }
        (Value::List(a), Operator::Add, Value::List(b)) if a.tuple == b.tuple => {
            let items = a.items().into_iter().chain(b.items()).collect();
            if a.tuple { Value::tuple(items, budget) } else { Value::list(items, budget) }
        }
        (Value::Text(_) | Value::List(_), Operator::Multiply, count) if count.as_integer().is_some() => {
            repeated(left, count, budget)
        }
        (count, Operator::Multiply, Value::Text(_) | Value::List(_)) if count.as_integer().is_some() => {
            repeated(right, count, budget)
        }
        (Value::Text(format), Operator::Remainder, _) => printf::percent(format, right, budget),
        _ => match (left.as_integer(), right.as_integer()) {
            (Some(a), Some(b)) => whole(a, operator, b),
            _ => match (left.as_float(), right.as_float()) {
                (Some(a), Some(b)) => float(a, operator, b),
                _ => Err(impossible(left, operator, right)),
            },
        },
    }
}

fn repeated(value: &Value, count: &Value, budget: &Budget) -> Done<Value> {
    let count = usize::try_from(count.as_integer().unwrap_or(0).max(0)).map_err(|_| too_large())?;
    match value {
        Value::Text(text) => {
            let len = text.as_str().len();
            budget.fits(len.checked_mul(count).ok_or_else(too_large)?)?;
            let mut out = Writer::new(budget);
            (0..if len == 0 { 0 } else { count }).for_each(|_| out.text(text));
            Ok(Value::Text(out.finish()?))
        }
        Value::List(list) => {
            let len = list.len().checked_mul(count).ok_or_else(too_large)?;
            budget.bytes(len.checked_mul(size_of::<Value>()).ok_or_else(too_large)?)?;
            let items = list.items();
            let items = std::iter::repeat_n(items, if len == 0 { 0 } else { count }).flatten().collect();
            if list.tuple { Value::tuple(items, budget) } else { Value::list(items, budget) }
        }
        _ => Err(too_large()),
    }
}

fn whole(a: i128, operator: Operator, b: i128) -> Done<Value> {
    let by_zero = || JinjaError::new("a number is divided by 0");
    let value = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide if b == 0 => return Err(by_zero()),
        Operator::Divide => return Ok(Value::Float(a as f64 / b as f64)),
        Operator::DivideWhole | Operator::Remainder if b == 0 => return Err(by_zero()),
        // Python rounds down, and a remainder has the divisor's sign.
        Operator::DivideWhole => a.checked_div(b).map(|q| q - i128::from(a % b != 0 && (a < 0) != (b < 0))),
        Operator::Remainder => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        Operator::Power if b < 0 => return Ok(Value::Float((a as f64).powf(b as f64))),
        Operator::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
    };
    value.map(Value::Integer).ok_or_else(too_large)
}

fn float(a: f64, operator: Operator, b: f64) -> Done<Value> {
    let divides = matches!(operator, Operator::Divide | Operator::DivideWhole | Operator::Remainder);
    if divides && b == 0.0 {
        return Err(JinjaError::new("a number is divided by 0"));
    }
    Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::DivideWhole => (a / b).floor(),
        Operator::Remainder => {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }
        Operator::Power => a.powf(b),
    }))
}

fn impossible(left: &Value, operator: Operator, right: &Value) -> JinjaError {
    let sign = match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::DivideWhole => "//",
        Operator::Remainder => "%",
        Operator::Power => "**",
    };
    let name = |value: &Value| match value {
        Value::Undefined(Some(name)) => format!("{name}, which is not defined,"),
        value => value.kind().to_owned(),
    };
    JinjaError::new(format!("{} {sign} {} is not possible", name(left), name(right)))
}

fn too_large() -> JinjaError {
    JinjaError::new("a number is too large")
}
