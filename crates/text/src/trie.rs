//! A trie over bytes: every piece that begins at a place, in one walk.

use crate::vocab::Map;

/// Pieces by their bytes.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    edges: Map<(u32, u8), u32>,
    values: Map<u32, u32>,
    nodes: u32,
}

impl Trie {
    /// Adds a piece (an empty one is ignored); the last value given for the same piece stays.
    pub(crate) fn insert(&mut self, piece: &[u8], value: u32) {
        let mut node = 0;
        for &byte in piece {
            node = *self.edges.entry((node, byte)).or_insert_with(|| {
                self.nodes += 1;
                self.nodes
            });
        }
        if node != 0 {
            self.values.insert(node, value);
        }
    }

    /// The pieces that `text` begins with, shortest first: length and value.
    pub(crate) fn prefixes<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, u32)> + 'a {
        self.walk(text).enumerate().filter_map(|(i, node)| Some((i + 1, *self.values.get(&node)?)))
    }

    /// How many bytes at the beginning of `text` lead somewhere, whether or not a piece ends there.
    pub(crate) fn depth(&self, text: &[u8]) -> usize {
        self.walk(text).count()
    }

    fn walk<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        text.iter().scan(0, |node, byte| {
            *node = *self.edges.get(&(*node, *byte))?;
            Some(*node)
        })
    }
}
