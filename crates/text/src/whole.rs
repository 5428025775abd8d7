//! Texts that a model reads whole: cut to a length, or two in one.

use crate::Tokenizer;

impl Tokenizer {
    /// Cuts the tokens of a text, with what goes around it, to at most `most`: what goes after the text stays. Says whether it did.
    pub fn cut(&self, ids: &mut Vec<u32>, most: usize) -> bool {
        let after = &self.around().1;
        if ids.len() <= most {
            return false;
        }
        let ends = ids.ends_with(after) && after.len() < most;
        ids.truncate(if ends { most - after.len() } else { most });
        if ends {
            ids.extend(after);
        }
        true
    }

    /// Two texts as one, of at most `most` tokens, and where the second begins: the first is cut to half of them and the second to what
    /// is left. Says whether one was cut.
    pub fn pair(&self, [first, second]: [&[u32]; 2], most: usize) -> (Vec<u32>, usize, bool) {
        let (before, after) = self.around();
        let room = most.saturating_sub(before.len() + self.between().len() + after.len());
        let [asked, given] = [first.len(), second.len()];
        let first = &first[..asked.min(room.div_ceil(2).max(room.saturating_sub(given)))];
        let second = &second[..given.min(room - first.len())];
        let begin = [before, first, self.between()].concat();
        ([&begin, second, after].concat(), begin.len(), first.len() + second.len() < asked + given)
    }
}
