//! One long text on several threads, with the ids that it has in one piece.
//!
//! Each thread begins somewhere in the text, which need not be where a piece begins. Since a piece depends on what follows its
//! beginning alone, two threads that once begin a piece at the same place cut the rest alike: what a thread did before the
//! first such place is thrown away. If there is none, the thread before goes on alone.

use std::ops::Range;

use rayon::prelude::*;

use super::{Fast, Memo, Threads, Work};
use crate::pipeline::Pipeline;
use crate::scan::Scan;

/// Texts shorter than this are not worth waking threads for.
pub(super) const LEAST: usize = 1 << 16;
/// The least that a thread gets.
const PART: usize = 1 << 15;
/// Beginnings of pieces that are remembered in each part. Words meet at once; only runs of one kind of character do not.
const BEGINNINGS: usize = 256;

/// The pieces that begin in a range of the text.
pub(super) struct Part {
    range: Range<usize>,
    ids: Vec<u32>,
    /// Where the first pieces begin, and how many ids are before each.
    beginnings: Vec<(usize, usize)>,
    /// Where the last ends.
    end: usize,
}

impl Fast {
    /// Appends the ids of `text`.
    pub(super) fn in_parts(
        &self,
        work: &mut Work<'_>,
        scan: Scan,
        text: &str,
        threads: Threads<'_>,
        out: &mut Vec<u32>,
    ) {
        let count = (text.len() / PART).clamp(1, threads.pool.current_num_threads() * 2);
        let cut = |i: usize| if i == count { text.len() } else { text.floor_char_boundary(text.len() / count * i) };
        let ranges: Vec<Range<usize>> = (0..count).map(|i| cut(i)..cut(i + 1)).collect();
        let pipeline = work.pipeline;
        let part = |range| threads.memos.with(threads.keep, |memo| self.part(pipeline, scan, (text, range), memo));
        let parts: Vec<Part> = threads.pool.install(|| ranges.into_par_iter().map(part).collect());
        self.join(work, scan, text, parts, out);
    }

    pub(super) fn part(
        &self,
        pipeline: &Pipeline,
        scan: Scan,
        (text, range): (&str, Range<usize>),
        memo: &mut Memo,
    ) -> Part {
        let mut ids = Vec::with_capacity(range.len() / 3);
        let mut beginnings = Vec::new();
        let end = self.scanned(pipeline, scan, (text, range.clone()), (memo, &mut ids), |at, before| {
            if beginnings.len() < BEGINNINGS {
                beginnings.push((at, before));
            }
        });
        Part { range, ids, beginnings, end }
    }

    pub(super) fn join(&self, work: &mut Work<'_>, scan: Scan, text: &str, parts: Vec<Part>, out: &mut Vec<u32>) {
        let mut at = 0;
        for part in parts {
            while at < part.range.end {
                if let Ok(met) = part.beginnings.binary_search_by_key(&at, |(begins, _)| *begins) {
                    out.extend_from_slice(&part.ids[part.beginnings[met].1..]);
                    at = part.end;
                    break;
                }
                at = self.scanned(work.pipeline, scan, (text, at..at + 1), (work.memo, out), |_, _| {});
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the cuts: parts of every size, down to one character, give the ids of the whole.
    fn check(text: &str) {
        let tokenizer = crate::tokenizer::tests::bytes();
        let (pipeline, fast) = (&tokenizer.pipeline, tokenizer.fast.as_ref().expect("a fast path"));
        let scan = fast.scan.expect("a known pattern");
        let (mut memo, mut whole) = (Memo::new(), Vec::new());
        fast.scanned(pipeline, scan, (text, 0..text.len()), (&mut memo, &mut whole), |_, _| {});
        for size in [1, 2, 3, 7, 50, 1000] {
            let mut cuts: Vec<usize> =
                (0..=text.len() / size).map(|i| text.floor_char_boundary(i * size)).chain([text.len()]).collect();
            cuts.dedup();
            let parts = cuts.windows(2).map(|w| fast.part(pipeline, scan, (text, w[0]..w[1]), &mut memo)).collect();
            let mut work = Work { pipeline, memo: &mut Memo::new(), threads: None };
            let mut joined = Vec::new();
            fast.join(&mut work, scan, text, parts, &mut joined);
            assert_eq!(joined, whole, "{size} {text:?}");
        }
    }

    #[test]
    fn parts_give_the_ids_of_the_whole() {
        check("");
        check("the quick  brown fox's 12345 \n\n  x!!!\n\n y\u{a0}\u{a0} é\u{301} 我们的中文 the ");
        check(&" ".repeat(999));
        check(&("a".repeat(700) + &"\n".repeat(700) + &"1".repeat(700) + "!"));
    }
}
