//! From a tokenizer.json to the vocabulary of a GGUF file that gives the same ids, or a refusal that says why there is none.

mod bpe;
mod probe;
mod recognise;
mod spm;
mod unigram;
mod wordpiece;

use serde_json::Value;

use self::probe::{Level, Probe};

use crate::json::{Config, Fields, model_kind, normalizers, pretokenizers};
use crate::normalize::Normalizer;
use crate::pretokenize::Pretokenizer;
use crate::{GgufVocab, TokenKind, Tokenizer, TokenizerError};

impl GgufVocab {
    /// The vocabulary that says what tokenizer.json and tokenizer_config.json do. Its tokenizer has been made, and gives the
    /// ids of the original on a long text of everything that tokenizers treat differently.
    ///
    /// # Errors
    /// If the files are not what they should be, or GGUF has no such tokenizer.
    pub fn from_json(tokenizer: &[u8], config: Option<&Value>) -> Result<GgufVocab, TokenizerError> {
        let original = Tokenizer::from_json(tokenizer, config)?;
        let json: Value = serde_json::from_slice(tokenizer)
            .map_err(|e| TokenizerError::new("tokenizer.json", format!("is not JSON: {e}")))?;
        let root = Fields::root(&json)?;
        let source = Source {
            normalizers: normalizers(&root.field("normalizer"))?,
            pretokenizers: pretokenizers(&root.field("pre_tokenizer"))?,
            model: root.fields("model")?,
            config: Config::new(config)?,
            original,
        };
        let (vocab, level) = source.vocab()?;
        let composed = source.normalizers.iter().any(|n| matches!(n, Normalizer::Nfc));
        let probe = Probe { level, composed, added: vocab.scores.is_empty() };
        probe.check(&source.original, &Tokenizer::from_gguf(vocab.clone())?)?;
        Ok(vocab)
    }
}

/// A tokenizer.json, read.
struct Source<'a> {
    original: Tokenizer,
    model: Fields<'a>,
    config: Config<'a>,
    normalizers: Vec<Normalizer>,
    pretokenizers: Vec<Pretokenizer>,
}

impl Source<'_> {
    /// The vocabulary, and on which characters it is the same.
    fn vocab(&self) -> Result<(GgufVocab, Level), TokenizerError> {
        match (model_kind(&self.model), self.pretokenizers.last()) {
            ("BPE", Some(Pretokenizer::ByteLevel)) => self.byte_level(),
            ("BPE", _) => Ok((self.sentencepiece()?, Level::All)),
            ("WordPiece", _) => self.wordpiece(),
            ("Unigram", _) => Ok((self.unigram()?, Level::NoExtenders)),
            _ => Err(refused("model.type", "only BPE, WordPiece and unigram vocabularies can be written to GGUF")),
        }
    }

    /// The tokens by id.
    fn pieces(&self, model: &str) -> GgufVocab {
        let ids = 0..self.original.vocab() as u32;
        let piece = |id| self.original.piece(id).map_or_else(|| format!("[PAD{id}]"), str::to_owned);
        let tokens = ids.clone().map(|id| piece(id).into_bytes()).collect();
        GgufVocab { model: model.into(), tokens, kinds: ids.map(|id| self.kind(id)).collect(), ..GgufVocab::default() }
    }

    /// What most kinds of vocabularies have: the tokens by id, what goes around a text, the tokens with roles.
    fn common(&self, model: &str) -> Result<GgufVocab, TokenizerError> {
        let (add_bos, end) = self.around()?;
        let flags = vec![("add_bos_token".into(), add_bos), ("add_eos_token".into(), end.is_some())];
        Ok(GgufVocab { special: self.special(end), flags, ..self.pieces(model) })
    }

    fn kind(&self, id: u32) -> TokenKind {
        let there = self.original.piece(id).is_some();
        if there { self.original.kind(id) } else { TokenKind::Unused }
    }

    /// Tokens with roles, of which `end` goes after a text. As in llama.cpp's files, what is called the end of a text and does not go
    /// there is then the end of a turn.
    fn special(&self, end: Option<u32>) -> Vec<(String, u32)> {
        let named = |piece: Option<&str>| piece.and_then(|piece| self.original.id(piece));
        let eos = end.or(self.original.eos());
        let roles = [
            ("bos", self.original.bos()),
            ("eos", eos),
            ("eot", self.original.eos().filter(|_| self.original.eos() != eos)),
            ("unknown", named(self.config.unknown())),
            ("padding", named(self.config.padding())),
        ];
        roles.into_iter().filter_map(|(role, id)| Some((role.into(), id?))).collect()
    }

    /// What goes before a text, and what after it.
    fn around_text(&self) -> (&[u32], &[u32]) {
        let (before, after) = self.original.around();
        (before, after)
    }

    /// Whether the begin token goes before a text, and which token after it: GGUF can say no more.
    fn around(&self) -> Result<(bool, Option<u32>), TokenizerError> {
        let (before, after) = self.around_text();
        let many = |ids: &[u32], what: &str| {
            refused("post_processor", &format!("puts {} tokens {what} a text; GGUF can put one there", ids.len()))
        };
        let begins = match before[..] {
            [] => false,
            [one] if Some(one) == self.original.bos() => true,
            _ => return Err(many(before, "before")),
        };
        match after[..] {
            [] => Ok((begins, None)),
            [one] => Ok((begins, Some(one))),
            _ => Err(many(after, "after")),
        }
    }
}

/// Sound, but nothing that GGUF has.
fn refused(field: &str, problem: &str) -> TokenizerError {
    TokenizerError::new(field, format!("{problem}; run the model from its safetensors files"))
}
