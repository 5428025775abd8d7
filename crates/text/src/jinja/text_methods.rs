//! Python's methods of texts.

use std::ops::Range;

use super::JinjaError;
use super::given::Taken;
use super::machine::Given;
use super::methods::joined;
use super::printf;
use super::slices::{Boundaries, part};
use super::text::{Budget, Origin, Text, Writer};
use super::value::Value;

type Done<T> = Result<T, JinjaError>;

/// All that there are.
pub(super) const NAMES: [&str; 42] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
    "encode",
    "expandtabs",
];

/// A text and where its parts go.
struct Method<'a> {
    text: &'a Text,
    budget: &'a Budget,
}

pub(super) fn call(text: &Text, name: &str, given: Given, budget: &Budget) -> Done<Value> {
    if name == "format" {
        return printf::braces(text, &given, budget);
    }
    let mut taken = Taken::new(given, "a method of a text");
    let method = Method { text, budget };
    let value = match name {
        "capitalize" | "casefold" | "lower" | "swapcase" | "title" | "upper" => method.cased(name),
        "center" | "ljust" | "rjust" | "zfill" => method.padded(name, &mut taken),
        "count" | "find" | "index" | "rfind" | "rindex" => method.found(name, &mut taken),
        "startswith" | "endswith" => method.edge(name == "startswith", &mut taken),
        "join" => {
            let items = super::eval::items(&taken.required("items")?, budget)?;
            joined(&items, text, true, budget)
        }
        "strip" | "lstrip" | "rstrip" => {
            let chars = taken.text("chars")?;
            method.part(stripped(method.str(), chars.as_ref().map(Text::as_str), name))
        }
        "removeprefix" => {
            let prefix = taken.required("prefix")?;
            let end = prefix.as_str().filter(|prefix| method.str().starts_with(prefix)).map_or(0, str::len);
            method.part(end..method.str().len())
        }
        "removesuffix" => {
            let suffix = taken.required("suffix")?;
            let cut = suffix.as_str().filter(|suffix| method.str().ends_with(suffix)).map_or(0, str::len);
            method.part(0..method.str().len() - cut)
        }
        "partition" | "rpartition" => method.partition(name == "partition", &mut taken),
        "split" | "rsplit" => method.split(name == "split", &mut taken),
        "splitlines" => {
            let keep = taken.flag("keepends");
            let lines = lines(method.str(), keep).into_iter().map(|line| method.part(line));
            Value::list(lines.collect::<Done<_>>()?, budget)
        }
        "replace" => {
            let (old, new) = (taken.required("old")?, taken.required("new")?);
            let count = taken.integer("count")?;
            replaced(text, &old, &new, count, budget)
        }
        name if name.starts_with("is") => Ok(Value::Bool(is(name, method.str()))),
        _ => Err(JinjaError::new(format!("chat templates cannot call {name}"))),
    }?;
    taken.none_left()?;
    Ok(value)
}

impl Method<'_> {
    fn str(&self) -> &str {
        self.text.as_str()
    }

    fn part(&self, range: Range<usize>) -> Done<Value> {
        part(self.text, range, self.budget)
    }

    fn cased(&self, name: &str) -> Done<Value> {
        let mut out = Writer::new(self.budget);
        match name {
            "upper" => out.mapped(self.text, str::to_uppercase),
            "lower" => out.mapped(self.text, str::to_lowercase),
            "casefold" => out.mapped(self.text, |part| part.to_lowercase().replace('ß', "ss")),
            _ => {
                let mut inside = false;
                for (part, origin) in self.text.parts(0..self.str().len()) {
                    let cased: String = part.chars().flat_map(|c| cased(name, c, &mut inside)).collect();
                    out.push(&cased, origin);
                }
            }
        }
        Ok(Value::Text(out.finish()?))
    }

    fn padded(&self, name: &str, taken: &mut Taken) -> Done<Value> {
        let width = taken.count("width")?.unwrap_or(0);
        let fill = taken.text("fillchar")?.map_or(' ', |fill| fill.as_str().chars().next().unwrap_or(' '));
        let missing = width.saturating_sub(self.str().chars().count());
        let (left, right, fill) = match name {
            // As Python: of an odd number the larger half is left if the width is odd.
            "center" => {
                let left = missing / 2 + (missing & width & 1);
                (left, missing - left, fill)
            }
            "ljust" => (0, missing, fill),
            "rjust" => (missing, 0, fill),
            _ => (missing, 0, '0'),
        };
        let sign = usize::from(name == "zfill" && self.str().starts_with(['+', '-']));
        let mut out = Writer::new(self.budget);
        out.part(self.text, 0..sign);
        out.fill(fill, left);
        out.part(self.text, sign..self.str().len());
        out.fill(fill, right);
        Ok(Value::Text(out.finish()?))
    }

    /// The bytes between two characters' places, which may be left out or negative.
    fn window(&self, taken: &mut Taken) -> Done<Option<Range<usize>>> {
        let (start, end) = (taken.integer("start")?, taken.integer("end")?);
        if start.is_none() && end.is_none() {
            return Ok(Some(0..self.str().len()));
        }
        let ends = Boundaries::of(self.str(), self.budget)?;
        let count = ends.count as i128;
        let place = |at: Option<i128>, default: i128| match at {
            None => default,
            Some(at) if at < 0 => (at + count).max(0),
            Some(at) => at,
        };
        let (start, end) = (place(start, 0), place(end, count).min(count));
        Ok((start <= end).then(|| ends.at(start as usize)..ends.at(end as usize)))
    }

    fn found(&self, name: &str, taken: &mut Taken) -> Done<Value> {
        let what = taken.required("sub")?;
        let Some(what) = what.as_str() else { return Err(JinjaError::new("a text is looked for in a text")) };
        let window = self.window(taken)?;
        let inside = window.clone().map(|window| &self.str()[window]);
        if name == "count" {
            let count = match what {
                "" => inside.map_or(0, |inside| inside.chars().count() + 1),
                what => inside.map_or(0, |inside| inside.matches(what).count()),
            };
            return Ok(Value::Integer(count as i128));
        }
        let find = |inside: &str| if name.starts_with('r') { inside.rfind(what) } else { inside.find(what) };
        let at = window.zip(inside).and_then(|(window, inside)| Some(window.start + find(inside)?));
        match at {
            Some(at) => Ok(Value::Integer(self.str()[..at].chars().count() as i128)),
            None if name.ends_with("find") => Ok(Value::Integer(-1)),
            None => Err(JinjaError::new("the text that is looked for is not there")),
        }
    }

    fn edge(&self, start: bool, taken: &mut Taken) -> Done<Value> {
        let what = taken.required("prefix")?;
        let Some(window) = self.window(taken)? else { return Ok(Value::Bool(false)) };
        let inside = &self.str()[window];
        let is = |what: &Value| match what.as_str() {
            Some(what) => Ok(if start { inside.starts_with(what) } else { inside.ends_with(what) }),
            None => Err(JinjaError::new(format!("a text begins or ends with a text, not {}", what.kind()))),
        };
        match &what {
            Value::List(list) if list.tuple => {
                let all = list.items().iter().map(is).collect::<Done<Vec<bool>>>()?;
                Ok(Value::Bool(all.contains(&true)))
            }
            what => is(what).map(Value::Bool),
        }
    }

    fn partition(&self, first: bool, taken: &mut Taken) -> Done<Value> {
        let between = taken.required("sep")?;
        let between = between.as_str().filter(|between| !between.is_empty()).ok_or_else(no_separator)?;
        let (text, len) = (self.str(), self.str().len());
        let at = if first { text.find(between) } else { text.rfind(between) };
        let (before, middle, after) = match at {
            Some(at) => (0..at, at..at + between.len(), at + between.len()..len),
            None if first => (0..len, len..len, len..len),
            None => (0..0, 0..0, 0..len),
        };
        Value::tuple(vec![self.part(before)?, self.part(middle)?, self.part(after)?], self.budget)
    }

    fn split(&self, first: bool, taken: &mut Taken) -> Done<Value> {
        let between = taken.text("sep")?;
        let most = taken.integer("maxsplit")?.filter(|most| *most >= 0);
        let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let between = between.as_ref().map(Text::as_str);
        if between == Some("") {
            return Err(no_separator());
        }
        let parts = match (between, first) {
            (Some(between), true) => split_at(self.str(), between, most),
            (Some(between), false) => split_at_last(self.str(), between, most),
            (None, true) => words(self.str(), most),
            (None, false) => last_words(self.str(), most),
        };
        Value::list(parts.into_iter().map(|range| self.part(range)).collect::<Done<_>>()?, self.budget)
    }
}

fn no_separator() -> JinjaError {
    JinjaError::new("a text is split at a text that is not empty")
}

fn cased(name: &str, c: char, inside: &mut bool) -> Vec<char> {
    let letter = c.is_lowercase() || c.is_uppercase();
    let first = !std::mem::replace(inside, if name == "title" { letter } else { true });
    match name {
        "swapcase" if c.is_uppercase() => c.to_lowercase().collect(),
        "swapcase" => c.to_uppercase().collect(),
        _ if first => c.to_uppercase().collect(),
        _ => c.to_lowercase().collect(),
    }
}

/// What Python calls white space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The range that is left without white space, or these characters, at the ends that `name` says.
pub(super) fn stripped(text: &str, chars: Option<&str>, name: &str) -> Range<usize> {
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let end = if name == "lstrip" { text.len() } else { text.trim_end_matches(goes).len() };
    let start = if name == "rstrip" { 0 } else { end - text[..end].trim_start_matches(goes).len() };
    start..end
}

fn split_at(text: &str, between: &str, most: usize) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut parts = Vec::new();
    for (at, _) in text.match_indices(between).take(most) {
        parts.push(start..at);
        start = at + between.len();
    }
    parts.push(start..text.len());
    parts
}

fn split_at_last(text: &str, between: &str, most: usize) -> Vec<Range<usize>> {
    let mut end = text.len();
    let mut parts = Vec::new();
    for (at, _) in text.rmatch_indices(between).take(most) {
        parts.push(at + between.len()..end);
        end = at;
    }
    parts.push(0..end);
    parts.reverse();
    parts
}

fn words(text: &str, most: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = text.len() - text.trim_start_matches(is_space).len();
    while at < text.len() {
        let rest = &text[at..];
        let len = if parts.len() < most { rest.find(is_space).unwrap_or(rest.len()) } else { rest.len() };
        parts.push(at..at + len);
        at += len + rest[len..].len() - rest[len..].trim_start_matches(is_space).len();
    }
    parts
}

fn last_words(text: &str, most: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut end = text.trim_end_matches(is_space).len();
    while end > 0 {
        let word = |(at, c): (usize, char)| is_space(c).then(|| at + c.len_utf8());
        let start = if parts.len() < most { text[..end].char_indices().rev().find_map(word).unwrap_or(0) } else { 0 };
        parts.push(start..end);
        end = text[..start].trim_end_matches(is_space).len();
    }
    parts.reverse();
    parts
}

/// The lines of a text, ended by any of the characters that Python knows.
pub(super) fn lines(text: &str, keep: bool) -> Vec<Range<usize>> {
    let ends = ['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut lines = Vec::new();
    let mut start = 0;
    while let Some(at) = text[start..].find(ends).map(|at| start + at) {
        let len = if text[at..].starts_with("\r\n") { 2 } else { text[at..].chars().next().map_or(1, char::len_utf8) };
        lines.push(start..if keep { at + len } else { at });
        start = at + len;
    }
    if start < text.len() {
        lines.push(start..text.len());
    }
    lines
}

/// A text with one text in place of another, so many times.
pub(super) fn replaced(text: &Text, old: &Value, new: &Value, count: Option<i128>, budget: &Budget) -> Done<Value> {
    let (Value::Text(old), Value::Text(new)) = (old, new) else {
        return Err(JinjaError::new("a text is replaced by a text"));
    };
    let count =
        count.filter(|count| *count >= 0).map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut out = Writer::new(budget);
    let mut start = 0;
    for (at, found) in text.as_str().match_indices(old.as_str()).take(count) {
        if out.is_full() {
            break;
        }
        out.part(text, start..at);
        out.text(new);
        start = at + found.len();
    }
    out.part(text, start..text.as_str().len());
    Ok(Value::Text(out.finish()?))
}

fn is(name: &str, text: &str) -> bool {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    let any = |is: fn(char) -> bool| text.chars().any(is);
    match name {
        "isascii" => text.is_ascii(),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isdecimal" | "isdigit" | "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "islower" => any(char::is_lowercase) && !any(char::is_uppercase),
        "isupper" => any(char::is_uppercase) && !any(char::is_lowercase),
        _ => {
            let mut inside = false;
            let titled: String = text.chars().flat_map(|c| cased("title", c, &mut inside)).collect();
            titled == text && any(|c| c.is_lowercase() || c.is_uppercase())
        }
    }
}

/// A text of the template's.
pub(super) fn template(text: String) -> Value {
    Value::Text(Text::new(text.into(), Origin::Template))
}
