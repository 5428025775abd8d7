//! Reads JSON objects field by field: null is absent, unknown fields are ignored, and an error names the field, what it
//! must be and what it is.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};

use serde_json::{Map, Value};

use answer::{Kind, Priority, Problem};

use super::known::Request;

/// Stop strings in a request at most.
pub(super) const MAX_STOPS: usize = 16;

/// Messages in a request at most.
pub(super) const MAX_MESSAGES: usize = 8192;

/// Tools in a request at most.
pub(super) const MAX_TOOLS: usize = 1024;

/// Token ids in `logit_bias` and in `stop_token_ids` at most.
pub(super) const MAX_TOKEN_IDS: usize = 4096;

/// An object of the request.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// What is known of its fields, if it is a request.
    request: Option<&'static Request>,
}

impl<'a> Fields<'a> {
    /// An object within a request.
    pub(super) fn new(map: &'a Map<String, Value>) -> Fields<'a> {
        Fields { map, request: None }
    }

    /// A request, whose fields are in a table. Those that are refused there need no other code, and no other fields can be read.
    ///
    /// # Errors
    /// If a field that is refused asks for something.
    pub(super) fn of(request: &'static Request, map: &'a Map<String, Value>) -> Result<Fields<'a>, Problem> {
        request.check(map)?;
        Ok(Fields { map, request: Some(request) })
    }

    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.get_as(name, "any")
    }

    /// The same, to be read as a value of this type.
    fn get_as(&self, name: &str, kind: &str) -> Option<&'a Value> {
        debug_assert!(
            self.request.is_none_or(|request| request.reads(name, kind)),
            "{name} is read as {kind}, and is not in the table as that"
        );
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// The name under which a field is given, of two that mean the same: the first, if it is there.
    pub(super) fn alias(&self, name: &'static str, other: &'static str) -> &'static str {
        if self.get(name).is_none() && self.get(other).is_some() { other } else { name }
    }

    /// A field that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&'a Value, Problem> {
        self.get(name).ok_or_else(|| Problem::of(Kind::Missing, name, format!("{name} is missing.")))
    }

    pub(super) fn bool(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.read(name, ("boolean", "true or false"), Value::as_bool)
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        self.read(name, ("string", "a string"), Value::as_str)
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Problem> {
        self.read(name, ("object", "an object"), Value::as_object)
    }

    /// An array of at most `most` items.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Option<&'a Vec<Value>>, Problem> {
        let items = self.array(name)?;
        check_length(name, items.map_or(0, Vec::len), most)?;
        Ok(items)
    }

    pub(super) fn array(&self, name: &str) -> Result<Option<&'a Vec<Value>>, Problem> {
        self.read(name, ("array", "an array"), Value::as_array)
    }

    /// A number within `range`, finite as f32.
    pub(super) fn number(&self, name: &str, range: impl RangeBounds<f64>) -> Result<Option<f32>, Problem> {
        let Some(value) = self.read(name, ("number", "a number"), Value::as_f64)? else { return Ok(None) };
        if !range.contains(&value) {
            return Err(outside(name, value, &range));
        }
        if !(value as f32).is_finite() {
            return Err(outside(name, format!("{value:e}"), &(..=format!("{:e}", f32::MAX))));
        }
        Ok(Some(value as f32))
    }

    /// A whole number within `range`; 16.0 is one too.
    pub(super) fn integer(&self, name: &str, range: impl RangeBounds<i64>) -> Result<Option<i64>, Problem> {
        let Some(value) = self.read(name, ("integer", "an integer"), integer)? else { return Ok(None) };
        if range.contains(&value) { Ok(Some(value)) } else { Err(outside(name, value, &range)) }
    }

    /// A whole number from `low` on.
    pub(super) fn count(&self, name: &str, low: i64) -> Result<Option<usize>, Problem> {
        // More than fits is as good as the most.
        Ok(self.integer(name, low..)?.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    /// Any integer of 64 bits, signed or not; -1 is by chance, as llama.cpp and others mean it.
    pub(super) fn seed(&self) -> Result<Option<u64>, Problem> {
        match self.get("seed").and_then(Value::as_u64) {
            Some(seed) => Ok(Some(seed)),
            None => Ok(self.integer("seed", ..)?.filter(|seed| *seed != -1).map(i64::cast_unsigned)),
        }
    }

    /// A string, or an array of at most `most` of them.
    pub(super) fn strings(&self, name: &str, most: usize) -> Result<Vec<String>, Problem> {
        let items = match self.get_as(name, "string") {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => return Ok(vec![text.clone()]),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong_type(name, "a string or an array of strings", other)),
        };
        check_length(name, items.len(), most)?;
        let read = |(i, item): (usize, &Value)| {
            item.as_str().map(str::to_owned).ok_or_else(|| wrong_type(&format!("{name}[{i}]"), "a string", item))
        };
        items.iter().enumerate().map(read).collect()
    }

    /// A value of a type, by the name that the table has for it and the one that people have.
    fn read<T>(
        &self,
        name: &str,
        (kind, what): (&str, &str),
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.get_as(name, kind).map(|value| read(value).ok_or_else(|| wrong_type(name, what, value))).transpose()
    }
}

/// A request's body, which must be a JSON object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, crate::Problem> {
    if body.trim_ascii().is_empty() {
        return Err(crate::Problem::new(crate::Kind::InvalidJson, "The body is empty; it must be a JSON object."));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(Problem { param: None, ..wrong_type("The body", "a JSON object", &other) }.into()),
        Err(e) => Err(crate::Problem::new(crate::Kind::InvalidJson, format!("The body is not valid JSON: {e}."))),
    }
}

/// The error for what this server does not do.
pub(super) fn unsupported(param: &str, what: &str) -> Problem {
    Problem::of(Kind::Unsupported, param, format!("{param} {what} is not supported by this server.").replace("  ", " "))
}

/// A problem with a field of an object, told as one with `path.field`.
pub(super) fn within(path: &str, problem: Problem) -> Problem {
    let name = problem.param.unwrap_or_default();
    Problem::of(problem.kind, format!("{path}.{name}"), format!("{path}.{}", problem.message))
}

/// Refuses a list that is too long.
pub(super) fn check_length(name: &str, length: usize, most: usize) -> Result<(), Problem> {
    let message = || format!("{name} must have at most {most} entries, but it has {length}.");
    if length <= most { Ok(()) } else { Err(Problem::of(Kind::InvalidValue, name, message())) }
}

/// A token id.
pub(super) fn token(param: &str, value: &Value) -> Result<u32, Problem> {
    let id = integer(value).ok_or_else(|| wrong_type(param, "a token id", value))?;
    u32::try_from(id).map_err(|_| outside(param, id, &(0..=i64::from(u32::MAX))))
}

/// A priority in a word.
pub(super) fn urgency(param: &str, word: &str) -> Result<Priority, Problem> {
    match word.to_ascii_lowercase().as_str() {
        "high" => Ok(Priority::High),
        "normal" | "" => Ok(Priority::Normal),
        "low" => Ok(Priority::Low),
        _ => {
            let message = format!("{param} must be high, normal or low, but it is `{word}`.");
            Err(Problem::of(Kind::InvalidValue, param, message))
        }
    }
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type(param: &str, what: &str, value: &Value) -> Problem {
    let is = match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    };
    Problem::of(Kind::InvalidType, param, format!("{param} must be {what}, but it is {is}."))
}

fn integer(value: &Value) -> Option<i64> {
    let whole = |float: &f64| float.fract() == 0.0 && float.abs() < 9e15;
    value.as_i64().or_else(|| value.as_f64().filter(whole).map(|float| float as i64))
}

fn outside<T: Display>(param: &str, value: T, range: &impl RangeBounds<T>) -> Problem {
    let low = match range.start_bound() {
        Bound::Included(low) => Some(format!("at least {low}")),
        Bound::Excluded(low) => Some(format!("more than {low}")),
        Bound::Unbounded => None,
    };
    let high = match range.end_bound() {
        Bound::Included(high) => Some(format!("at most {high}")),
        Bound::Excluded(high) => Some(format!("less than {high}")),
        Bound::Unbounded => None,
    };
    let must = low.into_iter().chain(high).collect::<Vec<_>>().join(" and ");
    let must = if must.is_empty() { "a finite number".into() } else { must };
    Problem::of(Kind::InvalidValue, param, format!("{param} must be {must}, but it is {value}."))
}
