//! Which of GGUF's named pre-tokenizers cuts text as a tokenizer.json's steps do: told by what they do to a long text in which
//! every kind of character meets every other, not by how their patterns are written.

use std::sync::LazyLock;

use super::probe::{self, Level};
use super::refused;
use crate::TokenizerError;
use crate::pre::{Rule, pre, rows};
use crate::pretokenize::{Behavior, Piece, Pretokenizer};

/// The name of the pre-tokenizer that does what `steps` do, and on which characters; of several with the same cuts, one that
/// keeps pieces that are tokens `whole` (or does not) if there is one.
///
/// # Errors
/// If none does.
pub(super) fn name(steps: &[Pretokenizer], whole: bool) -> Result<(&'static str, Level), TokenizerError> {
    for level in Level::ORDER {
        let text = probe::characters(level);
        let wanted = cut(steps, &text);
        let same = ROWS.iter().filter(|(_, splits)| cut(splits, &text) == wanted);
        let found: Vec<&str> = same.flat_map(|(names, _)| names.iter().copied()).collect();
        let usable = || found.iter().filter(|name| **name != "default" && pre(name).is_some_and(|pre| !pre.escaped));
        let kept = usable().find(|name| pre(name).is_some_and(|pre| pre.whole == whole));
        if let Some(name) = kept.or(usable().next()) {
            return Ok((name, level));
        }
    }
    Err(refused("pre_tokenizer", "cuts text as none of the pre-tokenizers that GGUF has names for"))
}

/// The rows of the table, ready to cut.
static ROWS: LazyLock<Vec<(&[&str], Vec<Pretokenizer>)>> =
    LazyLock::new(|| rows().filter_map(|(names, rules)| Some((names, splits(rules)?))).collect());

fn splits(rules: &[Rule]) -> Option<Vec<Pretokenizer>> {
    let split = |pattern| Pretokenizer::Split { pattern, behavior: Behavior::Isolated, invert: false };
    rules.iter().map(|rule| rule.splitter().ok().map(split)).collect()
}

/// The lengths of the pieces.
fn cut(steps: &[Pretokenizer], text: &str) -> Vec<usize> {
    let pieces = steps.iter().fold(vec![Piece { text: text.into(), first: true }], |pieces, step| {
        let mut cut = Vec::with_capacity(pieces.len());
        pieces.into_iter().for_each(|piece| step.apply(piece, &mut cut));
        cut
    });
    pieces.iter().map(|piece| piece.text.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text tells every row from every other, but for those whose patterns say the same in other words.
    #[test]
    fn names_are_found_by_what_they_do() {
        let text = probe::characters(Level::All);
        let mut seen: Vec<(Vec<usize>, Vec<&str>)> = Vec::new();
        assert_eq!(ROWS.len(), rows().count(), "every pattern compiles");
        for (names, splits) in ROWS.iter() {
            let cuts = cut(splits, &text);
            match seen.iter_mut().find(|(other, _)| *other == cuts) {
                Some((_, same)) => same.push(names[0]),
                None => seen.push((cuts, vec![names[0]])),
            }
        }
        let same: Vec<_> = seen.into_iter().map(|(_, names)| names).filter(|names| names.len() > 1).collect();
        assert_eq!(same, [vec!["llama3", "dbrx"], vec!["gpt-2", "jina-v1-en"], vec!["qwen2", "bailingmoe"]]);
    }

    #[test]
    fn tokens_that_stay_whole_choose_among_names() {
        let rules = rows().find(|(names, _)| names[0] == "llama3").expect("a row").1;
        let steps = splits(rules).expect("patterns compile");
        assert_eq!((name(&steps, true), name(&steps, false)), (Ok(("llama3", Level::All)), Ok(("dbrx", Level::All))));
    }

    #[test]
    fn other_patterns_are_refused() {
        let steps = splits(&[Rule::Pattern(r"\p{L}\p{N}")]).expect("a pattern");
        assert!(name(&steps, false).expect_err("no model has it").problem.contains("none of the pre-tokenizers"));
    }
}
