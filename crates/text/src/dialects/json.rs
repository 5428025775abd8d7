//! One JSON value, read as its text comes.

use super::frame::Progress;

/// How deep values may be nested: as deep as the readers of arguments go.
const DEEPEST: usize = 120;

/// Reads one value. A line break or another control character in a string, which JSON does not allow and models write all
/// the same, is given escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonValue {
    /// The brackets that are open.
    open: Vec<u8>,
    expects: Expects,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    Value,
    /// A value, or the end of an empty array.
    FirstItem,
    /// A key, or the end of an empty object.
    FirstKey,
    Key,
    Colon,
    /// A comma or the end of what is open.
    Comma,
    Text(Text),
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    /// It is whole.
    Nothing,
}

/// Where in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    key: bool,
    at: Escape,
    /// A high surrogate came, which must be followed by a low one.
    high: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    /// So many digits to come, and the value of those that came.
    Hex(u8, u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

/// What to do with a byte.
enum Byte {
    Keep,
    Escape,
    /// The value ends with it.
    Last,
    /// The value ended before it.
    Past,
    Wrong,
}

impl JsonValue {
    /// Reads on and adds the value's text to `out`. All of `text` is read unless the value ends or is wrong.
    pub(super) fn read(&mut self, text: &str, out: &mut String) -> Progress {
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            match self.byte(byte) {
                Byte::Keep => {}
                Byte::Escape => {
                    out.push_str(&text[from..at]);
                    out.push_str(&escaped(byte));
                    from = at + 1;
                }
                Byte::Last => {
                    out.push_str(&text[from..=at]);
                    return Progress::End(at + 1);
                }
                Byte::Past => {
                    out.push_str(&text[from..at]);
                    return Progress::End(at);
                }
                Byte::Wrong => {
                    out.push_str(&text[from..at]);
                    return Progress::Wrong(at);
                }
            }
        }
        out.push_str(&text[from..]);
        Progress::On(text.len())
    }

    fn byte(&mut self, byte: u8) -> Byte {
        match self.expects {
            Expects::Text(text) => self.text(text, byte),
            Expects::Number(number) => self.number(number, byte),
            Expects::Word([next, rest @ ..]) if *next == byte => self.word(rest),
            Expects::Word(_) => Byte::Wrong,
            Expects::Nothing => Byte::Past,
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => Byte::Keep,
            Expects::FirstItem if byte == b']' => self.close(byte),
            Expects::FirstKey if byte == b'}' => self.close(byte),
            Expects::Value | Expects::FirstItem => self.begin(byte),
            Expects::FirstKey | Expects::Key if byte == b'"' => self.expect(Expects::Text(Text::new(true))),
            Expects::FirstKey | Expects::Key => Byte::Wrong,
            Expects::Colon if byte == b':' => self.expect(Expects::Value),
            Expects::Colon => Byte::Wrong,
            Expects::Comma => self.comma(byte),
        }
    }

    fn expect(&mut self, next: Expects) -> Byte {
        self.expects = next;
        Byte::Keep
    }

    fn begin(&mut self, byte: u8) -> Byte {
        match byte {
            b'{' | b'[' if self.open.len() == DEEPEST => Byte::Wrong,
            b'{' => {
                self.open.push(b'}');
                self.expect(Expects::FirstKey)
            }
            b'[' => {
                self.open.push(b']');
                self.expect(Expects::FirstItem)
            }
            b'"' => self.expect(Expects::Text(Text::new(false))),
            b'-' => self.expect(Expects::Number(Number::Minus)),
            b'0' => self.expect(Expects::Number(Number::Zero)),
            b'1'..=b'9' => self.expect(Expects::Number(Number::Whole)),
            b't' => self.expect(Expects::Word(b"rue")),
            b'f' => self.expect(Expects::Word(b"alse")),
            b'n' => self.expect(Expects::Word(b"ull")),
            _ => Byte::Wrong,
        }
    }

    fn comma(&mut self, byte: u8) -> Byte {
        match (byte, self.open.last()) {
            (b',', Some(b'}')) => self.expect(Expects::Key),
            (b',', Some(_)) => self.expect(Expects::Value),
            _ => self.close(byte),
        }
    }

    fn close(&mut self, byte: u8) -> Byte {
        if self.open.last() != Some(&byte) {
            return Byte::Wrong;
        }
        self.open.pop();
        self.ended()
    }

    /// A value ended with this byte.
    fn ended(&mut self) -> Byte {
        if self.open.is_empty() {
            self.expects = Expects::Nothing;
            return Byte::Last;
        }
        self.expect(Expects::Comma)
    }

    fn word(&mut self, rest: &'static [u8]) -> Byte {
        if rest.is_empty() { self.ended() } else { self.expect(Expects::Word(rest)) }
    }

    fn number(&mut self, number: Number, byte: u8) -> Byte {
        use Number::{Exponent, Fraction, Minus, Point, Power, Sign, Whole, Zero};
        let next = match (number, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
            (Zero | Whole, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Whole | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => Sign,
            (Exponent | Sign | Power, b'0'..=b'9') => Power,
            (Zero | Whole | Fraction | Power, _) if self.open.is_empty() => {
                self.expects = Expects::Nothing;
                return Byte::Past;
            }
            (Zero | Whole | Fraction | Power, _) => {
                self.expects = Expects::Comma;
                return self.byte(byte);
            }
            _ => return Byte::Wrong,
        };
        self.expect(Expects::Number(next))
    }

    fn text(&mut self, mut text: Text, byte: u8) -> Byte {
        match text.byte(byte) {
            None => self.expect(if text.key { Expects::Colon } else { Expects::Comma }),
            Some(done) => {
                self.expects = Expects::Text(text);
                return done;
            }
        };
        if text.key || !self.open.is_empty() { Byte::Keep } else { self.ended() }
    }
}

impl Text {
    fn new(key: bool) -> Text {
        Text { key, at: Escape::None, high: false }
    }

    /// What to do with a byte; `None` if the string ends with it.
    fn byte(&mut self, byte: u8) -> Option<Byte> {
        match (self.at, byte) {
            (Escape::None, b'\\') => self.at = Escape::Backslash,
            (Escape::None, _) if self.high => return Some(Byte::Wrong),
            (Escape::None, b'"') => return None,
            (Escape::None, 0..=31) => return Some(Byte::Escape),
            (Escape::None, _) => {}
            (Escape::Backslash, b'u') => self.at = Escape::Hex(4, 0),
            (Escape::Backslash, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') if !self.high => {
                self.at = Escape::None;
            }
            (Escape::Backslash, _) => return Some(Byte::Wrong),
            (Escape::Hex(left, value), digit) => return Some(self.hex(left - 1, value, digit)),
        }
        Some(Byte::Keep)
    }

    fn hex(&mut self, left: u8, value: u16, digit: u8) -> Byte {
        let Some(digit) = char::from(digit).to_digit(16) else { return Byte::Wrong };
        let value = value << 4 | digit as u16;
        if left > 0 {
            self.at = Escape::Hex(left, value);
            return Byte::Keep;
        }
        self.at = Escape::None;
        let low = (0xDC00..0xE000).contains(&value);
        if low != self.high {
            return Byte::Wrong;
        }
        self.high = (0xD800..0xDC00).contains(&value);
        Byte::Keep
    }
}

fn escaped(byte: u8) -> String {
    match byte {
        b'\n' => "\\n".into(),
        b'\r' => "\\r".into(),
        b'\t' => "\\t".into(),
        _ => format!("\\u{byte:04x}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value at the beginning of `text`, and the rest; `None` if it is wrong or not whole.
    fn whole(text: &str) -> Option<(String, &str)> {
        let mut out = String::new();
        match JsonValue::default().read(text, &mut out) {
            Progress::End(at) => Some((out, &text[at..])),
            _ => None,
        }
    }

    #[test]
    fn values_end_where_they_do() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            assert_eq!(whole(text), expected.map(|(value, rest)| (value.to_owned(), rest)), "{text}");
        };
        check(
            "{\"a\": [1, -2.5e+3, null, \"é\\u00e9\"]} rest",
            Some(("{\"a\": [1, -2.5e+3, null, \"é\\u00e9\"]}", " rest")),
        );
        check("[]x", Some(("[]", "x")));
        check("12 ", Some(("12", " ")));
        check("\"a\nb\"", Some(("\"a\\nb\"", "")));
        check("\"\\ud83d\\ude00\"", Some(("\"\\ud83d\\ude00\"", "")));
        for text in [
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "{\"a\" 1}",
            "{a: 1}",
            "[1,]",
            "{,}",
            "[01]",
            "1. ",
            "tru ",
            "[",
            "\"a",
            "'a'",
        ] {
            check(text, None);
        }
        check(&"[".repeat(200), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn as_another_reader(text in r#"[\[\]{},:" \n0-9.eE+\-u\\a-fnt]{0,12}"#) {
            // A space after it ends a number.
            let text = text + " ";
            let mut values = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
            let theirs = match values.next() {
                Some(Ok(value)) => Some(value),
                _ => None,
            };
            let ours = whole(&text).map(|(value, _)| serde_json::from_str::<serde_json::Value>(&value));
            match (ours, theirs) {
                (Some(Err(e)), None) => prop_assert!(e.to_string().contains("out of range"), "{}", e),
                (Some(ours), Some(theirs)) => prop_assert_eq!(ours.expect("JSON"), theirs),
                (None, Some(theirs)) => prop_assert!(false, "{} is a value: {}", text, theirs),
                // They want a space after a number; and control characters are more than they take.
                (Some(Ok(_)) | None, None) => {}
            }
        }
    }
}
