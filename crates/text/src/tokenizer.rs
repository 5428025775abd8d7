//! Tokenizers behind one type: from tokenizer.json or from the vocabulary of a GGUF file.

/// The `tokenizer.ggml.*` keys of a GGUF file as plain data.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `model`: llama (SentencePiece BPE by score), gpt2 (BPE), bert (WordPiece), t5 (unigram).
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
    /// `add_bos_token`, `add_eos_token`, `add_space_prefix`, `remove_extra_whitespaces` …: name and value.
    pub flags: Vec<(String, bool)>,
    /// `precompiled_charsmap` (unigram).
    pub charsmap: Vec<u8>,
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

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add what the model wants around a text (begin of sequence …).
    pub add_special: bool,
    /// Recognise control tokens written out in the text (`<|im_end|>`): yes for rendered templates, no for strangers' text.
    pub parse_special: bool,
}

/// Why a tokenizer cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct TokenizerError {
    /// The field at fault.
    pub field: String,
    /// What is wrong and what would fix it.
    pub problem: String,
}

/// Text to token ids and back. Shared between threads.
pub struct Tokenizer {}

impl Tokenizer {
    /// From tokenizer.json and, where there is one, tokenizer_config.json (its `add_bos_token`, special tokens …).
    ///
    /// # Errors
    /// If a file is not what it should be.
    pub fn from_json(tokenizer: &[u8], config: Option<&serde_json::Value>) -> Result<Tokenizer, TokenizerError> {
        let _ = (tokenizer, config);
        todo!()
    }

    /// From a GGUF vocabulary.
    ///
    /// # Errors
    /// If keys are missing, contradict each other or name a model or pre-tokenizer that is not known.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Tokenizer, TokenizerError> {
        let _ = vocab;
        todo!()
    }

    /// Token ids of `text`.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        let _ = (text, options);
        todo!()
    }

    /// Text of `ids` at once; control tokens give none unless `special`. Broken UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32], special: bool) -> String {
        let _ = (ids, special);
        todo!()
    }

    /// The bytes that a token adds to a text (a leading space as the token has it); none for control tokens.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let _ = id;
        todo!()
    }

    /// The piece as the vocabulary writes it, for people (`Ġhello`, `<|im_end|>`); `None` past the end.
    pub fn piece(&self, id: u32) -> Option<&str> {
        let _ = id;
        todo!()
    }

    /// The id of a piece.
    pub fn id(&self, piece: &str) -> Option<u32> {
        let _ = piece;
        todo!()
    }

    /// Number of ids.
    pub fn vocab(&self) -> usize {
        todo!()
    }

    /// Begin of sequence.
    pub fn bos(&self) -> Option<u32> {
        todo!()
    }

    /// End of sequence.
    pub fn eos(&self) -> Option<u32> {
        todo!()
    }
}
