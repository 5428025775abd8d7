//! From rules to a grammar in Lark.

use super::{Grammar, GrammarError, Node, order, parse};
use crate::constraint::quoted;

impl Grammar {
    /// The grammar as Lark, whose rule `start` is `root`; its rules may refer to themselves.
    ///
    /// # Errors
    /// If it is malformed, refers to a rule that is not there or has no `root`.
    pub(crate) fn lark(source: &str) -> Result<String, GrammarError> {
        let grammar = parse::grammar(source)?;
        let mut writer = Writer { circular: order::circular(&grammar), terminals: String::new(), parts: 0 };
        let root = writer.name(grammar.root);
        let mut lark = format!("start: {root}\n");
        for (i, rule) in grammar.rules.iter().enumerate() {
            let body = if writer.circular[i] { writer.rule(&rule.body) } else { writer.terminal(&rule.body) };
            lark += &format!("{}: {body}\n", writer.name(i));
        }
        Ok(lark + &writer.terminals)
    }
}

/// Writes what leads to no rule that refers to itself as terminals, which are matched exactly and fast; runs of such
/// parts are one terminal, because a terminal takes as much as it can.
struct Writer {
    /// Whether each rule leads to one that refers to itself.
    circular: Vec<bool>,
    /// Terminals made of parts of rules.
    terminals: String,
    parts: usize,
}

impl Writer {
    fn name(&self, rule: usize) -> String {
        if self.circular[rule] { format!("rule_{rule}") } else { format!("RULE_{rule}") }
    }

    fn is_terminal(&self, node: &Node) -> bool {
        match node {
            Node::Rule(rule) => !self.circular[*rule],
            other => other.parts().iter().all(|part| self.is_terminal(part)),
        }
    }

    /// A node of a rule.
    fn rule(&mut self, node: &Node) -> String {
        if self.is_terminal(node) {
            return self.part(std::slice::from_ref(node));
        }
        match node {
            Node::Sequence(parts) => self.sequence(parts),
            Node::Choice(parts) => {
                let all: Vec<String> = parts.iter().map(|part| self.rule(part)).collect();
                format!("({})", all.join(" | "))
            }
            Node::Repeat(part, least, most) => format!("({}){}", self.rule(part), times(*least, *most)),
            Node::Rule(rule) => self.name(*rule),
            Node::Text(_) | Node::Class { .. } => self.terminal(node),
        }
    }

    fn sequence(&mut self, parts: &[Node]) -> String {
        let mut all = Vec::new();
        let runs: Vec<&[Node]> = parts.chunk_by(|a, b| self.is_terminal(a) && self.is_terminal(b)).collect();
        for run in runs {
            all.push(if self.is_terminal(&run[0]) { self.part(run) } else { self.rule(&run[0]) });
        }
        all.join(" ")
    }

    /// A terminal of its own for these nodes, one after the other.
    fn part(&mut self, nodes: &[Node]) -> String {
        let body: Vec<String> = nodes.iter().map(|node| self.terminal(node)).collect();
        self.parts += 1;
        self.terminals += &format!("PART_{}: {}\n", self.parts, body.join(" "));
        format!("PART_{}", self.parts)
    }

    fn terminal(&self, node: &Node) -> String {
        let all = |parts: &[Node], between: &str| {
            let all: Vec<String> = parts.iter().map(|part| self.terminal(part)).collect();
            format!("({})", all.join(between))
        };
        match node {
            Node::Text(text) => quoted(text),
            Node::Class { except, ranges } => class(*except, ranges),
            Node::Rule(rule) => self.name(*rule),
            Node::Sequence(parts) if parts.is_empty() => quoted(""),
            Node::Sequence(parts) => all(parts, " "),
            Node::Choice(parts) => all(parts, " | "),
            Node::Repeat(part, least, most) => format!("({}){}", self.terminal(part), times(*least, *most)),
        }
    }
}

fn times(least: u32, most: Option<u32>) -> String {
    match (least, most) {
        (0, None) => "*".into(),
        (1, None) => "+".into(),
        (0, Some(1)) => "?".into(),
        (_, None) => format!("{{{least},}}"),
        (_, Some(most)) => format!("{{{least},{most}}}"),
    }
}

fn class(except: bool, ranges: &[(char, char)]) -> String {
    let code = |c: char| format!("\\x{{{:x}}}", u32::from(c));
    let ranges: String = ranges.iter().map(|(first, last)| format!("{}-{}", code(*first), code(*last))).collect();
    match (except, ranges.is_empty()) {
        (true, true) => "/(?s:.)/".into(),
        (true, false) => format!("/[^{ranges}]/"),
        (false, _) => format!("/[{ranges}]/"),
    }
}
