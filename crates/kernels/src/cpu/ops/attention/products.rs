//! Attention's two products, straight from the cache. A line is decoded in registers and multiplied with all rows that registers
//! hold beside it. Each result is one chain of additions in the order of the dimensions or positions (of runs of dimensions, where
//! elements have scales), so its bits depend on neither the tile nor the rest of the batch.

use std::array::from_fn;
use std::ops::Range;

use graph::KvType;

use crate::cpu::codecs::{Column, F16, F32};
use crate::cpu::memory::as_numbers;
use crate::cpu::ops::cache::{Layer, RUN};
use crate::cpu::simd::{Bytes, Kernel, LANES, Line, Simd};

/// scores\[row\]\[tile\] ← query\[row\] · the keys of the tile's positions.
pub(super) struct Scores<'a> {
    pub(super) layer: &'a Layer,
    pub(super) head: usize,
    /// The split's blocks.
    pub(super) blocks: &'a [u32],
    /// Tiles of the split.
    pub(super) tiles: Range<usize>,
    /// Rows of a head's dimensions.
    pub(super) queries: &'a [f32],
    /// Rows of `stride`; how many there are is how many rows there are.
    pub(super) scores: &'a mut [Line],
    pub(super) stride: usize,
}

/// values\[row\] += Σ weight\[row\]\[position\] · the position's value.
pub(super) struct Values<'a> {
    pub(super) layer: &'a Layer,
    pub(super) head: usize,
    /// The split's blocks.
    pub(super) blocks: &'a [u32],
    /// Positions of the split.
    pub(super) positions: Range<usize>,
    /// Softmax weights: rows of `weights_stride`, by tiles of the split.
    pub(super) weights: &'a [Line],
    pub(super) weights_stride: usize,
    /// Rows of `stride`; how many there are is how many rows there are.
    pub(super) values: &'a mut [Line],
    pub(super) stride: usize,
    /// The keys that are multiplied next; they are prefetched.
    pub(super) then: Pages<'a>,
}

/// One head's pages in some blocks.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub(super) head: usize,
    pub(super) blocks: &'a [u32],
}

/// A storage type of the cache.
trait Format<const PARTS: usize>: Column<PARTS> {
    /// Whether elements have scales.
    const SCALED: bool;
}

struct Q8_0;

impl Column<1> for Q8_0 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &[Bytes; 1]) -> S::F {
        s.float(s.signed(&fields[0]))
    }
}

impl Format<4> for F32 {
    const SCALED: bool = false;
}

impl Format<2> for F16 {
    const SCALED: bool = false;
}

impl Format<1> for Q8_0 {
    const SCALED: bool = true;
}

/// What both products have in common: some rows times some tiles at a time.
trait Product {
    /// R rows times T tiles (or strips), all sums in registers. They stay there only if the loops over R and T are
    /// unrolled, which a check of bounds in them prevents.
    fn product<S: Simd, F: Format<PARTS>, const PARTS: usize, const R: usize, const T: usize>(
        &mut self,
        s: S,
        row: usize,
        tile: usize,
    );

    #[inline(always)]
    fn all<S: Simd>(&mut self, s: S, kv: KvType, rows: usize, tiles: Range<usize>) {
        match kv {
            KvType::F32 => self.each::<S, F32, 4>(s, rows, tiles),
            KvType::F16 => self.each::<S, F16, 2>(s, rows, tiles),
            KvType::Q8_0 => self.each::<S, Q8_0, 1>(s, rows, tiles),
        }
    }

    #[inline(always)]
    fn each<S: Simd, F: Format<PARTS>, const PARTS: usize>(&mut self, s: S, rows: usize, tiles: Range<usize>) {
        let mut tile = tiles.start;
        while tile < tiles.end {
            let at_once = (tiles.end - tile).min(S::TILES);
            let mut row = 0;
            while row < rows {
                // Groups of even size: 13 rows as 7 and 6, not as 12 and 1.
                let left = rows - row;
                let some = left.div_ceil(left.div_ceil(S::ROWS));
                match at_once {
                    2 => self.rows::<S, F, PARTS, 2>(s, (row, some), tile),
                    _ => self.rows::<S, F, PARTS, 1>(s, (row, some), tile),
                }
                row += some;
            }
            tile += at_once;
        }
    }

    #[inline(always)]
    fn rows<S: Simd, F: Format<PARTS>, const PARTS: usize, const T: usize>(
        &mut self,
        s: S,
        (row, rows): (usize, usize),
        tile: usize,
    ) {
        macro_rules! case {
            ($($n:literal)*) => {
                match rows {
                    $($n if S::ROWS >= $n && S::TILES >= T => self.product::<S, F, PARTS, $n, T>(s, row, tile),)*
                    _ => unreachable!("at most S::ROWS rows"),
                }
            };
        }
        case!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

impl Kernel for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = self.scores.len() / self.stride;
        assert!(rows * self.layer.shape.head_dim <= self.queries.len(), "queries");
        assert!(self.tiles.end <= self.stride, "scores");
        self.all(s, self.layer.kv, rows, self.tiles.clone());
    }
}

impl<'a> Product for Scores<'a> {
    #[inline(always)]
    fn product<S: Simd, F: Format<PARTS>, const PARTS: usize, const R: usize, const T: usize>(
        &mut self,
        s: S,
        row: usize,
        tile: usize,
    ) {
        let head_dim = self.layer.shape.head_dim;
        let tiles: [_; T] = from_fn(|t| self.tile::<PARTS>(tile + t));
        let next: [_; T] = from_fn(|t| self.tile::<PARTS>((tile + T + t).min(self.tiles.end - 1)).1);
        // Both products read equally much. Each prefetches what the other will read, so that memory is never idle.
        let values: [_; T] = from_fn(|t| {
            let (block, part) = ((tile + t) / self.layer.tiles(), (tile + t) % self.layer.tiles());
            &self.layer.values(self.blocks[block] as usize, self.head)[part * head_dim * PARTS]
        });
        let mut sums = [[s.splat(0.0); T]; R];
        let runs = head_dim.div_ceil(RUN);
        for run in 0..runs {
            for d in run * RUN..((run + 1) * RUN).min(head_dim) {
                let w: [S::F; T] = from_fn(|t| {
                    // SAFETY: a tile has a line for every dimension.
                    #[allow(unsafe_code)]
                    let (line, next) = unsafe { (tiles[t].1.get_unchecked(d), next[t].get_unchecked(d)) };
                    if d % (4 / PARTS) == 0 {
                        s.prefetch(next, 0);
                        s.prefetch_far(values[t], d * size_of_val(line));
                    }
                    F::load(s, line)
                });
                for (r, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: `run` has compared the rows with the queries.
                    #[allow(unsafe_code)]
                    let x = s.splat(unsafe { *self.queries.get_unchecked((row + r) * head_dim + d) });
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = s.mul_add(w, x, *sum);
                    }
                }
            }
            // A run is summed up before it is multiplied with its scale.
            if !F::SCALED && run + 1 < runs {
                continue;
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                for (t, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: `run` has compared the tiles with the stride.
                    #[allow(unsafe_code)]
                    let to = unsafe { self.scores.get_unchecked_mut((row + r) * self.stride + tile + t) };
                    if F::SCALED {
                        let before = if run == 0 { s.splat(0.0) } else { s.load(&to.0) };
                        *sum = s.mul_add(*sum, s.f16(&tiles[t].0[run]), before);
                    }
                    s.store(&mut to.0, *sum);
                    *sum = s.splat(0.0);
                }
            }
        }
    }
}

impl<'a> Scores<'a> {
    /// The scales and the lines of a tile.
    #[inline(always)]
    fn tile<const PARTS: usize>(&self, tile: usize) -> (&'a [[Bytes; 2]], &'a [[Bytes; PARTS]]) {
        let (tiles, size) = (self.layer.tiles(), self.layer.tile_size());
        let page = self.layer.keys(self.blocks[tile / tiles] as usize, self.head);
        let (scales, lines) = page[tile % tiles * size..][..size].split_at(self.layer.scales_size());
        (scales.as_chunks().0, lines.as_chunks().0)
    }
}

impl Kernel for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (rows, strips) = (self.values.len() / self.stride, self.layer.strips());
        assert!(rows * self.weights_stride <= self.weights.len(), "weights");
        let blocks = self.positions.end.div_ceil(self.layer.block_len);
        assert!(blocks * self.layer.tiles() <= self.weights_stride, "weights");
        assert!(strips <= self.stride, "values");
        self.all(s, self.layer.kv, rows, 0..strips);
    }
}

impl<'a> Product for Values<'a> {
    #[inline(always)]
    fn product<S: Simd, F: Format<PARTS>, const PARTS: usize, const R: usize, const T: usize>(
        &mut self,
        s: S,
        row: usize,
        strip: usize,
    ) {
        let mut sums: [[S::F; T]; R] = self.load(s, row, strip);
        let (weights, block_len) = (as_numbers(self.weights), self.layer.block_len);
        let Range { start, end } = self.positions;
        for block in start / block_len..end.div_ceil(block_len) {
            let (scales, lines) = self.strips::<PARTS>(block, strip);
            let next = self.strips::<PARTS>((block + 1).min(end.div_ceil(block_len) - 1), strip).1;
            let then = self.then.blocks[block.min(self.then.blocks.len() - 1)] as usize;
            let then = &self.layer.keys(then, self.then.head)[strip * block_len * PARTS];
            let weight = block * self.layer.tiles() * LANES;
            let within = |position: usize| position.saturating_sub(block * block_len).min(block_len);
            let mut at = within(start);
            while at < within(end) {
                // Scales come for a tile of positions at a time and are multiplied into the softmax weights.
                let stop = if F::SCALED { (at / LANES + 1) * LANES } else { block_len }.min(within(end));
                let mut scaled = [[0.0; LANES]; R];
                for (r, scaled) in scaled.iter_mut().enumerate().filter(|_| F::SCALED) {
                    let tile = (row + r) * self.weights_stride + block * self.layer.tiles() + at / LANES;
                    s.store(scaled, s.mul(s.load(&self.weights[tile].0), s.f16(&scales[at / LANES])));
                }
                for position in at..stop {
                    let w: [S::F; T] = from_fn(|t| {
                        let i = t * block_len + position;
                        // SAFETY: a strip has a line for every position of a block.
                        #[allow(unsafe_code)]
                        let (line, next) = unsafe { (lines.get_unchecked(i), next.get_unchecked(i)) };
                        if position % (4 / PARTS) == 0 {
                            s.prefetch(next, 0);
                            s.prefetch_far(then, i * size_of_val(line));
                        }
                        F::load(s, line)
                    });
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let weight = (row + r) * self.weights_stride * LANES + weight + position;
                        // SAFETY: `run` has compared the positions' blocks with the weights.
                        #[allow(unsafe_code)]
                        let weight = unsafe { weights.get_unchecked(weight) };
                        let x = s.splat(if F::SCALED { scaled[r][position % LANES] } else { *weight });
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = s.mul_add(w, x, *sum);
                        }
                    }
                }
                at = stop;
            }
        }
        self.store(s, row, strip, &sums);
    }
}

impl<'a> Values<'a> {
    #[inline(always)]
    fn load<S: Simd, const R: usize, const T: usize>(&self, s: S, row: usize, strip: usize) -> [[S::F; T]; R] {
        from_fn(|r| {
            from_fn(|t| {
                // SAFETY: `run` has compared the strips with the stride, and there are whole rows.
                #[allow(unsafe_code)]
                let from = unsafe { self.values.get_unchecked((row + r) * self.stride + strip + t) };
                s.load(&from.0)
            })
        })
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const T: usize>(
        &mut self,
        s: S,
        row: usize,
        strip: usize,
        sums: &[[S::F; T]; R],
    ) {
        for (r, sums) in sums.iter().enumerate() {
            for (t, sum) in sums.iter().enumerate() {
                // SAFETY: as in `load`.
                #[allow(unsafe_code)]
                let to = unsafe { self.values.get_unchecked_mut((row + r) * self.stride + strip + t) };
                s.store(&mut to.0, *sum);
            }
        }
    }

    /// Of a block: the scales of a strip and its neighbours in the same run, and the lines of it and all after it.
    #[inline(always)]
    fn strips<const PARTS: usize>(&self, block: usize, strip: usize) -> (&'a [[Bytes; 2]], &'a [[Bytes; PARTS]]) {
        let (tiles, page) = (self.layer.tiles(), self.layer.values(self.blocks[block] as usize, self.head));
        let (scales, lines) = page.split_at(tiles * self.layer.scales_size());
        let (scales, lines) = (scales.as_chunks().0, lines.as_chunks().0);
        let run = strip / STRIPS * tiles;
        (scales.get(run..run + tiles).unwrap_or_default(), &lines[strip * self.layer.block_len..])
    }
}

/// Strips of a run of dimensions.
const STRIPS: usize = RUN / LANES;
