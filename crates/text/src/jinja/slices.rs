//! Parts of texts and lists.

use std::ops::Range;

use super::JinjaError;
use super::text::{Budget, Text, Writer};
use super::value::Value;

/// The part of a text in a range of bytes.
pub(super) fn part(text: &Text, range: Range<usize>, budget: &Budget) -> Result<Value, JinjaError> {
    let mut out = Writer::new(budget);
    out.part(text, range);
    Ok(Value::Text(out.finish()?))
}

/// The character at an index, from the end if that is negative.
pub(super) fn character(text: &Text, index: i128, budget: &Budget) -> Result<Value, JinjaError> {
    budget.scan(text.as_str().len())?;
    let found = match usize::try_from(index) {
        Ok(index) => text.as_str().char_indices().nth(index),
        Err(_) => usize::try_from(-1 - index).ok().and_then(|index| text.as_str().char_indices().nth_back(index)),
    };
    match found {
        Some((at, c)) => part(text, at..at + c.len_utf8(), budget),
        None => Ok(Value::Undefined(None)),
    }
}

/// `value[start:stop:step]`.
pub(super) fn slice(value: &Value, bounds: &[Option<Value>; 3], budget: &Budget) -> Result<Value, JinjaError> {
    let mut numbers = [None, None, None];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = match bound {
            None | Some(Value::None) => None,
            Some(bound) => Some(bound.as_integer().ok_or_else(|| JinjaError::new("a slice is between whole numbers"))?),
        };
    }
    match value {
        Value::List(list) => {
            let items = list.items();
            let indices = indices(numbers, items.len())?;
            let items = indices.map(|at| items[at].clone()).collect();
            if list.tuple { Value::tuple(items, budget) } else { Value::list(items, budget) }
        }
        Value::Text(text) => {
            let ends = Boundaries::of(text.as_str(), budget)?;
            let mut out = Writer::new(budget);
            let mut indices = indices(numbers, ends.count)?;
            match numbers[2] {
                None | Some(1) => {
                    if let Some(first) = indices.next() {
                        let last = indices.next_back().unwrap_or(first);
                        out.part(text, ends.at(first)..ends.at(last + 1));
                    }
                }
                Some(_) => indices.for_each(|index| out.part(text, ends.at(index)..ends.at(index + 1))),
            }
            Ok(Value::Text(out.finish()?))
        }
        Value::Undefined(_) => Err(JinjaError::new("a value is not defined, and a part of it is asked for")),
        other => Err(JinjaError::new(format!("{} has no parts", other.kind()))),
    }
}

/// The indices of a slice of so many items, as Python counts them.
fn indices(
    [start, stop, step]: [Option<i128>; 3],
    len: usize,
) -> Result<Box<dyn DoubleEndedIterator<Item = usize>>, JinjaError> {
    let step = step.unwrap_or(1);
    let len = len as i128;
    let bound = |bound: Option<i128>, default: i128, range: (i128, i128)| match bound {
        None => default,
        Some(at) if at < 0 => (at + len).clamp(range.0, range.1),
        Some(at) => at.clamp(range.0, range.1),
    };
    let by = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    match step {
        0 => Err(JinjaError::new("a slice's step is not 0")),
        1.. => {
            let (start, stop) = (bound(start, 0, (0, len)), bound(stop, len, (0, len)));
            Ok(Box::new((start as usize..(stop.max(start)) as usize).step_by(by)))
        }
        _ => {
            let (start, stop) = (bound(start, len - 1, (-1, len - 1)), bound(stop, -1, (-1, len - 1)));
            // From the start down to the stop, which is not part of it.
            let range = (stop + 1).max(0) as usize..(start + 1).max(0) as usize;
            Ok(Box::new(range.rev().step_by(by)))
        }
    }
}

/// Where the characters of a text begin.
pub(super) struct Boundaries {
    /// Characters.
    pub count: usize,
    /// Where each begins, and the end; empty if all are one byte long.
    places: Vec<usize>,
}

impl Boundaries {
    pub(super) fn of(text: &str, budget: &Budget) -> Result<Boundaries, JinjaError> {
        budget.scan(text.len())?;
        if text.is_ascii() {
            return Ok(Boundaries { count: text.len(), places: Vec::new() });
        }
        budget.bytes(text.len() * size_of::<usize>())?;
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Ok(Boundaries { count: places.len() - 1, places })
    }

    /// The byte at which a character begins.
    pub(super) fn at(&self, index: usize) -> usize {
        self.places.get(index).copied().unwrap_or(index)
    }
}
