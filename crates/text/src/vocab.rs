//! The table of tokens: what each is called, what kind it is, which bytes it stands for.

use std::collections::HashMap;

use crate::TokenKind;

/// A map whose hash is fast and differs from process to process.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Pieces and their ids.
pub(crate) type Pieces = Map<Box<str>, u32>;

/// All tokens by id and by piece.
#[derive(Debug, Default)]
pub(crate) struct Vocab {
    pieces: Vec<Option<Box<str>>>,
    kinds: Vec<TokenKind>,
    bytes: Vec<Box<[u8]>>,
    ids: Pieces,
}

/// The most ids a vocabulary may have: room for holes, none for a number that only fills memory.
pub(crate) const MOST_IDS: u32 = 1 << 24;

impl Vocab {
    /// Puts a token in its place; a later one of the same id or piece replaces it.
    pub(crate) fn insert(&mut self, id: u32, piece: &str, kind: TokenKind, bytes: Vec<u8>) {
        let at = id as usize;
        if at >= self.pieces.len() {
            self.pieces.resize(at + 1, None);
            self.kinds.resize(at + 1, TokenKind::Unused);
            self.bytes.resize(at + 1, Box::default());
        }
        self.ids.insert(piece.into(), id);
        self.pieces[at] = Some(piece.into());
        self.kinds[at] = kind;
        self.bytes[at] = bytes.into();
    }

    /// Number of ids.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The id of a piece.
    pub(crate) fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The piece of an id.
    pub(crate) fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize)?.as_deref()
    }

    /// The kind of an id; unused past the end.
    pub(crate) fn kind(&self, id: u32) -> TokenKind {
        self.kinds.get(id as usize).copied().unwrap_or(TokenKind::Unused)
    }

    /// The bytes of an id, control tokens' too.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |b| b)
    }
}

/// The byte that a piece like `<0x0A>` stands for.
pub(crate) fn byte_piece(piece: &str) -> Option<u8> {
    let hex = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

/// The ids of the pieces `<0x00>` to `<0xFF>`.
pub(crate) fn byte_ids(id: impl Fn(&str) -> Option<u32>) -> Box<[Option<u32>; 256]> {
    Box::new(std::array::from_fn(|byte| id(&format!("<0x{byte:02X}>"))))
}
