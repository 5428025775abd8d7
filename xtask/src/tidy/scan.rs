//! A rough reading of Rust: enough to measure items in formatted code, no more.

/// A function or struct: its name, its lines from the keyword to the closing brace, its parameters or fields.
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    pub(super) lines: usize,
    pub(super) items: usize,
}

/// The text up to the module of unit tests.
pub(super) fn before_tests(text: &str) -> &str {
    let end = if text.starts_with("#[cfg(test)]") { Some(0) } else { text.find("\n#[cfg(test)]\nmod ") };
    end.map_or(text, |end| &text[..end + 1])
}

/// Whether `word` occurs with no identifier character on either side.
pub(super) fn contains_word(text: &str, word: &str) -> bool {
    word_positions(text, word).next().is_some()
}

/// Functions in code without comments and strings (see [`blank`]); a receiver is not counted as a parameter.
pub(super) fn functions(code: &str) -> Vec<Item<'_>> {
    items(code, "fn", |rest| {
        let open = parameters(rest)?;
        let (inside, after) = group(rest, open)?;
        let receiver = inside.split(',').next().is_some_and(|p| contains_word(p, "self") && !p.contains("self::"));
        let end = body_end(rest, after);
        Some((end, fields(inside) - usize::from(receiver)))
    })
}

/// Structs with named fields, in code without comments and strings (see [`blank`]).
pub(super) fn structs(code: &str) -> Vec<Item<'_>> {
    items(code, "struct", |rest| {
        let open = rest.find(['{', ';', '('])?;
        let (inside, after) = group(rest, open)?;
        Some((after, fields(inside)))
    })
}

/// The same text with comments, strings and character literals replaced by blanks; line breaks stay.
pub(super) fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let skip = comment(rest).or_else(|| string(rest, &text[..at])).or_else(|| character(rest));
        let kept = rest.chars().next().map_or(1, char::len_utf8);
        match skip {
            Some(length) => out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => out.push_str(&rest[..kept]),
        }
        at += skip.unwrap_or(kept);
    }
    out
}

/// The length of the comment that `text` starts with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        depth = if rest.starts_with(b"/*") { depth + 1 } else { depth - i32::from(rest.starts_with(b"*/")) };
        at += if rest.starts_with(b"/*") || rest.starts_with(b"*/") { 2 } else { 1 };
        if depth == 0 {
            return Some(at);
        }
    }
    Some(text.len())
}

/// The length of the string literal that `text` starts with, without the letters of its prefix other than `r`.
fn string(text: &str, before: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r').map(|t| t.len() - t.trim_start_matches('#').len());
    if let Some(hashes) = hashes.filter(|h| text[1 + h..].starts_with('"')) {
        if before.ends_with(|c: char| c == '_' || c.is_alphanumeric() && c != 'b' && c != 'c') {
            return None;
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 2;
        return Some(text[start..].find(&close).map_or(text.len(), |end| start + end + close.len()));
    }
    let mut escaped = false;
    let mut inside = text.strip_prefix('"')?.char_indices();
    let end = inside.find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(text.len(), |(at, _)| at + 2))
}

/// The length of the character literal that `text` starts with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?.len_utf8();
    match inside.strip_prefix('\\') {
        Some(escape) => escape.get(1..)?.find('\'').map(|end| end + 4),
        None => inside[first..].starts_with('\'').then_some(first + 2),
    }
}

fn items<'a>(code: &'a str, keyword: &str, measure: impl Fn(&str) -> Option<(usize, usize)>) -> Vec<Item<'a>> {
    let item = |at: usize| {
        let rest = &code[at..];
        let name = rest[keyword.len()..].trim_start();
        let length = name.find(|c: char| c != '_' && !c.is_alphanumeric())?;
        let (end, items) = measure(rest).filter(|_| length > 0)?;
        Some(Item { name: &name[..length], lines: rest[..end].lines().count(), items })
    };
    word_positions(code, keyword).filter_map(item).collect()
}

/// The position of the bracket that opens the parameters: the first one outside of the generics.
fn parameters(signature: &str) -> Option<usize> {
    let (mut depth, mut last) = (0, ' ');
    signature.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '<') - i32::from(c == '>' && last != '-');
        last = c;
        (c == '(' && depth == 0).then_some(at)
    })
}

/// The end of the body that follows a signature, or of the signature if there is no body.
fn body_end(text: &str, signature: usize) -> usize {
    let mut depth = 0;
    for (at, c) in text[signature..].char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ';' if depth == 0 => return signature + at,
            '{' => return group(text, signature + at).map_or(text.len(), |(_, end)| end),
            _ => {}
        }
    }
    text.len()
}

/// What the bracket at `open` encloses, and the position behind the closing one.
fn group(text: &str, open: usize) -> Option<(&str, usize)> {
    let mut depth = 0;
    for (at, c) in text[open..].char_indices() {
        depth += i32::from(matches!(c, '(' | '[' | '{')) - i32::from(matches!(c, ')' | ']' | '}'));
        if depth == 0 {
            return (at > 0).then(|| (&text[open + 1..open + at], open + at + 1));
        }
    }
    None
}

/// The number of fields or parameters: parts between commas that no bracket encloses.
fn fields(inside: &str) -> usize {
    let (mut depth, mut count, mut empty, mut last) = (0, 0, true, ' ');
    for c in inside.chars() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if last == '-' || last == '=' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            count += usize::from(!empty);
            empty = true;
        } else if !c.is_whitespace() {
            empty = false;
        }
        last = c;
    }
    count + usize::from(!empty)
}

fn word_positions<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let joins = |c: char| c == '_' || c.is_alphanumeric();
    let alone = move |at: usize| !text[..at].ends_with(joins) && !text[at + word.len()..].starts_with(joins);
    text.match_indices(word).map(|(at, _)| at).filter(move |at| alone(*at))
}
