//! Grammars in llama.cpp's GBNF notation, without recursion: parsed to rules, compiled to a regular expression.
//!
//! ```
//! let grammar = text::Grammar::parse("root ::= \"The \" animal \" sings.\"\nanimal ::= \"whinchat\" | \"wren\"")?;
//! let matcher = grammar.matcher()?;
//! assert!(matcher.matches("The wren sings.") && !matcher.matches("The wren"));
//! # Ok::<(), text::GrammarError>(())
//! ```

mod compile;
mod cursor;
mod lark;
mod order;
mod parse;

pub use compile::GrammarMatcher;

/// Why a grammar cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct GrammarError {
    /// The line in the grammar, from 1.
    pub line: usize,
    /// What is wrong there and what would fix it.
    pub message: String,
}

/// A grammar: rules, one of which is `root`. None refers to itself, directly or through others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grammar {
    rules: Vec<Rule>,
    root: usize,
}

/// A rule by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    name: String,
    line: usize,
    body: Node,
}

/// What a rule is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// This text.
    Text(String),
    /// A character of these ranges, or (`except`) any other.
    Class { except: bool, ranges: Vec<(char, char)> },
    /// A rule, by its place in the grammar.
    Rule(usize),
    /// One after the other.
    Sequence(Vec<Node>),
    /// One of them.
    Choice(Vec<Node>),
    /// The same several times: at least, at most.
    Repeat(Box<Node>, u32, Option<u32>),
}

impl Grammar {
    /// Reads a grammar: literals, classes, `.`, references, sequences, `|`, groups, `? * + {m,n}`, comments.
    ///
    /// # Errors
    /// If it is malformed, refers to a rule that is not there, has no `root`, or a rule refers to itself.
    pub fn parse(source: &str) -> Result<Grammar, GrammarError> {
        let grammar = parse::grammar(source)?;
        order::bottom_up(&grammar)?;
        Ok(grammar)
    }

    /// What tells whether a text is one of the grammar's.
    ///
    /// # Errors
    /// If the grammar written out, without references, is too large.
    pub fn matcher(&self) -> Result<GrammarMatcher, GrammarError> {
        compile::matcher(self)
    }

    /// The names of its rules, in the order in which they stand.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }
}

impl Node {
    /// The nodes that it is made of.
    fn parts(&self) -> &[Node] {
        match self {
            Node::Sequence(parts) | Node::Choice(parts) => parts,
            Node::Repeat(part, ..) => std::slice::from_ref(part),
            Node::Text(_) | Node::Class { .. } | Node::Rule(_) => &[],
        }
    }
}
