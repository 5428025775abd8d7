//! From rules to a regular expression that takes exactly the texts of `root`.

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::{Grammar, GrammarError, Node, order};

/// Parts (characters, classes, references …) of a grammar with every reference written out: about the states of the
/// automaton, each of which a character of a text may have to look at in the worst case.
const LARGEST: u64 = 1_000_000;
/// Levels of it: as many as the regular expressions' own parser allows.
const DEEPEST: u32 = 250;
/// Bytes of the automaton.
const AUTOMATON: usize = 64 << 20;
/// Bytes of its states that are kept between texts.
const CACHE: usize = 16 << 20;

/// Tells whether a text is one of a grammar's. Shared between threads.
#[derive(Clone, Debug)]
pub struct GrammarMatcher {
    regex: Regex,
}

impl GrammarMatcher {
    /// Whether the whole of `text` is made by the rule `root`.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

pub(super) fn matcher(grammar: &Grammar) -> Result<GrammarMatcher, GrammarError> {
    check_size(grammar)?;
    let root = &grammar.rules[grammar.root];
    let whole = Hir::concat(vec![Hir::look(Look::Start), hir(grammar, &root.body), Hir::look(Look::End)]);
    let config = Regex::config()
        .which_captures(WhichCaptures::Implicit)
        .auto_prefilter(false)
        .nfa_size_limit(Some(AUTOMATON))
        .hybrid_cache_capacity(CACHE);
    let built = Regex::builder().configure(config).build_from_hir(&whole);
    let regex = built.map_err(|_| too_large(root.line, "the grammar"))?;
    Ok(GrammarMatcher { regex })
}

/// How large a node is with every reference in it written out.
#[derive(Clone, Copy, Default)]
struct Size {
    parts: u64,
    levels: u32,
}

/// Measures every rule before any is written out.
fn check_size(grammar: &Grammar) -> Result<(), GrammarError> {
    let mut sizes = vec![Size::default(); grammar.rules.len()];
    for rule in order::bottom_up(grammar)? {
        let named = &grammar.rules[rule];
        let size = measure(&named.body, &sizes);
        if size.parts > LARGEST || size.levels > DEEPEST {
            return Err(too_large(named.line, &format!("the rule `{}`", named.name)));
        }
        sizes[rule] = size;
    }
    Ok(())
}

fn measure(node: &Node, rules: &[Size]) -> Size {
    let own = match node {
        Node::Rule(_) => 0,
        Node::Text(text) => text.len() as u64,
        // Other than ASCII it takes several states for the bytes of UTF-8.
        Node::Class { except, ranges } => 8 * (u64::from(*except) + ranges.len() as u64),
        Node::Sequence(parts) | Node::Choice(parts) => parts.len() as u64,
        Node::Repeat(..) => 1,
    };
    let used = if let Node::Rule(rule) = node { rules[*rule] } else { Size::default() };
    let mut size = Size { parts: used.parts + own + 1, levels: used.levels };
    for part in node.parts().iter().map(|part| measure(part, rules)) {
        size.parts = size.parts.saturating_add(part.parts);
        size.levels = size.levels.max(part.levels);
    }
    if let Node::Repeat(_, least, most) = node {
        size.parts = size.parts.saturating_mul(u64::from(most.unwrap_or(*least).max(1)));
    }
    Size { levels: size.levels + 1, ..size }
}

fn too_large(line: usize, what: &str) -> GrammarError {
    let message = format!(
        "{what}, with its references written out, has more than {LARGEST} parts or {DEEPEST} levels; repeat less often or \
         name fewer alternatives"
    );
    GrammarError { line, message }
}

/// A node as a regular expression, references written out.
fn hir(grammar: &Grammar, node: &Node) -> Hir {
    let all = |parts: &[Node]| parts.iter().map(|part| hir(grammar, part)).collect();
    match node {
        Node::Text(text) => Hir::literal(text.as_bytes()),
        Node::Class { except, ranges } => class(*except, ranges),
        Node::Rule(rule) => hir(grammar, &grammar.rules[*rule].body),
        Node::Sequence(parts) => Hir::concat(all(parts)),
        Node::Choice(parts) => Hir::alternation(all(parts)),
        Node::Repeat(part, min, max) => {
            let sub = Box::new(hir(grammar, part));
            Hir::repetition(Repetition { min: *min, max: *max, greedy: true, sub })
        }
    }
}

fn class(except: bool, ranges: &[(char, char)]) -> Hir {
    let mut class = ClassUnicode::new(ranges.iter().map(|(first, last)| ClassUnicodeRange::new(*first, *last)));
    if except {
        class.negate();
    }
    Hir::class(Class::Unicode(class))
}
