//! Metadata values as Rust types.

use crate::{List, Metadata, Value};

/// A type that a metadata value can be read as: integers (also floats without a fraction), `f32`, `f64` (also
/// integers), `bool`, `&str`, `String`, `&List`, `&Metadata` (a nested object), and `Vec`s of numbers, booleans and
/// texts.
pub trait FromValue<'a>: Sized {
    /// The type in words, for errors.
    const WHAT: &'static str;

    /// `None` if the value is not of the type or out of its range.
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! integers {
    ($($t:ty: $what:literal),*) => {$(
        impl FromValue<'_> for $t {
            const WHAT: &'static str = $what;

            fn from_value(value: &Value) -> Option<$t> {
                integer(value)?.try_into().ok()
            }
        }

        impl FromValue<'_> for Vec<$t> {
            const WHAT: &'static str = concat!("a list, each ", $what);

            fn from_value(value: &Value) -> Option<Vec<$t>> {
                match value {
                    Value::List(List::Int(v)) => v.iter().map(|&i| i.try_into().ok()).collect(),
                    Value::List(List::Float(v)) => v.iter().map(|&f| whole(f)?.try_into().ok()).collect(),
                    Value::List(List::Mixed(v)) => v.iter().map(<$t>::from_value).collect(),
                    _ => None,
                }
            }
        }
    )*};
}

integers!(
    u16: "an integer from 0 to 65535",
    u32: "an integer from 0 to 4294967295",
    u64: "an integer of 0 or more",
    usize: "an integer of 0 or more",
    i32: "an integer from -2147483648 to 2147483647",
    i64: "an integer"
);

fn integer(value: &Value) -> Option<i128> {
    match *value {
        Value::Int(i) => Some(i),
        Value::Float(f) => whole(f),
        _ => None,
    }
}

/// Bounded to the range where every integer has its own float.
fn whole(f: f64) -> Option<i128> {
    (f.fract() == 0.0 && f.abs() <= (1u64 << 53) as f64).then_some(f as i128)
}

impl FromValue<'_> for f64 {
    const WHAT: &'static str = "a number";

    fn from_value(value: &Value) -> Option<f64> {
        match *value {
            Value::Int(i) => Some(i as f64),
            Value::Float(f) => Some(f),
            _ => None,
        }
    }
}

impl FromValue<'_> for f32 {
    const WHAT: &'static str = "a number";

    fn from_value(value: &Value) -> Option<f32> {
        f64::from_value(value).map(|f| f as f32)
    }
}

impl FromValue<'_> for Vec<f64> {
    const WHAT: &'static str = "a list of numbers";

    fn from_value(value: &Value) -> Option<Vec<f64>> {
        match value {
            Value::List(List::Int(v)) => Some(v.iter().map(|&i| i as f64).collect()),
            Value::List(List::Float(v)) => Some(v.clone()),
            Value::List(List::Mixed(v)) => v.iter().map(f64::from_value).collect(),
            _ => None,
        }
    }
}

impl FromValue<'_> for Vec<f32> {
    const WHAT: &'static str = "a list of numbers";

    fn from_value(value: &Value) -> Option<Vec<f32>> {
        Some(<Vec<f64>>::from_value(value)?.into_iter().map(|f| f as f32).collect())
    }
}

impl FromValue<'_> for bool {
    const WHAT: &'static str = "true or false";

    fn from_value(value: &Value) -> Option<bool> {
        if let Value::Bool(b) = *value { Some(b) } else { None }
    }
}

impl FromValue<'_> for Vec<bool> {
    const WHAT: &'static str = "a list of true and false";

    fn from_value(value: &Value) -> Option<Vec<bool>> {
        match value {
            Value::List(List::Int(v)) => v.iter().map(|&i| (0..=1).contains(&i).then_some(i == 1)).collect(),
            Value::List(List::Mixed(v)) => v.iter().map(bool::from_value).collect(),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const WHAT: &'static str = "text";

    fn from_value(value: &'a Value) -> Option<&'a str> {
        if let Value::Str(s) = value { Some(s) } else { None }
    }
}

impl FromValue<'_> for String {
    const WHAT: &'static str = "text";

    fn from_value(value: &Value) -> Option<String> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl FromValue<'_> for Vec<String> {
    const WHAT: &'static str = "a list of texts";

    fn from_value(value: &Value) -> Option<Vec<String>> {
        match value {
            Value::List(List::Bytes(v)) => v.iter().map(|b| String::from_utf8(b.to_vec()).ok()).collect(),
            Value::List(list) if list.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a List {
    const WHAT: &'static str = "a list";

    fn from_value(value: &'a Value) -> Option<&'a List> {
        if let Value::List(list) = value { Some(list) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a Metadata {
    const WHAT: &'static str = "an object";

    fn from_value(value: &'a Value) -> Option<&'a Metadata> {
        if let Value::Map(map) = value { Some(map) } else { None }
    }
}
