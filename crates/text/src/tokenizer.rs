//! Tokenizers behind one type: from tokenizer.json or from the vocabulary of a GGUF file.

use crate::ChatPrompt;
use crate::added::Special;
use crate::pipeline::Pipeline;
use crate::vocab::Vocab;
use crate::{gguf, json};

/// The `tokenizer.ggml.*` keys of a GGUF file as plain data.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `model`: llama (SentencePiece BPE by score), gpt2 and gemma4 (BPE), bert (WordPiece), t5 (unigram).
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

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add what the model wants around a text (begin of sequence …).
    pub add_special: bool,
    /// Recognise control tokens written out in the text (`<|im_end|>`): yes for rendered templates, no for strangers' text.
    pub parse_special: bool,
}

/// Why a tokenizer cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct TokenizerError {
    /// The field at fault.
    pub field: String,
    /// What is wrong and what would fix it.
    pub problem: String,
}

impl TokenizerError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> TokenizerError {
        TokenizerError { field: field.into(), problem: problem.into() }
    }
}

/// Text to token ids and back. Shared between threads.
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) vocab: Vocab,
    pub(crate) pipeline: Pipeline,
    /// What goes around a text.
    pub(crate) around: (Vec<u32>, Vec<u32>),
    /// Whether encoding puts a space before a text, which decoding takes away.
    pub(crate) adds_space: bool,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) ends: Vec<u32>,
}

impl Tokenizer {
    /// From tokenizer.json and, where there is one, tokenizer_config.json (its `add_bos_token`, special tokens …).
    ///
    /// # Errors
    /// If a file is not what it should be.
    pub fn from_json(tokenizer: &[u8], config: Option<&serde_json::Value>) -> Result<Tokenizer, TokenizerError> {
        json::tokenizer(tokenizer, config)
    }

    /// From a GGUF vocabulary. A missing `pre` means llama.cpp's default.
    ///
    /// # Errors
    /// If keys are missing, contradict each other or name a model or pre-tokenizer that is not known.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Tokenizer, TokenizerError> {
        gguf::tokenizer(vocab)
    }

    /// Token ids of `text`. Takes time in proportion to the length of `text`, whatever it says.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        if options.add_special {
            ids.extend(&self.around.0);
        }
        let special = if options.parse_special { Special::All } else { Special::None };
        self.pipeline.encode(text, special, &mut ids);
        if options.add_special {
            ids.extend(&self.around.1);
        }
        ids
    }

    /// Token ids of a rendered conversation. Only what the template wrote becomes a control token or another of its marks:
    /// `<|im_end|>` in a message is text, and so is `<tool_response>`. A begin of sequence is added if the vocabulary wants one and the template wrote none; there are never two.
    pub fn encode_chat(&self, prompt: &ChatPrompt) -> Vec<u32> {
        let mut ids = Vec::with_capacity(prompt.text().len() / 3 + 2);
        let begin = self.bos.filter(|bos| self.around.0.contains(bos));
        ids.extend(begin);
        self.pipeline.encode(prompt.text(), Special::In(prompt), &mut ids);
        if let Some(bos) = self.bos {
            let written = ids[usize::from(begin.is_some())..].iter().take_while(|id| **id == bos).count();
            let wanted = usize::from(begin.is_some() || written > 0);
            ids.drain(wanted..written + usize::from(begin.is_some()));
        }
        ids
    }

    /// Text of `ids` at once, as a whole text: the space that encoding puts before a text is taken away. Control tokens
    /// give no text unless `special`. Broken UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32], special: bool) -> String {
        let mut text = Vec::new();
        let mut start = self.adds_space;
        for &id in ids {
            let shown = special || !self.is_control(id);
            let bytes = if shown { self.vocab.bytes(id) } else { &[] };
            let added = usize::from(start && !self.is_control(id) && bytes.starts_with(b" "));
            start &= bytes.is_empty() || self.is_control(id);
            text.extend_from_slice(&bytes[added..]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The bytes that a token adds to a text (a leading space as the token has it); none for control tokens.
    pub fn bytes(&self, id: u32) -> &[u8] {
        if self.is_control(id) { &[] } else { self.vocab.bytes(id) }
    }

    /// The piece as the vocabulary writes it, for people (`Ġhello`, `<|im_end|>`); `None` past the end.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.vocab.piece(id)
    }

    /// The id of a piece.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.vocab.id(piece)
    }

    /// What a token is; unused past the end.
    pub fn kind(&self, id: u32) -> TokenKind {
        self.vocab.kind(id)
    }

    /// Number of ids.
    pub fn vocab(&self) -> usize {
        self.vocab.len()
    }

    /// Begin of sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// End of sequence.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// All tokens that end an answer, as far as the vocabulary tells: end of sequence, end of turn, end of message.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether a text's first space may be one that encoding put there.
    pub(crate) fn adds_space(&self) -> bool {
        self.adds_space
    }

    fn is_control(&self, id: u32) -> bool {
        matches!(self.vocab.kind(id), TokenKind::Control | TokenKind::Unknown)
    }
}
