//! Byte pair encoding by ranked merges (GPT-2 and all its descendants; tokenizer.json's BPE).

use crate::alphabet;
use crate::merge::{NEVER, Symbol, merge, merge_few};
use crate::vocab::{Map, Pieces};

/// What becomes of a character that no token stands for (after bytes have been tried).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unknown {
    /// It keeps its neighbours apart and has no token.
    Gap,
    /// It vanishes; its neighbours meet.
    Skip,
    /// It becomes this token; with `fuse`, a run of them becomes one.
    Token {
        /// The unknown token.
        id: u32,
        /// One token for a run.
        fuse: bool,
    },
}

/// Which pieces that are tokens as a whole are not taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Whole {
    /// None.
    Never,
    /// All.
    Always,
    /// Those of line ends.
    Newlines,
}

/// Two symbols, the rank of their merge and what they become.
pub(crate) type Merges = Map<(u32, u32), (u32, u32)>;

/// Memory for the work on one piece.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    spelling: String,
    ids: Vec<u32>,
    /// Rank and result of the merge of each symbol with the next.
    pairs: Vec<(u32, u32)>,
    symbols: Vec<Symbol>,
}

/// The symbols of bytes, and what each two of them become: most pairs that are looked up are of bytes.
#[derive(Debug)]
pub(crate) struct Letters {
    symbols: [u32; 256],
    /// Rank and result, by both bytes.
    pairs: Vec<(u32, u32)>,
}

/// A BPE vocabulary ready to encode.
#[derive(Debug)]
pub(crate) struct Bpe {
    /// Pieces and their symbols; a symbol below `tokens` is a token.
    pub pieces: Pieces,
    /// Two symbols, the rank of their merge and what they become.
    pub merges: Merges,
    /// Number of token ids. Symbols from here on exist only between merges.
    pub tokens: u32,
    /// The tokens that stand for each symbol that is no token.
    pub spelled: Vec<Vec<u32>>,
    /// Tokens of single bytes, for characters without a token.
    pub bytes: Option<Box<[Option<u32>; 256]>>,
    /// For characters without a token.
    pub unknown: Unknown,
    /// Whether a piece that is a token as a whole is not taken apart.
    pub whole: Whole,
    /// Written before each character but the first.
    pub prefix: String,
    /// Written after the last character.
    pub suffix: String,
}

/// Pieces of so many bytes are merged by looking at all pairs each time: for the few of a word that is faster than a heap.
const FEW: usize = 32;

/// The symbol of a character that has none.
const GAP: u32 = u32::MAX;

impl Bpe {
    /// Appends the tokens of one pre-tokenized piece.
    pub(crate) fn encode(&self, piece: &str, out: &mut Vec<u32>) {
        let whole = match self.whole {
            Whole::Never => false,
            Whole::Always => true,
            Whole::Newlines => piece.bytes().all(|b| b == b'\n'),
        };
        if whole
            && let Some(&id) = self.pieces.get(piece)
            && id < self.tokens
        {
            return out.push(id);
        }
        let mut symbols = self.symbols(piece);
        merge(&mut symbols, |a, b| self.merges.get(&(a.id, b.id)).copied());
        symbols.iter().for_each(|symbol| self.put(symbol.id, out));
    }

    /// The symbol of each byte, if bytes are all that this model merges.
    pub(crate) fn letters(&self) -> Option<Box<Letters>> {
        if !self.prefix.is_empty() || !self.suffix.is_empty() || self.whole == Whole::Newlines {
            return None;
        }
        let letter = |byte: u8| self.pieces.get(alphabet::letter(byte).encode_utf8(&mut [0; 4])).copied();
        let symbols: Vec<u32> = (0..=255).map(letter).collect::<Option<_>>()?;
        let symbols: [u32; 256] = symbols.try_into().ok()?;
        let second = |a: u32| symbols.iter().map(move |b| (a, *b));
        let pairs =
            symbols.iter().flat_map(|a| second(*a)).map(|pair| self.merges.get(&pair).copied().unwrap_or(NEVER));
        Some(Box::new(Letters { symbols, pairs: pairs.collect() }))
    }

    /// As [`Bpe::encode`] of the piece in the byte-level alphabet, whose symbols are `letters`.
    pub(crate) fn encode_bytes(&self, letters: &Letters, piece: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        if self.whole == Whole::Always {
            scratch.spelling.clear();
            scratch.spelling.extend(piece.bytes().map(alphabet::letter));
            if let Some(&id) = self.pieces.get(scratch.spelling.as_str())
                && id < self.tokens
            {
                return out.push(id);
            }
        }
        let ids = piece.bytes().map(|byte| letters.symbols[usize::from(byte)]);
        let find = |a: u32, b: u32| self.merges.get(&(a, b)).copied();
        if piece.len() <= FEW {
            scratch.ids.clear();
            scratch.ids.extend(ids);
            let pair = |two: &[u8]| letters.pairs[usize::from(two[0]) << 8 | usize::from(two[1])];
            scratch.pairs.clear();
            scratch.pairs.extend(piece.as_bytes().windows(2).map(pair));
            merge_few(&mut scratch.ids, &mut scratch.pairs, find);
            return scratch.ids.iter().for_each(|id| self.put(*id, out));
        }
        scratch.symbols.clear();
        scratch.symbols.extend((0..).zip(ids).map(|(start, id)| Symbol { start, len: 1, id }));
        merge(&mut scratch.symbols, |a, b| find(a.id, b.id));
        scratch.symbols.iter().for_each(|symbol| self.put(symbol.id, out));
    }

    /// Appends the tokens of a symbol.
    fn put(&self, symbol: u32, out: &mut Vec<u32>) {
        match symbol {
            GAP => {}
            id if id < self.tokens => out.push(id),
            id => out.extend(&self.spelled[(id - self.tokens) as usize]),
        }
    }

    /// The symbol of `piece`; a new one, spelled in bytes, if it is no token.
    pub(crate) fn symbol(&mut self, piece: &str) -> u32 {
        if let Some(&id) = self.pieces.get(piece) {
            return id;
        }
        let spelled = match &self.bytes {
            Some(table) => piece.bytes().filter_map(|b| table[b as usize]).collect(),
            None => {
                let tokens = piece.chars().filter(char::is_ascii).map(|c| self.pieces.get(c.encode_utf8(&mut [0; 4])));
                tokens.flatten().copied().filter(|id| *id < self.tokens).collect()
            }
        };
        let id = self.tokens + self.spelled.len() as u32;
        self.spelled.push(spelled);
        self.pieces.insert(piece.into(), id);
        id
    }

    /// Whether text may be cut at spaces (`▁`) and merged part by part with the same result: nothing but merges looks at
    /// more than one character.
    pub(crate) fn cuts_at_spaces(&self) -> bool {
        let plain = self.whole == Whole::Never && self.prefix.is_empty() && self.suffix.is_empty();
        plain && self.pieces.contains_key("▁")
    }

    fn symbols(&self, piece: &str) -> Vec<Symbol> {
        let mut symbols = Vec::with_capacity(piece.len());
        let mut run = false;
        let mut spelling = String::new();
        for (at, c) in piece.char_indices() {
            spelling.clear();
            if at > 0 {
                spelling.push_str(&self.prefix);
            }
            spelling.push(c);
            if at + c.len_utf8() == piece.len() {
                spelling.push_str(&self.suffix);
            }
            let (start, len) = (at as u32, c.len_utf8() as u32);
            let known = self.pieces.get(spelling.as_str());
            match (known, self.bytes(&spelling), self.unknown) {
                (Some(&id), ..) => symbols.push(Symbol { start, len, id }),
                (None, Some(ids), _) => symbols.extend(ids.map(|id| Symbol { start, len: 1, id })),
                (None, None, Unknown::Gap) => symbols.push(Symbol { start, len, id: GAP }),
                (None, None, Unknown::Skip) => {}
                (None, None, Unknown::Token { id, fuse }) => match symbols.last_mut() {
                    Some(last) if run && fuse => last.len += len,
                    _ => symbols.push(Symbol { start, len, id }),
                },
            }
            run = known.is_none() && matches!(self.unknown, Unknown::Token { .. }) && self.bytes(&spelling).is_none();
        }
        symbols
    }

    /// The tokens of the bytes of `text`, if each byte has one.
    fn bytes<'a>(&'a self, text: &'a str) -> Option<impl Iterator<Item = u32> + 'a> {
        let table = self.bytes.as_ref()?;
        text.bytes().all(|b| table[b as usize].is_some()).then(|| text.bytes().filter_map(|b| table[b as usize]))
    }
}
