//! SentencePiece BPE by score, as GGUF's `llama` vocabularies have it.

use crate::merge::{Symbol, merge};
use crate::vocab::Pieces;

/// A scored vocabulary ready to encode.
#[derive(Debug)]
pub(crate) struct Spm {
    /// Pieces and their ids.
    pub pieces: Pieces,
    /// By id.
    pub scores: Vec<f32>,
    /// Length in bytes of the longest piece.
    pub longest: usize,
    /// Tokens of single bytes, for what has no token.
    pub bytes: Box<[Option<u32>; 256]>,
}

/// The symbol of a character that is no token.
const NONE: u32 = u32::MAX;

impl Spm {
    /// Appends the tokens of `text`, spaces already escaped.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let id = |range: &str| self.pieces.get(range).copied();
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .map(|(at, c)| {
                let id = id(&text[at..at + c.len_utf8()]).unwrap_or(NONE);
                Symbol { start: at as u32, len: c.len_utf8() as u32, id }
            })
            .collect();
        merge(&mut symbols, |a, b| {
            let len = (a.len + b.len) as usize;
            if len > self.longest {
                return None;
            }
            let id = id(&text[a.start as usize..a.start as usize + len])?;
            Some((best_first(self.scores.get(id as usize).copied().unwrap_or(0.0)), id))
        });
        for s in symbols {
            let bytes = &text.as_bytes()[s.start as usize..(s.start + s.len) as usize];
            match s.id {
                NONE => out.extend(bytes.iter().filter_map(|b| self.bytes[*b as usize])),
                id => out.push(id),
            }
        }
    }
}

/// A key that is smaller for a higher score.
fn best_first(score: f32) -> u32 {
    // +0.0 makes both zeros one. The bits of floats sort as integers once negative ones are turned round.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_score() {
        let scores = [1e9, 2.0, 0.5, 0.0, -0.1, -3.0, f32::MIN];
        assert!(scores.windows(2).all(|w| best_first(w[0]) < best_first(w[1])));
        assert_eq!(best_first(0.0), best_first(-0.0));
    }
}
