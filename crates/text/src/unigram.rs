//! Unigram language model: the segmentation of the best total score (Viterbi).

use crate::trie::Trie;

/// A unigram vocabulary ready to encode.
#[derive(Debug)]
pub(crate) struct Unigram {
    /// Pieces by their bytes.
    pub trie: Trie,
    /// By id, as they count.
    pub scores: Vec<f64>,
    /// For characters without a piece; a run of them is one token.
    pub unknown: Option<u32>,
    /// What an unknown character costs.
    pub unknown_score: f64,
    /// Tokens of single bytes, instead of the unknown token.
    pub bytes: Option<Box<[Option<u32>; 256]>>,
}

/// The best way to arrive at a place: from where, by which token, at which total score.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    id: Option<u32>,
    score: f64,
}

impl Unigram {
    /// Appends the tokens of normalized text (bytes: normalization may have cut a character).
    pub(crate) fn encode(&self, text: &[u8], out: &mut Vec<u32>) {
        let path = self.path(text);
        let mut pieces: Vec<(usize, usize, Option<u32>)> = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let step = path[end];
            match pieces.last_mut() {
                Some((from, _, None)) if step.id.is_none() => *from = step.from,
                _ => pieces.push((step.from, end, step.id)),
            }
            end = step.from;
        }
        for (from, end, id) in pieces.into_iter().rev() {
            match id {
                Some(id) => out.push(id),
                None => self.unknown(&text[from..end], out),
            }
        }
    }

    fn path(&self, text: &[u8]) -> Vec<Step> {
        let mut path = vec![Step { from: 0, id: None, score: f64::NEG_INFINITY }; text.len() + 1];
        path[0].score = 0.0;
        let mut at = 0;
        while at < text.len() {
            let width = width(text[at]).min(text.len() - at);
            let here = path[at].score;
            let mut arrive = |to: usize, id: Option<u32>, score: f64| {
                // A first way in counts whatever its score, so that every place can be left again.
                if score > path[to].score || path[to].from == 0 && path[to].score == f64::NEG_INFINITY {
                    path[to] = Step { from: at, id, score };
                }
            };
            let mut whole = false;
            for (len, id) in self.trie.prefixes(&text[at..]) {
                whole |= len == width;
                arrive(at + len, Some(id).filter(|id| Some(*id) != self.unknown), here + self.scores[id as usize]);
            }
            if !whole {
                arrive(at + width, None, here + self.unknown_score);
            }
            at += width;
        }
        path
    }

    fn unknown(&self, text: &[u8], out: &mut Vec<u32>) {
        // The unknown token's own piece, written out, is the unknown token.
        let written = self.trie.prefixes(text).any(|(len, id)| len == text.len() && Some(id) == self.unknown);
        match &self.bytes {
            _ if written => out.extend(self.unknown),
            Some(table) if text.iter().all(|b| table[*b as usize].is_some()) => {
                out.extend(text.iter().filter_map(|b| table[*b as usize]));
            }
            _ => out.extend(self.unknown),
        }
    }
}

/// The length of the character that begins with `byte`, as its high bits have it.
fn width(byte: u8) -> usize {
    match byte >> 4 {
        0..=11 => 1,
        12 | 13 => 2,
        14 => 3,
        _ => 4,
    }
}
