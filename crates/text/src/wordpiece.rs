//! WordPiece: the longest known beginning, again and again, or the whole word is unknown.

use crate::vocab::Pieces;

/// A WordPiece vocabulary ready to encode.
#[derive(Debug)]
pub(crate) struct WordPiece {
    /// Pieces and their ids.
    pub pieces: Pieces,
    /// Length in bytes of the longest piece.
    pub longest: usize,
    /// Written before a word (`▁` in GGUF files).
    pub first: &'static str,
    /// Written before each further piece of a word (`##` in tokenizer.json).
    pub prefix: String,
    /// Words of more characters than this are unknown.
    pub most_chars: usize,
    /// For words that cannot be put together.
    pub unknown: Option<u32>,
}

impl WordPiece {
    /// Appends the tokens of one word.
    pub(crate) fn encode(&self, word: &str, out: &mut Vec<u32>) {
        let before = out.len();
        if word.chars().nth(self.most_chars).is_some() || !self.pieces_of(word, out) {
            out.truncate(before);
            out.extend(self.unknown);
        }
    }

    fn pieces_of(&self, word: &str, out: &mut Vec<u32>) -> bool {
        let word = format!("{}{word}", self.first);
        let mut at = 0;
        let mut candidate = String::new();
        while at < word.len() {
            candidate.clear();
            if at > 0 {
                candidate.push_str(&self.prefix);
            }
            let prefix = candidate.len();
            let end = word.floor_char_boundary(word.len().min(at + self.longest.saturating_sub(prefix)));
            candidate.push_str(&word[at..end.max(at)]);
            while candidate.len() > prefix && !self.pieces.contains_key(candidate.as_str()) {
                candidate.pop();
            }
            if candidate.len() == prefix {
                return false;
            }
            out.extend(self.pieces.get(candidate.as_str()));
            at += candidate.len() - prefix;
        }
        true
    }
}
