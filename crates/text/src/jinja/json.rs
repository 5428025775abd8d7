//! Values as Python's `json.dumps` writes them.

use super::JinjaError;
use super::repr::float;
use super::text::{Text, Writer};
use super::value::Value;

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

/// Writes a value.
///
/// # Errors
/// If it is no JSON.
pub(super) fn write(value: &Value, style: &Style, out: &mut Writer<'_>) -> Result<(), JinjaError> {
    JsonWriter { style, out }.value(value, 0)
}

struct JsonWriter<'a, 'b> {
    style: &'a Style,
    out: &'a mut Writer<'b>,
}

impl JsonWriter<'_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), JinjaError> {
        match value {
            _ if self.out.is_full() => {}
            Value::None => self.out.template("null"),
            Value::Bool(value) => self.out.template(if *value { "true" } else { "false" }),
            Value::Integer(number) => self.out.template(&number.to_string()),
            Value::Float(number) => self.out.template(&number_text(*number)),
            Value::Text(text) => self.text(text),
            Value::List(list) => {
                let items = list.items();
                self.list(["[", "]"], items.len(), depth, |w, i| w.value(&items[i], depth + 1))?;
            }
            Value::Map(map) => {
                let mut pairs = map.entries.iter().map(|(key, value)| Ok((key_text(key)?, value)));
                let mut pairs = pairs.by_ref().collect::<Result<Vec<_>, JinjaError>>()?;
                if self.style.sorted {
                    pairs.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
                }
                self.list(["{", "}"], pairs.len(), depth, |w, i| {
                    w.text(&pairs[i].0);
                    w.out.template(&w.style.key);
                    w.value(pairs[i].1, depth + 1)
                })?;
            }
            other => return Err(JinjaError::new(format!("{} is not JSON serializable", other.kind()))),
        }
        Ok(())
    }

    fn list(
        &mut self,
        brackets: [&str; 2],
        count: usize,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), JinjaError>,
    ) -> Result<(), JinjaError> {
        self.out.template(brackets[0]);
        for i in 0..count {
            self.out.template(if i > 0 { &self.style.item } else { "" });
            self.line(depth + 1);
            item(self, i)?;
        }
        if count > 0 {
            self.line(depth);
        }
        self.out.template(brackets[1]);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.style.indent {
            self.out.template("\n");
            self.out.template(&" ".repeat(indent.min(64) * depth));
        }
    }

    fn text(&mut self, text: &Text) {
        self.out.template("\"");
        let ascii = self.style.ascii;
        self.out.mapped(text, |part| part.chars().map(|c| escaped(c, ascii)).collect());
        self.out.template("\"");
    }
}

fn escaped(c: char, ascii: bool) -> String {
    match c {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\u{8}' => "\\b".into(),
        '\u{C}' => "\\f".into(),
        c if c < ' ' || ascii && (!c.is_ascii() || c == '\x7F') => {
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
        c => c.into(),
    }
}

fn number_text(x: f64) -> String {
    match () {
        () if x.is_nan() => "NaN".into(),
        () if x.is_infinite() => if x > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        () => float(x),
    }
}

fn key_text(key: &Value) -> Result<Text, JinjaError> {
    let text = match key {
        Value::Text(text) => return Ok(text.clone()),
        Value::None => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number_text(*number),
        other => return Err(JinjaError::new(format!("{} is no key for JSON", other.kind()))),
    };
    Ok(Text::new(text.into(), super::text::Origin::Template))
}
