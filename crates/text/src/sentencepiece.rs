//! `tokenizer.model` of SentencePiece, as the vocabulary of a GGUF file: a message of Protocol Buffers (`ModelProto`).

use std::borrow::Cow;

use crate::{GgufVocab, TokenKind, TokenizerError};

/// Fields of the messages that are read, by number.
mod field {
    pub(super) const PIECES: u64 = 1;
    pub(super) const TRAINER: u64 = 2;
    pub(super) const NORMALIZER: u64 = 3;

    pub(super) const PIECE: u64 = 1;
    pub(super) const SCORE: u64 = 2;
    pub(super) const TYPE: u64 = 3;

    pub(super) const MODEL_TYPE: u64 = 3;
    pub(super) const SUFFIX_SPACES: u64 = 24;
    /// Ids of special tokens, in this order, and what they are where nothing is said.
    pub(super) const ROLES: [(u64, &str, i64); 4] =
        [(40, "unknown", 0), (41, "bos", 1), (42, "eos", 2), (43, "padding", -1)];

    pub(super) const NAME: u64 = 1;
    pub(super) const CHARSMAP: u64 = 2;
    pub(super) const ADD_SPACE: u64 = 3;
    pub(super) const MERGE_SPACES: u64 = 4;
    pub(super) const ESCAPE_SPACES: u64 = 5;
}

/// A field's value: what a number or a stretch of bytes stands for, its field says.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The next field; `None` at the end.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, TokenizerError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return Err(cut_off()),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn number(&mut self) -> Result<u64, TokenizerError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(cut_off())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], TokenizerError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn error(field: &str, problem: impl Into<String>) -> TokenizerError {
    TokenizerError::new(field, problem)
}

fn cut_off() -> TokenizerError {
    error("tokenizer.model", "is cut off or no SentencePiece model; fetch it again")
}

/// What is read of a model besides its pieces.
struct Model<'a> {
    kind: u64,
    roles: [i64; 4],
    normalizer: Cow<'a, str>,
    vocab: GgufVocab,
}

impl GgufVocab {
    /// The vocabulary of a `tokenizer.model` of SentencePiece: by score (BPE) or by likelihood (unigram).
    ///
    /// # Errors
    /// If the file is not what it should be, or does what no vocabulary of GGUF does.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<GgufVocab, TokenizerError> {
        let mut model = Model {
            kind: 1,
            roles: field::ROLES.map(|(_, _, id)| id),
            normalizer: "".into(),
            vocab: GgufVocab {
                flags: vec![flag("add_space_prefix", true), flag("remove_extra_whitespaces", true)],
                ..GgufVocab::default()
            },
        };
        let mut message = Message(bytes);
        while let Some((number, value)) = message.next()? {
            match (number, value) {
                (field::PIECES, Value::Bytes(piece)) => model.piece(Message(piece))?,
                (field::TRAINER, Value::Bytes(trainer)) => model.trainer(Message(trainer))?,
                (field::NORMALIZER, Value::Bytes(normalizer)) => model.normalizer(Message(normalizer))?,
                _ => {}
            }
        }
        model.vocab()
    }
}

fn flag(name: &str, value: bool) -> (String, bool) {
    (name.to_owned(), value)
}

impl<'a> Model<'a> {
    fn piece(&mut self, mut message: Message<'_>) -> Result<(), TokenizerError> {
        let (mut piece, mut score, mut kind) = (Vec::new(), 0.0, TokenKind::Normal);
        while let Some((number, value)) = message.next()? {
            match (number, value) {
                (field::PIECE, Value::Bytes(bytes)) => piece = bytes.to_vec(),
                (field::SCORE, Value::Bytes(bytes)) => {
                    score = f32::from_le_bytes(*bytes.first_chunk().ok_or_else(cut_off)?);
                }
                // The numbers are GGUF's.
                (field::TYPE, Value::Number(number)) => kind = TokenKind::from_number(number as i64),
                _ => {}
            }
        }
        if self.vocab.tokens.len() >= crate::vocab::MOST_IDS as usize {
            return Err(error("pieces", "are more than any vocabulary has; this is no tokenizer"));
        }
        self.vocab.tokens.push(piece);
        self.vocab.scores.push(score);
        self.vocab.kinds.push(kind);
        Ok(())
    }

    fn trainer(&mut self, mut message: Message<'_>) -> Result<(), TokenizerError> {
        while let Some((number, value)) = message.next()? {
            let Value::Number(value) = value else { continue };
            match number {
                field::MODEL_TYPE => self.kind = value,
                field::SUFFIX_SPACES if value != 0 => {
                    return Err(error("trainer_spec.treat_whitespace_as_suffix", "is not supported"));
                }
                _ => {
                    let role = field::ROLES.iter().position(|(role, ..)| *role == number);
                    // Negative numbers are written as 64 bits of two's complement.
                    role.into_iter().for_each(|role| self.roles[role] = value as i64 as i32 as i64);
                }
            }
        }
        Ok(())
    }

    fn normalizer(&mut self, mut message: Message<'a>) -> Result<(), TokenizerError> {
        while let Some((number, value)) = message.next()? {
            match (number, value) {
                (field::NAME, Value::Bytes(name)) => self.normalizer = String::from_utf8_lossy(name),
                (field::CHARSMAP, Value::Bytes(map)) => self.vocab.charsmap = map.to_vec(),
                (field::ADD_SPACE, Value::Number(yes)) => self.vocab.flags[0].1 = yes != 0,
                (field::MERGE_SPACES, Value::Number(yes)) => self.vocab.flags[1].1 = yes != 0,
                (field::ESCAPE_SPACES, Value::Number(0)) => {
                    return Err(error("normalizer_spec.escape_whitespaces", "is off, which is not supported"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn vocab(mut self) -> Result<GgufVocab, TokenizerError> {
        self.vocab.model = match self.kind {
            1 => "t5",
            2 => "llama",
            3 => return Err(error("trainer_spec.model_type", "WORD is not supported (UNIGRAM and BPE are)")),
            _ => return Err(error("trainer_spec.model_type", "CHAR is not supported (UNIGRAM and BPE are)")),
        }
        .into();
        if self.vocab.tokens.is_empty() {
            return Err(cut_off());
        }
        if self.vocab.model == "llama" {
            // GGUF's vocabularies by score take text as it is.
            if !self.vocab.charsmap.is_empty() {
                let problem = format!("{:?} changes characters, which is supported with UNIGRAM only", self.normalizer);
                return Err(error("normalizer_spec.name", problem));
            }
            if self.vocab.flags[1].1 {
                let problem = "is on, which is supported with UNIGRAM only";
                return Err(error("normalizer_spec.remove_extra_whitespaces", problem));
            }
        }
        let ids =
            field::ROLES.iter().zip(self.roles).filter_map(|((_, role, _), id)| Some((role, u32::try_from(id).ok()?)));
        self.vocab.special = ids.map(|(role, id)| ((*role).to_owned(), id)).collect();
        Ok(self.vocab)
    }
}
