//! Tokenizers behind one type: from tokenizer.json or from the vocabulary of a GGUF file.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::ChatPrompt;
use crate::added::Special;
use crate::encoders::Encoders;
use crate::fast::{Fast, Memo, Threads, Work};
use crate::gguf::Whose;
use crate::pipeline::Pipeline;
use crate::special::FillIn;
use crate::vocab::Vocab;
use crate::{BatchMode, Encoding, GgufVocab, TokenKind, TokenizerConfig, TokenizerStatistics, gguf, json, tiktoken};

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
///
/// ```
/// use text::{EncodeOptions, GgufVocab, Tokenizer};
///
/// let letters = ["a", "b", "c", "ab", "abc"];
/// let vocab = GgufVocab {
///     model: "gpt2".into(),
///     pre: Some("gpt-2".into()),
///     tokens: letters.map(|piece| piece.as_bytes().to_vec()).to_vec(),
///     merges: vec![b"a b".to_vec(), b"ab c".to_vec()],
///     ..GgufVocab::default()
/// };
/// let tokenizer = Tokenizer::from_gguf(vocab)?;
/// let options = EncodeOptions { add_special: true, parse_special: false };
/// assert_eq!(tokenizer.encode("abcab", options), [4, 3]);
/// assert_eq!(tokenizer.encode_batch(&["cab", ""], options), [vec![2, 3], vec![]]);
/// assert_eq!(tokenizer.decode(&[4, 3], false), "abcab");
/// assert_eq!(tokenizer.offsets("abcab", &[4, 3]), Some(vec![0..3, 3..5]));
/// # Ok::<(), text::TokenizerError>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) vocab: Vocab,
    pub(crate) pipeline: Pipeline,
    /// The same ids, sooner; `None` where the two did not agree.
    pub(crate) fast: Option<Fast>,
    encoders: Encoders,
    /// What goes around a text.
    around: (Vec<u32>, Vec<u32>),
    /// What goes between two texts.
    between: Vec<u32>,
    adds_space: bool,
    bos: Option<u32>,
    eos: Option<u32>,
    ends: Vec<u32>,
    fill_in: Option<FillIn>,
}

/// What a tokenizer is made of.
pub(crate) struct Parts {
    /// The table of tokens.
    pub vocab: Vocab,
    /// From text to ids.
    pub pipeline: Pipeline,
    /// What goes around a text.
    pub around: (Vec<u32>, Vec<u32>),
    /// What goes between two texts.
    pub between: Vec<u32>,
    /// Whether encoding puts a space before a text, which decoding takes away.
    pub adds_space: bool,
    /// Begin of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// All that end an answer.
    pub ends: Vec<u32>,
    /// What goes around a gap.
    pub fill_in: Option<FillIn>,
}

/// Tokens whose texts are in the sample that a fast path is tried on.
const SAMPLED: usize = 512;

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
        gguf::tokenizer(vocab, Whose::LlamaCpp)
    }

    /// From the `tokenizer.model` of SentencePiece (BPE and unigram).
    ///
    /// # Errors
    /// If the file is not what it should be, or does what is not supported.
    pub fn from_sentencepiece(model: &[u8]) -> Result<Tokenizer, TokenizerError> {
        gguf::tokenizer(GgufVocab::from_sentencepiece(model)?, Whose::SentencePiece)
    }

    /// From the ranks of tiktoken (`tokenizer.model` or `*.tiktoken`: a line for each token, in base64, with its rank). What
    /// else it takes, the pattern and the special tokens, follows from how many there are: cl100k_base, o200k_base and
    /// Llama 3 are known. The special tokens of tokenizer_config.json, if there is one, are those of the model.
    ///
    /// # Errors
    /// If the file is not what it should be, or nothing is known of it.
    pub fn from_tiktoken(ranks: &[u8], config: Option<&serde_json::Value>) -> Result<Tokenizer, TokenizerError> {
        tiktoken::tokenizer(ranks, config)
    }

    /// From a `tokenizer.model`, which is SentencePiece's or tiktoken's: the content says which.
    ///
    /// # Errors
    /// As [`Tokenizer::from_sentencepiece`] or [`Tokenizer::from_tiktoken`].
    pub fn from_model(model: &[u8], config: Option<&serde_json::Value>) -> Result<Tokenizer, TokenizerError> {
        if tiktoken::is(model) { tiktoken::tokenizer(model, config) } else { Tokenizer::from_sentencepiece(model) }
    }

    /// Of its parts; encodes fast if that gives the same ids.
    pub(crate) fn of(parts: Parts) -> Tokenizer {
        let Parts { vocab, pipeline, around, between, adds_space, bos, eos, ends, fill_in } = parts;
        let every = vocab.len().div_ceil(SAMPLED).max(1);
        let pieces = (0..vocab.len() as u32).step_by(every).map(|id| String::from_utf8_lossy(vocab.bytes(id)));
        let sample: Vec<_> = pieces.collect();
        let fast = Fast::new(&pipeline, &sample.join(" "));
        let encoders = Encoders::default();
        Tokenizer { vocab, pipeline, fast, encoders, around, between, adds_space, bos, eos, ends, fill_in }
    }

    /// The same tokenizer, using the machine as `config` says.
    #[must_use]
    pub fn with_config(mut self, config: TokenizerConfig) -> Tokenizer {
        self.encoders = Encoders::new(config);
        self
    }

    /// How it uses the machine.
    pub fn config(&self) -> TokenizerConfig {
        self.encoders.config()
    }

    /// Token ids of `text`. Takes time in proportion to the length of `text`, whatever it says. A long text is cut and shared
    /// among the threads of the tokenizer; its ids are those that it has in one piece.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        let threads = self.encoders.shared();
        self.encoders.counted((1, text.len()), Vec::len, |memo| self.ids(text, options, (memo, threads)))
    }

    /// Token ids of each text, on all threads of the tokenizer.
    pub fn encode_batch<T: AsRef<str> + Sync>(&self, texts: &[T], options: EncodeOptions) -> Vec<Vec<u32>> {
        let threads = self.encoders.shared();
        let TokenizerConfig { batch, threads: count, .. } = self.config();
        let within = threads.filter(|_| batch == BatchMode::Parts);
        match threads {
            Some(threads) if batch != BatchMode::Serial && texts.len() > 1 => {
                // So many that threads which are done sooner help, so few that to share them out takes no time.
                let several = texts.par_chunks((texts.len() / (16 * count)).clamp(1, 64));
                let some = |texts| self.encode_some(texts, options, within);
                threads.pool.install(|| several.flat_map_iter(some).collect())
            }
            _ => self.encode_some(texts, options, within),
        }
    }

    fn encode_some<T: AsRef<str>>(
        &self,
        texts: &[T],
        options: EncodeOptions,
        threads: Option<Threads<'_>>,
    ) -> Vec<Vec<u32>> {
        let bytes = texts.iter().map(|text| text.as_ref().len()).sum();
        let tokens = |all: &Vec<Vec<u32>>| all.iter().map(Vec::len).sum();
        self.encoders.counted((texts.len(), bytes), tokens, |memo| {
            texts.iter().map(|text| self.ids(text.as_ref(), options, (memo, threads))).collect()
        })
    }

    /// Token ids of `text`, made by a thread of the tokenizer. No more of them run at the same time than
    /// [`TokenizerConfig::threads`].
    pub fn encode_async(self: &Arc<Tokenizer>, text: String, options: EncodeOptions) -> Encoding {
        let (encoding, promise) = Encoding::begin();
        let tokenizer = Arc::clone(self);
        match self.encoders.threads() {
            Some(threads) => threads.spawn_fifo(move || promise.keep(|| tokenizer.encode(&text, options))),
            None => promise.keep(|| tokenizer.encode(&text, options)),
        }
        encoding
    }

    /// Does `work` on a thread of the tokenizer, and blocks until it is done: no more is done at the same time than there are
    /// threads.
    pub fn in_turn<T: Send>(&self, work: impl FnOnce(&Tokenizer) -> T + Send) -> T {
        match self.encoders.threads() {
            Some(threads) => threads.install(|| work(self)),
            None => work(self),
        }
    }

    /// How many tokens `text` has.
    pub fn count(&self, text: &str, options: EncodeOptions) -> usize {
        self.encode(text, options).len()
    }

    /// What it has done since it was made or [`Tokenizer::reset_statistics`].
    pub fn statistics(&self) -> TokenizerStatistics {
        self.encoders.statistics()
    }

    /// Counts anew.
    pub fn reset_statistics(&self) {
        self.encoders.reset();
    }

    /// Token ids of a rendered conversation. Only what the template wrote becomes a control token or another of its marks:
    /// `<|im_end|>` in a message is text, and so is `<tool_response>`. A begin of sequence is added if the vocabulary wants one and the template wrote none; there are never two.
    pub fn encode_chat(&self, prompt: &ChatPrompt) -> Vec<u32> {
        self.encoders.counted((1, prompt.text().len()), Vec::len, |memo| {
            let mut ids = Vec::with_capacity(prompt.text().len() / 3 + 2);
            let begin = self.bos.filter(|bos| self.around.0.contains(bos));
            ids.extend(begin);
            self.append(prompt.text(), Special::In(prompt), (memo, self.encoders.shared()), &mut ids);
            if let Some(bos) = self.bos {
                let written = ids[usize::from(begin.is_some())..].iter().take_while(|id| **id == bos).count();
                let wanted = usize::from(begin.is_some() || written > 0);
                ids.drain(wanted..written + usize::from(begin.is_some()));
            }
            ids
        })
    }

    fn ids(&self, text: &str, options: EncodeOptions, (memo, threads): (&mut Memo, Option<Threads<'_>>)) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        if options.add_special {
            ids.extend(&self.around.0);
        }
        let special = if options.parse_special { Special::All } else { Special::None };
        self.append(text, special, (memo, threads), &mut ids);
        if options.add_special {
            ids.extend(&self.around.1);
        }
        ids
    }

    fn append(
        &self,
        text: &str,
        special: Special<'_>,
        (memo, threads): (&mut Memo, Option<Threads<'_>>),
        ids: &mut Vec<u32>,
    ) {
        match &self.fast {
            Some(fast) => fast.encode(&mut Work { pipeline: &self.pipeline, memo, threads }, text, special, ids),
            None => self.pipeline.encode_plainly(text, special, ids),
        }
    }

    /// Where each of `ids`, the tokens of `text`, stands in it, in bytes. A token that is a part of a character has the whole
    /// of it, one that is not in the text an empty range. `None` if the tokens do not say what the text says (unknown or
    /// normalized characters, white space that was taken away).
    pub fn offsets(&self, text: &str, ids: &[u32]) -> Option<Vec<Range<usize>>> {
        let bytes = text.as_bytes();
        let (mut at, mut offsets) = (0, Vec::with_capacity(ids.len()));
        for &id in ids {
            let token = self.vocab.bytes(id);
            let added = usize::from(self.adds_space && at == 0 && !bytes.starts_with(b" ") && token.starts_with(b" "));
            let token = if self.is_control(id) && !bytes[at..].starts_with(token) { &[] } else { &token[added..] };
            let end = bytes[at..].starts_with(token).then_some(at + token.len())?;
            offsets.push(text.floor_char_boundary(at)..text.ceil_char_boundary(end));
            at = end;
        }
        (at == bytes.len()).then_some(offsets)
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

    /// The tokens around a gap that the model fills in, if it knows any.
    pub fn fill_in(&self) -> Option<FillIn> {
        self.fill_in
    }

    /// The prompt whose answer fills a gap between texts.
    pub fn around_gap(&self, fill: FillIn, before: &[u32], after: &[u32]) -> Vec<u32> {
        let begin = self.bos.filter(|bos| self.around.0.contains(bos));
        let (before, after) = ([&[fill.prefix], before].concat(), [&[fill.suffix], after].concat());
        let parts = if fill.middle.is_some() { [before, after] } else { [after, before] };
        begin.into_iter().chain(parts.concat()).chain(fill.middle).collect()
    }

    /// All tokens that end an answer, as far as the vocabulary tells: end of sequence, end of turn, end of message.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// What goes between two texts that are one to the model.
    pub(crate) fn between(&self) -> &[u32] {
        &self.between
    }

    /// What goes around a text.
    pub(crate) fn around(&self) -> &(Vec<u32>, Vec<u32>) {
        &self.around
    }

    /// Whether a text's first space may be one that encoding put there.
    pub(crate) fn adds_space(&self) -> bool {
        self.adds_space
    }

    fn is_control(&self, id: u32) -> bool {
        matches!(self.vocab.kind(id), TokenKind::Control | TokenKind::Unknown)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;
    use crate::alphabet;

    /// GPT-2's words over bytes, with a few merges.
    pub(crate) fn bytes() -> Tokenizer {
        let merges = ["t h", "th e", "Ġ the", "q u", "1 2", "Ċ Ċ", "a a", "aa aa", "Ġ Ġ", "! !"];
        let letters = (0..=255).map(|byte| alphabet::letter(byte).to_string());
        let tokens: Vec<String> = letters.chain(merges.map(|merge| merge.replace(' ', ""))).collect();
        let vocab = GgufVocab {
            model: "gpt2".into(),
            pre: Some("gpt-2".into()),
            tokens: tokens.into_iter().map(String::into_bytes).collect(),
            merges: merges.map(|merge| merge.as_bytes().to_vec()).to_vec(),
            ..GgufVocab::default()
        };
        Tokenizer::from_gguf(vocab).expect("a vocabulary")
    }

    #[test]
    fn batches_and_background_work_give_the_same_ids() {
        let options = EncodeOptions { add_special: true, parse_special: true };
        let texts: Vec<String> = (0..50).map(|i| "the aaaa 12 quick\n\n!! ".repeat(i * 100)).collect();
        let expected: Vec<Vec<u32>> = texts.iter().map(|text| bytes().encode(text, options)).collect();
        for threads in [1, 2, 4] {
            for batch in [BatchMode::Parts, BatchMode::Texts, BatchMode::Serial] {
                let config = TokenizerConfig { threads, batch, ..TokenizerConfig::default() };
                let tokenizer = Arc::new(bytes().with_config(config));
                assert_eq!(tokenizer.encode_batch(&texts, options), expected, "{config:?}");
                let encodings: Vec<Encoding> =
                    texts.iter().map(|text| tokenizer.encode_async(text.clone(), options)).collect();
                assert!(encodings.into_iter().map(Encoding::wait).eq(expected.iter().cloned()), "{config:?}");
                let statistics = tokenizer.statistics();
                assert_eq!(statistics.encodes, 100);
                assert_eq!(statistics.tokens, 2 * expected.iter().map(|ids| ids.len() as u64).sum::<u64>());
                assert_eq!(statistics.bytes, 2 * texts.iter().map(|text| text.len() as u64).sum::<u64>());
                assert!(statistics.cache_hits > statistics.cache_misses && statistics.tokens_per_second() > 0.0);
                tokenizer.reset_statistics();
                assert_eq!(tokenizer.statistics(), TokenizerStatistics::default());
            }
        }
    }

    #[test]
    fn an_encoding_can_be_polled() {
        let tokenizer = Arc::new(bytes());
        let options = EncodeOptions { add_special: false, parse_special: false };
        let mut encoding = tokenizer.encode_async("the the".into(), options);
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Unpark>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let ids = loop {
            match Pin::new(&mut encoding).poll(&mut std::task::Context::from_waker(&waker)) {
                std::task::Poll::Ready(ids) => break ids,
                std::task::Poll::Pending => std::thread::park(),
            }
        };
        assert_eq!(ids, tokenizer.encode("the the", options));
    }

    #[test]
    fn gaps_are_told_as_the_model_knows_them() {
        let tokenizer = bytes();
        let check = |middle, expected: &[u32]| {
            let fill = FillIn { prefix: 1, suffix: 2, middle };
            assert_eq!(tokenizer.around_gap(fill, &[10, 11], &[12]), expected);
        };
        check(Some(3), &[1, 10, 11, 2, 12, 3]);
        check(None, &[2, 12, 1, 10, 11]);
        assert_eq!(tokenizer.fill_in(), None);
    }

    #[test]
    fn offsets_are_of_whole_characters() {
        let tokenizer = bytes();
        let check = |text: &str, expected: Option<&[Range<usize>]>| {
            let ids = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: false });
            assert_eq!(tokenizer.offsets(text, &ids).as_deref(), expected, "{text:?}");
        };
        check("the the", Some(&[0..3, 3..7]));
        check("é!", Some(&[0..2, 0..2, 2..3]));
        check("", Some(&[]));
        assert_eq!(tokenizer.offsets("the", &[0]), None);
        assert_eq!(tokenizer.offsets("the", &[]), None);
    }
}
