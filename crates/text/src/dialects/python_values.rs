//! Python's calls and literals as JSON.

use serde_json::{Map, Value};

/// How deep values may be nested.
const DEEPEST: usize = 100;

/// The calls of a list, `[f(a=1), g()]`: names and arguments. `None` if the text is something else.
pub(super) fn calls(list: &str) -> Option<Vec<(String, Map<String, Value>)>> {
    let mut reader = Reader { rest: list, depth: 0 };
    reader.take('[')?;
    let calls = reader.items(']', Reader::call)?;
    reader.space();
    reader.rest.is_empty().then_some(calls)
}

/// One call, `f(a=1)`, and what follows it.
pub(super) fn call(text: &str) -> Option<((String, Map<String, Value>), &str)> {
    let mut reader = Reader { rest: text, depth: 0 };
    let call = reader.call()?;
    Some((call, reader.rest))
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn next_is(&mut self, c: char) -> bool {
        self.space();
        self.rest.starts_with(c)
    }

    fn take(&mut self, c: char) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// Items up to `end`, commas between them; a comma after the last is allowed.
    fn items<T>(&mut self, end: char, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut items = Vec::new();
        while !self.next_is(end) {
            items.push(item(self)?);
            if !self.next_is(end) {
                self.take(',')?;
            }
        }
        self.depth -= 1;
        self.take(end)?;
        Some(items)
    }

    fn name(&mut self, more: &str) -> Option<&'a str> {
        self.space();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && !more.contains(c));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    fn call(&mut self) -> Option<(String, Map<String, Value>)> {
        let name = self.name(".-")?.to_owned();
        self.take('(')?;
        let arguments = self.items(')', |reader| {
            let key = reader.name("")?.to_owned();
            reader.take('=')?;
            Some((key, reader.value()?))
        });
        Some((name, arguments?.into_iter().collect()))
    }

    fn value(&mut self) -> Option<Value> {
        self.space();
        match self.rest.chars().next()? {
            '"' | '\'' => Some(Value::String(self.string()?)),
            '[' => {
                self.take('[')?;
                Some(Value::Array(self.items(']', Reader::value)?))
            }
            // A tuple.
            '(' => {
                self.take('(')?;
                Some(Value::Array(self.items(')', Reader::value)?))
            }
            '{' => {
                self.take('{')?;
                let entry = |reader: &mut Self| {
                    let Value::String(key) = reader.value()? else { return None };
                    reader.take(':')?;
                    Some((key, reader.value()?))
                };
                Some(Value::Object(self.items('}', entry)?.into_iter().collect()))
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| c.is_whitespace() || ",)]}=:".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "True" | "true" => Some(true.into()),
            "False" | "false" => Some(false.into()),
            "None" | "null" => Some(Value::Null),
            number => serde_json::from_str(number).ok().filter(Value::is_number),
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next()?;
        let mut out = String::new();
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\\' => match chars.next()? {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    '0' => out.push('\0'),
                    'x' => out.push(code(&mut chars, 2)?),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'u' => out.push(pair(&mut chars)?),
                    'U' => out.push(code(&mut chars, 8)?),
                    '\n' => {}
                    c @ ('\\' | '\'' | '"') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c => out.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(out)
    }
}

/// The character that so many hexadecimal digits name.
fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text: String = chars.take(digits).collect();
    u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits).and_then(char::from_u32)
}

/// The character of four hexadecimal digits, or of twice four, as JSON writes what is not in the basic plane.
fn pair(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let mut rest = chars.clone();
    if let Some(c) = code(&mut rest, 4) {
        *chars = rest;
        return Some(c);
    }
    let unit = |text: String| u32::from_str_radix(&text, 16).ok();
    let high = unit(chars.by_ref().take(4).collect()).filter(|unit| (0xD800..0xDC00).contains(unit))?;
    (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
    let low = unit(chars.by_ref().take(4).collect()).filter(|unit| (0xDC00..0xE000).contains(unit))?;
    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_json() {
        let check = |value: &str, expected: Option<&str>| {
            let got = calls(&format!("[f(x={value})]")).map(|calls| calls[0].1["x"].to_string());
            assert_eq!(got.as_deref(), expected, "{value}");
        };
        check("1", Some("1"));
        check("-2.5e3", Some("-2500.0"));
        check("'it\\'s'", Some("\"it's\""));
        check("\"a\\n\\u00e9\\d\"", Some("\"a\\né\\\\d\""));
        check("\"\\ud83d\\ude00\\b\"", Some("\"😀\\b\""));
        check("\"\\ud83d\"", None);
        check("[True, None, (1,), {'a': {}}]", Some("[true,null,[1],{\"a\":{}}]"));
        check("y", None);
        check("{1: 2}", None);
        check(&"[".repeat(1000), None);
    }

    #[test]
    fn lists_of_calls() {
        let check =
            |list: &str, expected: Option<usize>| assert_eq!(calls(list).map(|calls| calls.len()), expected, "{list}");
        check("[f(), a.g(x=1, y=')'),]", Some(2));
        check("[]", Some(0));
        check("[f(1)]", None);
        check("[f()] more", None);
        check("[f(]", None);
    }
}
