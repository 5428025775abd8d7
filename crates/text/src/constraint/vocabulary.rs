//! A tokenizer as the tree of tokens that grammars are matched with.

use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::{EncodeOptions, TokenKind, Tokenizer};

/// Bytes of a token at most: longer ones (runs of spaces, in some vocabularies) are never allowed.
const LONGEST: usize = 1000;

/// The tokens of a model's vocabulary.
pub(super) struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

impl Vocabulary {
    /// `stops` are the tokens that end an answer.
    pub(super) fn new(tokenizer: &Arc<Tokenizer>, stops: &[u32]) -> Vocabulary {
        let size = u32::try_from(tokenizer.vocab()).unwrap_or(u32::MAX);
        let words: Vec<Vec<u8>> = (0..size).map(|id| word(tokenizer, id)).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, INVALID_TOKEN), &words);
        let stops: Vec<u32> = stops.iter().copied().filter(|id| *id < size).collect();
        let trie = if stops.is_empty() { trie } else { trie.with_eos_tokens(&stops) };
        Vocabulary { tokenizer: Arc::clone(tokenizer), trie }
    }
}

/// What a token is to a grammar: its bytes, or a name behind a byte that is no text.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    const MARKER: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
    let word = match tokenizer.kind(id) {
        TokenKind::Unknown | TokenKind::Unused => Vec::new(),
        TokenKind::Control => [&[MARKER], tokenizer.piece(id).unwrap_or_default().as_bytes()].concat(),
        _ => tokenizer.bytes(id).to_vec(),
    };
    let text = tokenizer.kind(id) != TokenKind::Control;
    if word.len() > LONGEST || word == [MARKER] || text && word.starts_with(&[MARKER]) { Vec::new() } else { word }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// As the model was trained to write it, if that is the same bytes.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let options = EncodeOptions { add_special: false, parse_special: false };
        let encode = |text| self.tokenizer.encode(text, options);
        let tokens = std::str::from_utf8(bytes).map(encode).unwrap_or_default();
        let written = tokens.iter().flat_map(|id| self.trie.token(*id));
        if written.eq(bytes) { tokens } else { self.trie.greedy_tokenize(bytes) }
    }
}
