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

/// The rank and result of two symbols that never merge.
pub(crate) const NEVER: (u32, u32) = (u32::MAX, 0);

/// As [`merge`], for a few symbols, with rank and result of each two neighbours: each time all pairs are looked at. O(n²).
pub(crate) fn merge_few(
    ids: &mut Vec<u32>,
    pairs: &mut Vec<(u32, u32)>,
    find: impl Fn(u32, u32) -> Option<(u32, u32)>,
) {
    let pair = |ids: &[u32], at: usize| find(ids[at], ids[at + 1]).unwrap_or(NEVER);
    loop {
        let mut best = (0, NEVER);
        for (at, found) in pairs.iter().enumerate() {
            if found.0 < best.1.0 {
                best = (at, *found);
            }
        }
        let (at, (rank, id)) = best;
        if rank == NEVER.0 {
            return;
        }
        ids[at] = id;
        ids.remove(at + 1);
        pairs.remove(at);
        if at < pairs.len() {
            pairs[at] = pair(ids, at);
        }
        if at > 0 {
            pairs[at - 1] = pair(ids, at - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any table of merges: the two ways agree.
        #[test]
        fn few_merge_as_many_do(
            ids in prop::collection::vec(0u32..6, 0..20),
            table in prop::collection::hash_map((0u32..12, 0u32..12), (0u32..8, 0u32..12), 0..40),
        ) {
            let mut symbols: Vec<Symbol> =
                (0..).zip(&ids).map(|(start, id)| Symbol { start, len: 1, id: *id }).collect();
            merge(&mut symbols, |a, b| table.get(&(a.id, b.id)).copied());
            let mut few = ids.clone();
            let find = |a, b| table.get(&(a, b)).copied();
            let mut pairs: Vec<_> = ids.windows(2).map(|two| find(two[0], two[1]).unwrap_or(NEVER)).collect();
            merge_few(&mut few, &mut pairs, find);
            prop_assert_eq!(few, symbols.iter().map(|s| s.id).collect::<Vec<_>>());
        }
    }
}
