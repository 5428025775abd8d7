//! Tokenizers from the vocabulary of a GGUF file, id for id what llama.cpp gives.

use crate::added::{AddedToken, AddedTokens, Order};
use crate::alphabet;
use crate::bpe::{Bpe, Merges, Unknown, Whole};
use crate::charsmap::Charsmap;
use crate::normalize::Normalizer;
use crate::pipeline::{Model, Pipeline};
use crate::pre::{Pre, names, pre};
use crate::pretokenize::{Behavior, CharTest, Pretokenizer};
use crate::special::{Special, correct, ends, fill_in};
use crate::split::Splitter;
use crate::spm::Spm;
use crate::tokenizer::Parts;
use crate::trie::Trie;
use crate::ugm::UgmNormalizer;
use crate::unigram::Unigram;
use crate::vocab::{Pieces, Vocab, byte_ids, byte_piece};
use crate::wordpiece::WordPiece;
use crate::{GgufVocab, TokenKind, Tokenizer, TokenizerError};

/// A family of vocabularies (`tokenizer.ggml.model`).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    Spm,
    Bpe,
    WordPiece,
    Unigram,
}

/// Whose idea of tokens written in a text it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Whose {
    /// llama.cpp's: all are found in the text as it is.
    LlamaCpp,
    /// SentencePiece's: those that are text are found once spaces are escaped.
    SentencePiece,
}

/// Makes the tokenizer of `vocab`.
pub(crate) fn tokenizer(vocab: GgufVocab, whose: Whose) -> Result<Tokenizer, TokenizerError> {
    let family = match vocab.model.as_str() {
        "llama" => Family::Spm,
        "gpt2" | "gemma4" | "whitespace" => Family::Bpe,
        "bert" => Family::WordPiece,
        "t5" => Family::Unigram,
        "" => return Err(key("model", "is missing; the file has no vocabulary, convert it again")),
        other => {
            let known = "llama, gpt2, gemma4, whitespace, bert and t5 are";
            return Err(key("model", &format!("{other:?} is not supported ({known})")));
        }
    };
    check_lengths(&vocab)?;
    let pieces: Vec<String> = (vocab.tokens.iter().enumerate())
        .map(|(id, piece)| match piece.is_empty() {
            true => format!("[EMPTY_{id}]"),
            false => String::from_utf8_lossy(piece).into_owned(),
        })
        .collect();
    let ids: Pieces = pieces.iter().enumerate().map(|(id, piece)| (piece.as_str().into(), id as u32)).collect();
    let source = Source { family, whose, pre: pre_tokenizer(&vocab, family)?, pieces, ids, vocab };
    source.tokenizer()
}

fn check_lengths(vocab: &GgufVocab) -> Result<(), TokenizerError> {
    let tokens = vocab.tokens.len();
    if tokens == 0 {
        return Err(key("tokens", "is missing or empty; the file has no vocabulary, convert it again"));
    }
    for (name, len) in [("scores", vocab.scores.len()), ("token_type", vocab.kinds.len())] {
        if len != 0 && len < tokens {
            return Err(key(name, &format!("has {len} entries for {tokens} tokens; convert the model again")));
        }
    }
    Ok(())
}

fn pre_tokenizer(vocab: &GgufVocab, family: Family) -> Result<Pre, TokenizerError> {
    let name = match (&vocab.pre, vocab.model.as_str(), family) {
        (_, "gemma4", _) => "gemma4",
        (Some(name), _, Family::Bpe) if !name.is_empty() => name,
        (_, "whitespace", _) => "whitespace",
        _ => "default",
    };
    pre(name).ok_or_else(|| {
        let known: Vec<&str> = names().collect();
        key("pre", &format!("{name:?} is not known; known are {}", known.join(", ")))
    })
}

fn key(name: &str, problem: &str) -> TokenizerError {
    TokenizerError::new(format!("tokenizer.ggml.{name}"), problem)
}

/// All that a tokenizer is made of.
struct Source {
    vocab: GgufVocab,
    family: Family,
    whose: Whose,
    pre: Pre,
    pieces: Vec<String>,
    ids: Pieces,
}

impl Source {
    fn tokenizer(self) -> Result<Tokenizer, TokenizerError> {
        let special = self.special();
        let mut kinds: Vec<TokenKind> = (0..self.pieces.len()).map(|id| self.kind(id)).collect();
        let id = |piece: &str| self.ids.get(piece).copied();
        correct(id, &special, &mut kinds);
        let ends = ends(id, &special);
        let fill_in = fill_in(id, &special);
        let mut vocab = Vocab::default();
        for (id, (piece, &kind)) in self.pieces.iter().zip(&kinds).enumerate() {
            vocab.insert(id as u32, piece, kind, self.bytes(piece, kind));
        }
        let adds_space = match self.family {
            Family::Spm | Family::Unigram => self.add_space(),
            Family::WordPiece => true,
            Family::Bpe => false,
        };
        let added = self.added(&kinds);
        let around = self.around(&special);
        let between = self.between(&special, &around.1);
        let (bos, eos) = (special.get("bos"), special.get("eos"));
        let pipeline = self.pipeline(added, &special)?;
        Ok(Tokenizer::of(Parts { vocab, pipeline, around, between, adds_space, bos, eos, ends, fill_in }))
    }

    fn kind(&self, id: usize) -> TokenKind {
        self.vocab.kinds.get(id).copied().unwrap_or(TokenKind::Normal)
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.vocab.flags.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    fn add_space(&self) -> bool {
        self.flag("add_space_prefix").unwrap_or(self.family == Family::Spm)
    }

    /// The ids of special tokens: the file's where they are within the vocabulary, else what the family has.
    fn special(&self) -> Special {
        let defaults: &[(&str, u32)] = match self.family {
            Family::Spm => &[("bos", 1), ("eos", 2), ("unknown", 0)],
            Family::WordPiece => &[("bos", 101), ("unknown", 100), ("seperator", 102), ("padding", 0), ("mask", 103)],
            Family::Unigram => &[("eos", 1), ("unknown", 2), ("padding", 0)],
            Family::Bpe => &[],
        };
        let mut special = Special::default();
        let given = self.vocab.special.iter().map(|(name, id)| (name.as_str(), *id));
        for (name, id) in defaults.iter().copied().chain(given) {
            if (id as usize) < self.pieces.len() {
                special.set(name, id);
            }
        }
        special
    }

    fn around(&self, special: &Special) -> (Vec<u32>, Vec<u32>) {
        let (bos, eos) = match self.family {
            Family::Spm => (true, false),
            Family::Bpe => (self.pre.add_bos, false),
            Family::Unigram => (false, true),
            Family::WordPiece => {
                return (special.get("bos").into_iter().collect(), special.get("seperator").into_iter().collect());
            }
        };
        // Gemma 4's files say no and mean yes.
        let bos = self.flag("add_bos_token").unwrap_or(bos) || self.pre.escaped && self.pre.add_bos;
        let eos = self.flag("add_eos_token").unwrap_or(eos);
        let one = |wanted: bool, name| special.get(name).filter(|_| wanted).into_iter().collect();
        (one(bos, "bos"), one(eos, "eos"))
    }

    /// What goes between two texts: the end of the first, and what separates them if the file says so.
    fn between(&self, special: &Special, after: &[u32]) -> Vec<u32> {
        let separator = special.get("seperator").filter(|_| self.flag("add_sep_token") == Some(true));
        let separator = separator.filter(|_| self.family != Family::WordPiece);
        after.iter().copied().chain(separator).collect()
    }

    fn bytes(&self, piece: &str, kind: TokenKind) -> Vec<u8> {
        match kind {
            TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined => piece.into(),
            TokenKind::Byte => byte_piece(piece).into_iter().collect(),
            TokenKind::Unused => Vec::new(),
            TokenKind::Normal if self.byte_level() => alphabet::decode_lossy(piece),
            TokenKind::Normal if self.pre.plain => piece.into(),
            TokenKind::Normal => piece.replace('▁', " ").into(),
        }
    }

    /// What is looked for in a text as it is. Some models are known to strip spaces around such tokens; their files do not
    /// say it.
    fn added(&self, kinds: &[TokenKind]) -> Vec<AddedToken> {
        let named = |parts: &[&str]| {
            let names = self.vocab.names.iter().map(|n| n.to_lowercase());
            names.chain(self.vocab.pre.clone()).any(|n| parts.iter().any(|p| n.contains(p)))
        };
        let mask = named(&["jina-v2-de", "jina-v2-es", "jina-v2-code", "nomic-bert-moe", "jina-bert-v3"]);
        let modern = named(&["modern-bert"]);
        let phi3 = named(&["phi-3", "phi3"]);
        let mut added = Vec::new();
        for (id, (text, kind)) in self.pieces.iter().zip(kinds).enumerate() {
            // What is shown as text in answers controls the model all the same, if the file says so.
            let special =
                matches!(kind, TokenKind::Control | TokenKind::Unknown) || self.kind(id) == TokenKind::Control;
            if *kind != TokenKind::Normal && special || *kind == TokenKind::UserDefined {
                let rstrip = phi3 && !matches!(text.as_str(), "<unk>" | "<s>" | "<|endoftext|>");
                let lstrip = mask && text == "<mask>" || modern && text == "[MASK]";
                let (id, text) = (id as u32, text.clone());
                added.push(AddedToken { id, text, special, lstrip, rstrip, single_word: false });
            }
        }
        added
    }

    /// Whether pieces are bytes as the byte-level alphabet writes them.
    fn byte_level(&self) -> bool {
        self.family == Family::Bpe && !self.pre.escaped && !self.pre.plain
    }

    fn pipeline(self, added: Vec<AddedToken>, special: &Special) -> Result<Pipeline, TokenizerError> {
        let mut normalizers = Vec::new();
        let mut pretokenizers = Vec::new();
        let byte_level = self.byte_level();
        if self.vocab.model == "whitespace" {
            if self.flag("normalizer.lowercase").unwrap_or(false) {
                normalizers.push(Normalizer::Lowercase);
            }
            pretokenizers.push(Pretokenizer::Chars(CharTest::Space, Behavior::Removed));
        }
        if self.family == Family::Spm && self.add_space() {
            normalizers.push(Normalizer::Prepend(" ".into()));
        }
        if self.family == Family::Spm || self.family == Family::Bpe && self.pre.escaped {
            normalizers.push(Normalizer::Replace(Splitter::Literal(" ".into()), "▁".into()));
        }
        if self.family == Family::Bpe {
            for rule in &self.pre.rules {
                let pattern = rule.splitter().map_err(|e| key("pre", &e))?;
                pretokenizers.push(Pretokenizer::Split { pattern, behavior: Behavior::Isolated, invert: false });
            }
        }
        if self.family == Family::Spm {
            pretokenizers.extend(Pretokenizer::spaced(self.pieces.iter().map(String::as_str)));
        }
        if self.family == Family::WordPiece {
            let lowercase = self.flag("normalizer.lowercase").unwrap_or(true);
            let accents = self.flag("normalizer.strip_accents").unwrap_or(lowercase);
            pretokenizers.push(Pretokenizer::Wordpiece { lowercase, accents });
        }
        let (added, normalized) = self.searches(added)?;
        let model = self.model(special)?;
        Ok(Pipeline { added, normalizers, normalized, pretokenizers, byte_level, model })
    }

    /// What is looked for in a text as it is, and what in a normalized one.
    fn searches(&self, added: Vec<AddedToken>) -> Result<(AddedTokens, Option<AddedTokens>), TokenizerError> {
        let search = |tokens, order| AddedTokens::new(tokens, order).map_err(|e| key("tokens", &e));
        if self.whose == Whose::LlamaCpp || self.family != Family::Spm {
            return Ok((search(added, Order::Longest)?, None));
        }
        let (special, plain): (Vec<AddedToken>, _) = added.into_iter().partition(|token| token.special);
        let escaped = |token: AddedToken| AddedToken { text: token.text.replace(' ', "▁"), ..token };
        let plain: Vec<AddedToken> = plain.into_iter().map(escaped).collect();
        let normalized = if plain.is_empty() { None } else { Some(search(plain, Order::Leftmost)?) };
        Ok((search(special, Order::Leftmost)?, normalized))
    }

    fn model(self, special: &Special) -> Result<Model, TokenizerError> {
        let longest = self.pieces.iter().map(String::len).max().unwrap_or(0);
        let unknown = special.get("unknown");
        Ok(match self.family {
            Family::Bpe => Model::Bpe(self.bpe()?),
            Family::Spm => {
                let mut bytes = byte_ids(|p| self.ids.get(p).copied());
                for (byte, id) in bytes.iter_mut().enumerate().take(128) {
                    *id = id.or_else(|| self.ids.get(char::from(byte as u8).encode_utf8(&mut [0; 4])).copied());
                }
                Model::Spm(Spm { pieces: self.ids, scores: self.vocab.scores, longest, bytes })
            }
            Family::WordPiece => Model::WordPiece(WordPiece {
                pieces: self.ids,
                longest,
                first: "▁",
                prefix: String::new(),
                most_chars: usize::MAX,
                unknown,
            }),
            Family::Unigram => {
                let normalizer = self.ugm_normalizer()?;
                Model::Ugm(normalizer, self.unigram(unknown))
            }
        })
    }

    fn bpe(self) -> Result<Bpe, TokenizerError> {
        if self.vocab.merges.is_empty() && self.vocab.pre.as_deref() != Some("kimi-k2") {
            return Err(key("merges", "is missing; a gpt2 vocabulary needs its merges, convert the model again"));
        }
        let tokens = self.pieces.len() as u32;
        let bytes = self.pre.escaped.then(|| byte_ids(|p| self.ids.get(p).copied()));
        let whole = match (self.pre.whole, self.pre.add_bos && self.pre.escaped) {
            (true, _) => Whole::Always,
            (_, true) => Whole::Newlines,
            _ => Whole::Never,
        };
        let mut bpe = Bpe {
            pieces: self.ids,
            merges: Merges::with_capacity_and_hasher(self.vocab.merges.len(), Default::default()),
            tokens,
            spelled: Vec::new(),
            bytes,
            unknown: Unknown::Gap,
            whole,
            prefix: String::new(),
            suffix: String::new(),
        };
        for (rank, merge) in self.vocab.merges.iter().enumerate() {
            let merge = String::from_utf8_lossy(merge);
            let second = merge.chars().next().map_or(0, char::len_utf8);
            let Some(space) = merge[second..].find(' ').map(|at| at + second) else { continue };
            let (left, right) = (&merge[..space], &merge[space + 1..]);
            let pair = (bpe.symbol(left), bpe.symbol(right));
            let merged = bpe.symbol(&format!("{left}{right}"));
            bpe.merges.entry(pair).or_insert((rank as u32, merged));
        }
        Ok(bpe)
    }

    fn ugm_normalizer(&self) -> Result<UgmNormalizer, TokenizerError> {
        let charsmap = match self.vocab.charsmap.as_slice() {
            [] => Charsmap::default(),
            bytes => Charsmap::new(bytes).map_err(|e| key("precompiled_charsmap", e))?,
        };
        let mut user_defined = Trie::default();
        for (id, piece) in self.pieces.iter().enumerate().filter(|(id, _)| self.kind(*id) == TokenKind::UserDefined) {
            user_defined.insert(piece.as_bytes(), id as u32);
        }
        let merge_spaces = self.flag("remove_extra_whitespaces").unwrap_or(false);
        Ok(UgmNormalizer { charsmap, user_defined, add_space: self.add_space(), merge_spaces })
    }

    fn unigram(&self, unknown: Option<u32>) -> Unigram {
        let mut trie = Trie::default();
        let mut scores = vec![0.0; self.pieces.len()];
        let mut lowest = f32::MAX;
        for (id, piece) in self.pieces.iter().enumerate() {
            let kind = self.kind(id);
            let score = self.vocab.scores.get(id).copied().unwrap_or(0.0);
            if kind == TokenKind::Normal {
                lowest = lowest.min(score);
            }
            if matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused) {
                trie.insert(piece.as_bytes(), id as u32);
            }
            scores[id] = if kind == TokenKind::UserDefined { 0.0 } else { f64::from(score) };
        }
        Unigram { trie, scores, unknown, unknown_score: f64::from(lowest - 10.0), bytes: None }
    }
}
