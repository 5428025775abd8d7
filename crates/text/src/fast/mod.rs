//! The fast path of encoding: words cut by hand, pieces remembered, merges over bytes.
//!
//! The pipeline says what ids a text has; this gives the same ones sooner. A vocabulary is served by it only if both agree on
//! a text made for it, when it is loaded (decision record 0028).

mod check;
mod memo;
mod parts;
#[cfg(test)]
mod vocabularies;

use std::ops::Range;

use self::memo::Key;
pub(crate) use self::memo::{Memo, Memos};
use crate::added::Special;
use crate::bpe::Letters;
use crate::pipeline::{Model, Pipeline};
use crate::scan::Scan;

/// How a pipeline is run fast.
#[derive(Debug)]
pub(crate) struct Fast {
    /// How it cuts words, if that is known.
    scan: Option<Scan>,
    /// The symbols of bytes, if its model merges bytes.
    letters: Option<Box<Letters>>,
}

/// What one call works with.
pub(crate) struct Work<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What this thread remembers.
    pub memo: &'a mut Memo,
    /// Threads that share long texts.
    pub threads: Option<Threads<'a>>,
}

/// Threads, and what those remember.
#[derive(Clone, Copy)]
pub(crate) struct Threads<'a> {
    /// The threads.
    pub pool: &'a rayon::ThreadPool,
    /// What they remember.
    pub memos: &'a Memos,
    /// How many memos are kept.
    pub keep: usize,
}

impl Fast {
    /// The fast path of `pipeline`; `None` if the two do not agree.
    pub(crate) fn new(pipeline: &Pipeline, sample: &str) -> Option<Fast> {
        let letters = match &pipeline.model {
            Model::Bpe(bpe) if pipeline.byte_level => bpe.letters(),
            _ => None,
        };
        let fast = Fast { scan: pipeline.scan(), letters };
        check::agree(pipeline, &fast, sample).then_some(fast)
    }

    /// Appends the ids of `text`.
    pub(crate) fn encode(&self, work: &mut Work<'_>, text: &str, special: Special<'_>, out: &mut Vec<u32>) {
        let pipeline = work.pipeline;
        pipeline.encode(text, special, out, &mut |part, first, out| self.words(work, part, first, out));
    }

    fn words(&self, work: &mut Work<'_>, text: &str, first: bool, out: &mut Vec<u32>) {
        match (self.scan, work.threads) {
            (Some(scan), Some(threads)) if text.len() >= parts::LEAST => {
                self.in_parts(work, scan, text, threads, out);
            }
            (Some(scan), _) => {
                self.scanned(work.pipeline, scan, (text, 0..text.len()), (work.memo, out), |_, _| {});
            }
            (None, _) => {
                for piece in work.pipeline.pieces(text, first) {
                    self.piece(work.pipeline, &piece.text, 0..piece.text.len(), work.memo, out);
                }
            }
        }
    }

    /// Appends the ids of the pieces that begin in a range of a text, and says where the last of them ends; `seen` hears where
    /// each begins and how many ids there are before it.
    fn scanned(
        &self,
        pipeline: &Pipeline,
        scan: Scan,
        (text, range): (&str, Range<usize>),
        (memo, out): (&mut Memo, &mut Vec<u32>),
        mut seen: impl FnMut(usize, usize),
    ) -> usize {
        let scanner = scan.scanner(text);
        let mut at = range.start;
        while at < range.end {
            seen(at, out.len());
            let end = scanner.end(at);
            self.piece(pipeline, text, at..end, memo, out);
            at = end;
        }
        at
    }

    #[inline]
    fn piece(&self, pipeline: &Pipeline, text: &str, range: Range<usize>, memo: &mut Memo, out: &mut Vec<u32>) {
        let key = Key::new(text.as_bytes(), range.clone());
        if key.is_some_and(|key| memo.recall(key, out)) {
            return;
        }
        let before = out.len();
        match (&self.letters, &pipeline.model) {
            (Some(letters), Model::Bpe(bpe)) => bpe.encode_bytes(letters, &text[range], &mut memo.scratch, out),
            _ => pipeline.encode_piece(&text[range], out),
        }
        if let Some(key) = key {
            memo.learn(key, &out[before..]);
        }
    }
}
