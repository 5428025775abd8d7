//! JSON into template values, and template values into JSON as Python's json.dumps writes it.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// How deep values may be nested.
const DEEPEST: usize = 128;

/// How JSON is written.
#[derive(Debug)]
pub(super) struct Style {
    /// Items on lines of their own, each level by so many spaces.
    pub indent: Option<usize>,
    /// Between items.
    pub item: String,
    /// Between key and value.
    pub key: String,
    /// Escape all but ASCII.
    pub ascii: bool,
    /// Keys in order.
    pub sorted: bool,
}

/// A template value.
pub(super) fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(b) => Value::from(*b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Value::from(n),
            (None, Some(n)) => Value::from(n),
            (None, None) => Value::from(n.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(s) => Value::from(s.as_str()),
        serde_json::Value::Array(items) => items.iter().map(value).collect(),
        serde_json::Value::Object(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), value(v)))),
    }
}

/// JSON of a template value.
pub(super) fn write(value: &Value, style: &Style) -> Result<String, Error> {
    let mut out = String::new();
    Writer { style, out: &mut out }.value(value, 0)?;
    Ok(out)
}

struct Writer<'a> {
    style: &'a Style,
    out: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::new(ErrorKind::BadSerialization, "nested too deep for JSON"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(('[', ']'), items.len(), depth, |w, i| w.value(&items[i], depth + 1))?;
            }
            ValueKind::Map => self.map(value, depth)?,
            kind => {
                let problem = format!("{kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, problem));
            }
        }
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut pairs = Vec::new();
        for key in value.try_iter()? {
            pairs.push((key_text(&key)?, value.get_item(&key)?));
        }
        if self.style.sorted {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.list(('{', '}'), pairs.len(), depth, |w, i| {
            w.string(&pairs[i].0);
            w.out.push_str(&w.style.key);
            w.value(&pairs[i].1, depth + 1)
        })
    }

    fn list(
        &mut self,
        brackets: (char, char),
        count: usize,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(brackets.0);
        for i in 0..count {
            if i > 0 {
                self.out.push_str(&self.style.item);
            }
            self.line(depth + 1);
            item(self, i)?;
        }
        if count > 0 {
            self.line(depth);
        }
        self.out.push(brackets.1);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.style.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent.min(64) * depth));
        }
    }

    fn number(&mut self, value: &Value) {
        match value.is_integer() {
            true => self.out.push_str(&value.to_string()),
            false => self.out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN))),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{C}' => self.out.push_str("\\f"),
                c if c < ' ' || self.style.ascii && !c.is_ascii() || self.style.ascii && c == '\x7F' => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number if key.is_integer() => Ok(key.to_string()),
        ValueKind::Number => Ok(float(f64::try_from(key.clone()).unwrap_or(f64::NAN))),
        kind => Err(Error::new(ErrorKind::BadSerialization, format!("{kind} is no key for JSON"))),
    }
}

/// A float as Python writes it: the shortest digits that give it back, an exponent from 1e16 up and below 1e-4.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "NaN".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if x == 0.0 || (1e-4..1e16).contains(&x.abs()) {
        return format!("{x:?}");
    }
    let text = format!("{x:e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |p| ('-', p));
            format!("{digits}e{sign}{power:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        let check = |x: f64, expected: &str| assert_eq!(float(x), expected);
        check(1.0, "1.0");
        check(-0.1, "-0.1");
        check(1e15, "1000000000000000.0");
        check(1e16, "1e+16");
        check(1.5e-7, "1.5e-07");
        check(1e-4, "0.0001");
        check(1e300, "1e+300");
        check(0.0, "0.0");
    }

    #[test]
    fn depth_is_limited() {
        let mut nested = Value::from(1);
        for _ in 0..200 {
            nested = [nested].into_iter().collect();
        }
        let style = Style { indent: None, item: ",".into(), key: ":".into(), ascii: false, sorted: false };
        assert!(write(&nested, &style).is_err());
    }
}
