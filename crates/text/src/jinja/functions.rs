//! The functions that chat templates find.

use super::JinjaError;
use super::given::Taken;
use super::machine::{Given, Machine, namespace};
use super::text_methods::template;
use super::time;
use super::value::Value;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Range,
    Dict,
    Namespace,
    RaiseException,
    StrftimeNow,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Function> {
        Some(match name {
            "range" => Function::Range,
            "dict" => Function::Dict,
            "namespace" => Function::Namespace,
            "raise_exception" => Function::RaiseException,
            "strftime_now" => Function::StrftimeNow,
            _ => return None,
        })
    }
}

/// Most numbers in a range, as Jinja2's sandbox has it.
const LONGEST_RANGE: i128 = 100_000;

pub(super) fn call(machine: &Machine<'_>, function: Function, given: Given) -> Result<Value, JinjaError> {
    let budget = machine.budget;
    match function {
        Function::Namespace => namespace(given, budget),
        Function::Range => range(machine, Taken::new(given, "range")),
        Function::Dict => {
            let mut entries = Vec::new();
            for value in &given.positional {
                match value {
                    Value::Map(map) => entries.extend(map.entries.clone()),
                    value => {
                        for pair in machine.items(value)? {
                            let pair = machine.items(&pair)?;
                            let [key, value] = pair.as_slice() else {
                                return Err(JinjaError::new("dict is made of pairs"));
                            };
                            entries.push((key.clone(), value.clone()));
                        }
                    }
                }
            }
            entries.extend(given.named.into_iter().map(|(name, value)| (Value::template(&name), value)));
            Value::map(entries, budget)
        }
        Function::RaiseException => {
            let message = Taken::new(given, "raise_exception").required("message")?;
            Err(JinjaError::new(message.to_text(budget)?.as_str()))
        }
        Function::StrftimeNow => {
            let format = Taken::new(given, "strftime_now").required("format")?;
            let now =
                machine.now.ok_or_else(|| JinjaError::new("strftime_now is called, and the time is not known"))?;
            let format = format.to_text(budget)?;
            budget.scan(format.as_str().len())?;
            Ok(template(time::strftime(format.as_str(), now)?))
        }
    }
}

fn range(machine: &Machine<'_>, mut taken: Taken) -> Result<Value, JinjaError> {
    let number = |value: Option<Value>| match value {
        None => Ok(None),
        Some(value) => value.as_integer().map(Some).ok_or_else(|| JinjaError::new("range goes from number to number")),
    };
    let (first, second, step) =
        (number(taken.next("start"))?, number(taken.next("stop"))?, number(taken.next("step"))?);
    taken.none_left()?;
    let (start, stop) = match (first, second) {
        (Some(start), Some(stop)) => (start, stop),
        (stop, _) => (0, stop.ok_or_else(|| JinjaError::new("range needs a number"))?),
    };
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(JinjaError::new("a range's step is not 0"));
    }
    let distance = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    let count = distance.max(0).saturating_add(step.saturating_abs() - 1) / step.saturating_abs();
    if count > LONGEST_RANGE {
        return Err(JinjaError::new(format!("a range has at most {LONGEST_RANGE} numbers")));
    }
    let numbers = (0..count).map(|i| Value::Integer(start.saturating_add(step.saturating_mul(i))));
    Value::list(numbers.collect(), machine.budget)
}
