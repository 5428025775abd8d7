//! Pair merging, the heart of both kinds of BPE: the best neighbours become one until none can.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A stretch of the text on its way to becoming a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    /// Where it begins, in bytes.
    pub start: u32,
    /// How long it is, in bytes; 0 once merged into its left neighbour.
    pub len: u32,
    /// Its id (which numbering is the caller's).
    pub id: u32,
}

/// A merge that may be made: best key first, then leftmost. `len` tells whether both sides are still what they were.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    key: u32,
    left: u32,
    right: u32,
    len: u32,
    id: u32,
}

const NONE: u32 = u32::MAX;

/// Merges neighbours for as long as `find` has a (key, id) for any two; the smallest key goes first, then the leftmost.
/// O(n log n) in the number of symbols.
pub(crate) fn merge(symbols: &mut Vec<Symbol>, find: impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>) {
    if symbols.len() < 2 {
        return;
    }
    let count = symbols.len() as u32;
    let mut next: Vec<u32> = (1..count).chain([NONE]).collect();
    let mut previous: Vec<u32> = [NONE].into_iter().chain(0..count - 1).collect();
    let candidate = |symbols: &[Symbol], left: u32, right: u32| {
        let (a, b) = (&symbols[left as usize], &symbols[right as usize]);
        find(a, b).map(|(key, id)| Reverse(Candidate { key, left, right, len: a.len + b.len, id }))
    };
    let mut heap: BinaryHeap<_> = (1..count).filter_map(|i| candidate(symbols, i - 1, i)).collect();
    while let Some(Reverse(c)) = heap.pop() {
        let (left, right) = (c.left as usize, c.right as usize);
        if symbols[left].len == 0 || symbols[right].len == 0 || symbols[left].len + symbols[right].len != c.len {
            continue;
        }
        symbols[left].len = c.len;
        symbols[left].id = c.id;
        symbols[right].len = 0;
        next[left] = next[right];
        if next[left] != NONE {
            previous[next[left] as usize] = c.left;
            heap.extend(candidate(symbols, c.left, next[left]));
        }
        if previous[left] != NONE {
            heap.extend(candidate(symbols, previous[left], c.left));
        }
    }
    symbols.retain(|s| s.len > 0);
}
