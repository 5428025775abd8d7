//! From the notation to rules.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::{Grammar, GrammarError, Node, Rule};

/// Groups within groups.
const DEEPEST: usize = 50;

/// Reads a grammar; whether its rules refer to themselves is not looked at.
pub(super) fn grammar(source: &str) -> Result<Grammar, GrammarError> {
    let mut parser = Parser { text: Cursor::new(source), depth: 0, numbers: HashMap::new(), rules: Vec::new() };
    parser.text.space(true);
    while !parser.text.rest().is_empty() {
        parser.rule()?;
        parser.text.space(true);
    }
    parser.finish()
}

struct Parser<'a> {
    text: Cursor<'a>,
    /// Groups that are open.
    depth: usize,
    numbers: HashMap<&'a str, usize>,
    rules: Vec<Named<'a>>,
}

/// A rule that was defined or referred to.
struct Named<'a> {
    name: &'a str,
    /// Where it is defined, else where it is first referred to.
    line: usize,
    body: Option<Node>,
}

impl<'a> Parser<'a> {
    fn finish(self) -> Result<Grammar, GrammarError> {
        let Some(&root) = self.numbers.get("root") else {
            return Err(GrammarError { line: 1, message: "there is no rule `root`; define it: root ::= …".into() });
        };
        let rule = |named: Named| {
            let (name, line) = (named.name.to_owned(), named.line);
            let message = || format!("there is no rule `{name}`; define it: {name} ::= …");
            match named.body {
                Some(body) => Ok(Rule { name, line, body }),
                None => Err(GrammarError { line, message: message() }),
            }
        };
        Ok(Grammar { rules: self.rules.into_iter().map(rule).collect::<Result<_, _>>()?, root })
    }

    /// `name ::= choice`, to the end of the line.
    fn rule(&mut self) -> Result<(), GrammarError> {
        if self.text.rest().starts_with('|') {
            let message = "a rule ends with its line; put the | at the end of the line before, or use ( )";
            return Err(self.text.error(message));
        }
        let Some(name) = self.text.name() else { return Err(self.text.error("a rule is expected: name ::= …")) };
        let number = self.number(name);
        let line = self.text.line();
        if let Some(earlier) = self.rules.get(number).filter(|rule| rule.body.is_some()) {
            let message = format!("the rule `{name}` is defined in line {} already; rename one of them", earlier.line);
            return Err(self.text.error(message));
        }
        self.text.space(false);
        if !self.text.take("::=") {
            return Err(self.text.error(format!("`::=` is expected after the rule's name `{name}`")));
        }
        self.text.space(true);
        let body = self.choice()?;
        if !(self.text.rest().is_empty() || self.text.rest().starts_with(['\r', '\n'])) {
            return Err(self.text.unexpected());
        }
        (self.rules[number].body, self.rules[number].line) = (Some(body), line);
        Ok(())
    }

    /// Sequences with `|` between them.
    fn choice(&mut self) -> Result<Node, GrammarError> {
        let mut all = vec![self.sequence()?];
        while self.text.take("|") {
            self.text.space(true);
            all.push(self.sequence()?);
        }
        Ok(one_or(all, Node::Choice))
    }

    /// Items, each with what repeats it.
    fn sequence(&mut self) -> Result<Node, GrammarError> {
        let mut all = Vec::new();
        while let Some(item) = self.item()? {
            self.text.space(self.depth > 0);
            let Some((least, most)) = self.repetition()? else {
                all.push(item);
                continue;
            };
            self.text.space(self.depth > 0);
            if self.text.rest().starts_with(['?', '*', '+', '{']) {
                return Err(self.text.error("one repetition follows another; put ( ) around the first"));
            }
            all.push(Node::Repeat(Box::new(item), least, most));
        }
        Ok(one_or(all, Node::Sequence))
    }

    fn item(&mut self) -> Result<Option<Node>, GrammarError> {
        if let Some(name) = self.text.name() {
            return Ok(Some(Node::Rule(self.number(name))));
        }
        let item = match self.text.rest().chars().next() {
            Some('"') => self.literal()?,
            Some('[') => self.class()?,
            Some('(') => self.group()?,
            Some('.') if self.text.take(".") => Node::Class { except: true, ranges: Vec::new() },
            Some('<' | '!') => {
                return Err(self.text.error("tokens (<…>) cannot be used here; write their text as a literal"));
            }
            Some('?' | '*' | '+' | '{') => {
                return Err(self.text.error("nothing stands before it that could be repeated"));
            }
            _ => return Ok(None),
        };
        Ok(Some(item))
    }

    fn literal(&mut self) -> Result<Node, GrammarError> {
        let line = self.text.line();
        self.text.take("\"");
        let mut text = String::new();
        while !self.text.take("\"") {
            self.check_closed(line, "the literal has no end; close it with \"")?;
            text.push(self.text.character()?);
        }
        Ok(Node::Text(text))
    }

    fn class(&mut self) -> Result<Node, GrammarError> {
        let line = self.text.line();
        self.text.take("[");
        let except = self.text.take("^");
        let mut ranges = Vec::new();
        while !self.text.take("]") {
            self.check_closed(line, "the class has no end; close it with ]")?;
            ranges.push(self.range()?);
        }
        if ranges.is_empty() {
            return Err(self.text.error("the class is empty; put characters between [ and ]"));
        }
        Ok(Node::Class { except, ranges })
    }

    /// A character of a class, or two with `-` between them.
    fn range(&mut self) -> Result<(char, char), GrammarError> {
        let first = self.text.character()?;
        if self.text.rest().starts_with("-]") || !self.text.take("-") {
            return Ok((first, first));
        }
        let last = self.text.character()?;
        if last < first {
            return Err(self.text.error(format!("the range {first:?} to {last:?} is empty; turn it round")));
        }
        Ok((first, last))
    }

    fn group(&mut self) -> Result<Node, GrammarError> {
        if self.depth == DEEPEST {
            let message = format!("more than {DEEPEST} groups within groups; give one of them a rule's name");
            return Err(self.text.error(message));
        }
        let line = self.text.line();
        self.text.take("(");
        self.depth += 1;
        self.text.space(true);
        let node = self.choice()?;
        self.depth -= 1;
        self.check_closed(line, "the group has no end; close it with )")?;
        if self.text.take(")") { Ok(node) } else { Err(self.text.unexpected()) }
    }

    /// Not at the end of the grammar; `line` is where what is still open began.
    fn check_closed(&self, line: usize, message: &str) -> Result<(), GrammarError> {
        let error = || GrammarError { line, message: message.to_owned() };
        if self.text.rest().is_empty() { Err(error()) } else { Ok(()) }
    }

    /// How often what stands before is repeated.
    fn repetition(&mut self) -> Result<Option<(u32, Option<u32>)>, GrammarError> {
        let plain = [("?", (0, Some(1))), ("*", (0, None)), ("+", (1, None))];
        if let Some((_, bounds)) = plain.into_iter().find(|(sign, _)| self.text.take(sign)) {
            return Ok(Some(bounds));
        }
        if !self.text.take("{") {
            return Ok(None);
        }
        self.text.space(false);
        let least = self.count()?;
        self.text.space(false);
        let mut most = Some(least);
        if self.text.take(",") {
            self.text.space(false);
            most = if self.text.rest().starts_with('}') { None } else { Some(self.count()?) };
            self.text.space(false);
        }
        if !self.text.take("}") {
            return Err(self.text.error("a repetition is written {m}, {m,} or {m,n}"));
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.text.error("a repetition {m,n} needs an n of at least m"));
        }
        Ok(Some((least, most)))
    }

    fn count(&mut self) -> Result<u32, GrammarError> {
        let digits = self.text.while_true(|c| c.is_ascii_digit());
        digits.parse().map_err(|_| self.text.error("a repetition is written {m}, {m,} or {m,n}, with whole numbers"))
    }

    /// The place of the rule of that name; a new one if it was not met before.
    fn number(&mut self, name: &'a str) -> usize {
        let line = self.text.line();
        *self.numbers.entry(name).or_insert_with(|| {
            self.rules.push(Named { name, line, body: None });
            self.rules.len() - 1
        })
    }
}

/// A single node as it is.
fn one_or(mut nodes: Vec<Node>, more: impl Fn(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1 { nodes.remove(0) } else { more(nodes) }
}
