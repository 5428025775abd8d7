//! The vocabulary of a GGUF file as plain data.

/// The `tokenizer.ggml.*` keys of a GGUF file as plain data.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `model`: llama (SentencePiece BPE by score), gpt2, gemma4 and whitespace (BPE), bert (WordPiece), t5 (unigram).
    pub model: String,
    /// `pre`: which pre-tokenizer a gpt2 vocabulary uses.
    pub pre: Option<String>,
    /// `tokens`: the pieces, by id.
    pub tokens: Vec<Vec<u8>>,
    /// `scores`, by id; empty if absent.
    pub scores: Vec<f32>,
    /// `token_type`, by id; empty if absent.
    pub kinds: Vec<TokenKind>,
    /// `merges`, best first, two pieces with a space between.
    pub merges: Vec<Vec<u8>>,
    /// `bos_token_id`, `eos_token_id`, `unknown_token_id` …: name without `_token_id`, and id.
    pub special: Vec<(String, u32)>,
    /// `add_bos_token`, `add_eos_token`, `add_space_prefix`, `remove_extra_whitespaces`, `normalizer.lowercase` …: name
    /// and value.
    pub flags: Vec<(String, bool)>,
    /// `precompiled_charsmap` (unigram).
    pub charsmap: Vec<u8>,
    /// `general.name` and `general.architecture`: a few models are known by them to strip spaces around control tokens.
    pub names: Vec<String>,
}

/// What a token is (GGUF `token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Text.
    Normal,
    /// Stands for what the vocabulary lacks.
    Unknown,
    /// Has no text: begin, end, turns.
    Control,
    /// Added by the model's makers; matched whole, has text.
    UserDefined,
    /// Never used.
    Unused,
    /// One byte.
    Byte,
}

/// GGUF's `token_type` numbers (ggml's `llama_token_type`).
const KINDS: [(i32, TokenKind); 6] = [
    (1, TokenKind::Normal),
    (2, TokenKind::Unknown),
    (3, TokenKind::Control),
    (4, TokenKind::UserDefined),
    (5, TokenKind::Unused),
    (6, TokenKind::Byte),
];

impl TokenKind {
    /// The kind that GGUF writes as `number`; one that is not known is normal.
    pub fn from_number(number: i64) -> TokenKind {
        KINDS.iter().find(|row| i64::from(row.0) == number).map_or(TokenKind::Normal, |row| row.1)
    }

    /// How GGUF writes it.
    pub fn number(self) -> i32 {
        KINDS.iter().find(|row| row.1 == self).map_or(1, |row| row.0)
    }
}
