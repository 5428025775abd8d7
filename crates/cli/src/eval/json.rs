//! Where two JSON values differ: the order of keys does not matter, numbers count by their value.

use serde_json::{Number, Value};

/// The first place where `got` is not what is expected, in words.
pub(super) fn difference(expected: &Value, got: &Value) -> Option<String> {
    differ(expected, got, "")
}

fn differ(expected: &Value, got: &Value, path: &str) -> Option<String> {
    match (expected, got) {
        (Value::Number(a), Value::Number(b)) if same(a, b) => None,
        (Value::Array(a), Value::Array(b)) => {
            let mut pairs = a.iter().zip(b).enumerate();
            let inside = pairs.find_map(|(i, (a, b))| differ(a, b, &format!("{path}/{i}")));
            inside.or_else(|| (a.len() != b.len()).then(|| at(path, &list_of(a.len()), &list_of(b.len()))))
        }
        (Value::Object(a), Value::Object(b)) => {
            let inside = a.iter().find_map(|(key, a)| match b.get(key) {
                Some(b) => differ(a, b, &format!("{path}/{key}")),
                None => Some(at(&format!("{path}/{key}"), &a.to_string(), "nothing")),
            });
            let more = || b.iter().find(|(key, _)| !a.contains_key(*key));
            inside.or_else(|| more().map(|(key, b)| at(&format!("{path}/{key}"), "nothing", &b.to_string())))
        }
        (a, b) if a == b => None,
        (a, b) => Some(at(path, &a.to_string(), &b.to_string())),
    }
}

fn at(path: &str, expected: &str, got: &str) -> String {
    let place = if path.is_empty() { String::new() } else { format!("at {path}: ") };
    format!("{place}expected {expected}, got {got}")
}

fn list_of(items: usize) -> String {
    format!("a list of {items}")
}

fn same(a: &Number, b: &Number) -> bool {
    let whole = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.as_f64() == b.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, got: &str, difference: Option<&str>) {
        let parse = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
        assert_eq!(super::difference(&parse(expected), &parse(got)).as_deref(), difference, "{expected} {got}");
    }

    #[test]
    fn values_are_compared_by_value() {
        check(r#"{"a": 1, "b": [true, null, "x"]}"#, r#"{"b": [true, null, "x"], "a": 1.0}"#, None);
        check("100", "1e2", None);
        check("0.5", "5e-1", None);
        check(
            "18446744073709551615",
            "18446744073709551614",
            Some("expected 18446744073709551615, got 18446744073709551614"),
        );
        check("1", "\"1\"", Some("expected 1, got \"1\""));
        check("[1, 2]", "[1, 3]", Some("at /1: expected 2, got 3"));
        check("[1, 2]", "[1]", Some("expected a list of 2, got a list of 1"));
        check(r#"{"a": {"b": 1}}"#, r#"{"a": {}}"#, Some("at /a/b: expected 1, got nothing"));
        check("{}", r#"{"c": 2}"#, Some("at /c: expected nothing, got 2"));
    }
}
