//! Texts with places for values: `'%s' % value` and `'{}'.format(value)`.

use super::JinjaError;
use super::machine::Given;
use super::repr;
use super::text::{Budget, Text, Writer};
use super::value::Value;

type Done<T> = Result<T, JinjaError>;

/// How a value is written.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    align: Option<char>,
    /// `+` or a space before numbers that are not negative.
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    comma: bool,
    precision: Option<usize>,
    kind: Option<char>,
}

/// `format % value`.
///
/// # Errors
/// If there are too few or too many values, or one is of the wrong kind.
pub(super) fn percent(format: &Text, value: &Value, budget: &Budget) -> Done<Value> {
    let values = match value {
        Value::List(list) if list.tuple => list.items(),
        value => vec![value.clone()],
    };
    let mut values = values.iter();
    let mut named = false;
    let mut out = Writer::new(budget);
    let text = format.as_str();
    let mut start = 0;
    while let Some(at) = text[start..].find('%').map(|at| start + at) {
        out.part(format, start..at);
        let mut reader = Reader { rest: &text[at + 1..] };
        let key = reader.key()?;
        let spec = reader.percent_spec(&mut values)?;
        start = text.len() - reader.rest.len();
        if spec.kind == Some('%') {
            out.template("%");
            continue;
        }
        let value = match (key, value) {
            (Some(key), Value::Map(map)) => {
                named = true;
                map.get_text(key).ok_or_else(|| JinjaError::new(format!("there is no value {key:?} to format")))?
            }
            (Some(_), _) => return Err(JinjaError::new("named places are filled from a dictionary")),
            (None, _) => values.next().ok_or_else(|| JinjaError::new("there are fewer values than places for them"))?,
        };
        write(value, &spec, &mut out)?;
    }
    out.part(format, start..text.len());
    if values.next().is_some() && !named && !matches!(value, Value::Map(_)) {
        return Err(JinjaError::new("there are more values than places for them"));
    }
    Ok(Value::Text(out.finish()?))
}

/// `format.format(values)`.
///
/// # Errors
/// If a value is missing, or of the wrong kind.
pub(super) fn braces(format: &Text, given: &Given, budget: &Budget) -> Done<Value> {
    let mut out = Writer::new(budget);
    let text = format.as_str();
    let (mut start, mut next) = (0, 0);
    while let Some(at) = text[start..].find(['{', '}']).map(|at| start + at) {
        out.part(format, start..at);
        if text[at..].starts_with("{{") || text[at..].starts_with("}}") {
            out.part(format, at..at + 1);
            start = at + 2;
            continue;
        }
        let end = text[at..].find('}').filter(|_| text[at..].starts_with('{'));
        let end = at + end.ok_or_else(|| JinjaError::new("a brace in a format has no other"))?;
        let (field, spec) = text[at + 1..end].split_once(':').unwrap_or((&text[at + 1..end], ""));
        let (name, conversion) = field.split_once('!').unwrap_or((field, ""));
        let value = field_value(name, &mut next, given)?;
        let mut spec = Reader { rest: spec }.brace_spec()?;
        if conversion == "r" {
            spec.kind = Some('r');
        }
        write(&value, &spec, &mut out)?;
        start = end + 1;
    }
    out.part(format, start..text.len());
    Ok(Value::Text(out.finish()?))
}

fn field_value(name: &str, next: &mut usize, given: &Given) -> Done<Value> {
    let missing = || JinjaError::new(format!("there is no value {name:?} to format"));
    let index = match name {
        "" => {
            *next += 1;
            Some(*next - 1)
        }
        name => name.parse().ok(),
    };
    match index {
        Some(index) => given.positional.get(index).cloned().ok_or_else(missing),
        None => given.named.iter().find(|(own, _)| **own == *name).map(|(_, value)| value.clone()).ok_or_else(missing),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, is: impl Fn(char) -> bool) -> Option<char> {
        let c = self.rest.chars().next().filter(|c| is(*c))?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn number(&mut self) -> Done<Option<usize>> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| JinjaError::new("a width in a format is too large"))
    }

    fn key(&mut self) -> Done<Option<&'a str>> {
        let Some(after) = self.rest.strip_prefix('(') else { return Ok(None) };
        let (key, rest) = after.split_once(')').ok_or_else(|| JinjaError::new("a bracket in a format has no other"))?;
        self.rest = rest;
        Ok(Some(key))
    }

    fn percent_spec(&mut self, values: &mut std::slice::Iter<'_, Value>) -> Done<Spec> {
        let mut spec = Spec::default();
        while let Some(flag) = self.take(|c| "#0- +".contains(c)) {
            match flag {
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                '-' => spec.align = Some('<'),
                sign => spec.sign = Some(sign),
            }
        }
        spec.width = match self.take(|c| c == '*') {
            Some(_) => {
                values.next().and_then(Value::as_integer).and_then(|width| usize::try_from(width).ok()).unwrap_or(0)
            }
            None => self.number()?.unwrap_or(0),
        };
        if self.take(|c| c == '.').is_some() {
            spec.precision = Some(self.number()?.unwrap_or(0));
        }
        spec.kind = self.take(|c| "diouxXeEfFgGcrsa%".contains(c));
        let known = spec.kind.is_some();
        spec.kind = spec.kind.map(|kind| if matches!(kind, 'i' | 'u') { 'd' } else { kind });
        // Texts too are on the right.
        spec.align = spec.align.or(Some('>'));
        if known { Ok(spec) } else { Err(JinjaError::new("a format is not complete")) }
    }

    fn brace_spec(&mut self) -> Done<Spec> {
        let mut spec = Spec::default();
        let mut chars = self.rest.chars();
        let (first, second) = (chars.next(), chars.next());
        if second.is_some_and(|c| "<>^=".contains(c)) {
            spec.fill = first;
            self.take(|_| true);
        }
        spec.align = self.take(|c| "<>^=".contains(c));
        spec.sign = self.take(|c| "+- ".contains(c)).filter(|sign| *sign != '-');
        spec.alternate = self.take(|c| c == '#').is_some();
        spec.zero = self.take(|c| c == '0').is_some();
        spec.width = self.number()?.unwrap_or(0);
        spec.comma = self.take(|c| c == ',').is_some();
        if self.take(|c| c == '.').is_some() {
            spec.precision = self.number()?;
        }
        spec.kind = self.take(|c| "bcdeEfFgGosxX%".contains(c));
        if self.rest.is_empty() { Ok(spec) } else { Err(JinjaError::new("a format is not known")) }
    }
}

fn write(value: &Value, spec: &Spec, out: &mut Writer<'_>) -> Done<()> {
    let number = matches!(value, Value::Integer(_) | Value::Float(_) | Value::Bool(_));
    let kind = match (spec.kind, value) {
        (Some(kind), _) => kind,
        (None, Value::Integer(_)) => 'd',
        (None, Value::Float(_)) => 'n',
        (None, _) => 's',
    };
    if matches!(kind, 's' | 'r' | 'a') || kind == 'c' && value.as_str().is_some_and(|text| text.chars().count() == 1) {
        return written(value, kind, spec, number, out);
    }
    let digits = digits(value, kind, spec)?;
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-".to_owned(), digits.to_owned()),
        None => (spec.sign.map(String::from).unwrap_or_default(), digits),
    };
    let missing = spec.width.saturating_sub(sign.len() + digits.len());
    let zeros = spec.zero && spec.align.is_none_or(|align| align == '>') || spec.align == Some('=');
    let fill = if spec.zero && zeros { '0' } else { spec.fill.unwrap_or(' ') };
    out.template(if zeros { &sign } else { "" });
    let (left, right) = sides(if zeros { '>' } else { spec.align.unwrap_or('>') }, missing);
    out.fill(fill, left);
    out.template(if zeros { "" } else { &sign });
    out.template(&digits);
    out.fill(fill, right);
    Ok(())
}

/// A text, or anything else as a text.
fn written(value: &Value, kind: char, spec: &Spec, number: bool, out: &mut Writer<'_>) -> Done<()> {
    let mut text = out.like();
    if !matches!(kind, 'r' | 'a') {
        value.write(&mut text);
    } else {
        repr::write(value, &mut text);
    }
    let text = text.finish()?;
    let len = text.as_str().chars().count();
    let shown = spec.precision.unwrap_or(len).min(len);
    let end = text.as_str().char_indices().nth(shown).map_or(text.as_str().len(), |(at, _)| at);
    let align = spec.align.unwrap_or(if number { '>' } else { '<' });
    let (left, right) = sides(align, spec.width.saturating_sub(shown));
    out.fill(spec.fill.unwrap_or(' '), left);
    out.part(&text, 0..end);
    out.fill(spec.fill.unwrap_or(' '), right);
    Ok(())
}

fn sides(align: char, missing: usize) -> (usize, usize) {
    match align {
        '<' => (0, missing),
        '^' => (missing / 2, missing - missing / 2),
        _ => (missing, 0),
    }
}

/// Most digits after the point.
const PRECISE: usize = 1000;

fn digits(value: &Value, kind: char, spec: &Spec) -> Done<String> {
    let wrong = || JinjaError::new(format!("{} is not formatted as {kind:?}", value.kind()));
    let precision = spec.precision.unwrap_or(6);
    if precision > PRECISE {
        return Err(JinjaError::new("a precision in a format is too large"));
    }
    if matches!(kind, 'b' | 'c' | 'd' | 'o' | 'x' | 'X') {
        let truncated = || match value {
            Value::Float(number) if kind == 'd' => Some(number.trunc() as i128),
            _ => None,
        };
        let number = value.as_integer().or_else(truncated).ok_or_else(wrong)?;
        let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
        return Ok(match kind {
            'c' => u32::try_from(number).ok().and_then(char::from_u32).ok_or_else(wrong)?.into(),
            'b' => format!("{sign}{}{size:b}", if spec.alternate { "0b" } else { "" }),
            'o' => format!("{sign}{}{size:o}", if spec.alternate { "0o" } else { "" }),
            'x' => format!("{sign}{}{size:x}", if spec.alternate { "0x" } else { "" }),
            'X' => format!("{sign}{}{size:X}", if spec.alternate { "0X" } else { "" }),
            _ => format!("{sign}{}", if spec.comma { grouped(&size.to_string()) } else { size.to_string() }),
        });
    }
    let number = value.as_float().ok_or_else(wrong)?;
    Ok(match kind {
        'f' | 'F' if spec.comma => {
            let text = format!("{number:.precision$}");
            let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
            let point = if fraction.is_empty() { "" } else { "." };
            let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
            format!("{sign}{}{point}{fraction}", grouped(whole))
        }
        'f' | 'F' => format!("{number:.precision$}"),
        '%' => format!("{:.precision$}%", number * 100.0),
        'e' | 'E' => exponent(number, precision, kind),
        'g' | 'G' => general(number, precision.max(1), kind),
        _ if spec.precision.is_some() => general(number, precision.max(1), 'g'),
        _ => repr::float(number),
    })
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn exponent(number: f64, precision: usize, kind: char) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}{}{sign}{power:0>2}", if kind == 'E' { 'E' } else { 'e' })
}

fn general(number: f64, precision: usize, kind: char) -> String {
    if number == 0.0 || !number.is_finite() {
        return if number.is_finite() { "0".into() } else { repr::float(number) };
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let fixed = power >= -4 && power < precision as i32;
    let text = match fixed {
        true => format!("{number:.*}", (precision as i32 - 1 - power).max(0) as usize),
        false => exponent(number, precision - 1, kind),
    };
    let (digits, tail) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{tail}")
}
