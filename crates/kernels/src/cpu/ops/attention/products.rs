//! Attention's two products, straight from the cache. A line is decoded in registers and multiplied with all rows that registers
//! hold beside it. Each result is one chain of additions in the order of the dimensions or positions (of runs of dimensions, where
//! elements have scales: within a run, keys are multiplied with rounded queries as integers), so its bits depend on neither the tile
//! nor the rest of the batch.

use std::array::from_fn;
use std::marker::PhantomData;
use std::ops::Range;

use graph::KvType;

use crate::cpu::codecs::{Column, F16, F32};
use crate::cpu::memory::as_numbers;
use crate::cpu::ops::activations_q8::{self, Factor};
use crate::cpu::ops::cache::{Layer, QUAD, RUN};
use crate::cpu::simd::{Bytes, Kernel, LANES, Line, Simd};

/// scores\[row\]\[tile\] ← query\[row\] · the keys of the tile's positions.
pub(super) struct Scores<'a> {
    pub(super) layer: &'a Layer,
    pub(super) head: usize,
    /// The split's blocks.
    pub(super) blocks: &'a [u32],
    /// Tiles of the split.
    pub(super) tiles: Range<usize>,
    /// Rows of a head's dimensions, or, where keys are multiplied as integers, rounded ones ([`activations_q8::words`] of whole runs).
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

/// How a line of 16 numbers is read.
trait Format<const PARTS: usize> {
    /// Whether elements have scales.
    const SCALED: bool;
    /// Strips of a line.
    const STRIPS: usize = 1;

    /// One strip of a line.
    fn load<S: Simd>(s: S, line: &[Bytes; PARTS], strip: usize) -> S::F;
}

impl Format<4> for F32 {
    const SCALED: bool = false;

    #[inline(always)]
    fn load<S: Simd>(s: S, line: &[Bytes; 4], _: usize) -> S::F {
        <F32 as Column<4>>::load(s, line)
    }
}

impl Format<2> for F16 {
    const SCALED: bool = false;

    #[inline(always)]
    fn load<S: Simd>(s: S, line: &[Bytes; 2], _: usize) -> S::F {
        <F16 as Column<2>>::load(s, line)
    }
}

struct Q8_0;

impl Format<1> for Q8_0 {
    const SCALED: bool = true;

    #[inline(always)]
    fn load<S: Simd>(s: S, [line]: &[Bytes; 1], _: usize) -> S::F {
        s.float(s.signed(line))
    }
}

struct Q4_0;

impl Format<1> for Q4_0 {
    const SCALED: bool = true;
    const STRIPS: usize = 2;

    #[inline(always)]
    fn load<S: Simd>(s: S, [line]: &[Bytes; 1], strip: usize) -> S::F {
        let bytes = s.unsigned(line);
        let half = if strip == 0 { s.and(bytes, s.splat_int(15)) } else { s.shr(bytes, 4) };
        s.float(s.add_int(half, s.splat_int(-8)))
    }
}

/// How a line of keys is read that are multiplied as integers: as quads of unsigned bytes, of which a number is to be subtracted.
trait Quads<const QUADS: usize> {
    const ZERO: u32;

    fn load<S: Simd>(s: S, line: &[Bytes; 4]) -> [S::I; QUADS];
}

impl Quads<1> for Q8_0 {
    const ZERO: u32 = 128;

    #[inline(always)]
    fn load<S: Simd>(s: S, line: &[Bytes; 4]) -> [S::I; 1] {
        [s.bytes(line)]
    }
}

impl Quads<2> for Q4_0 {
    const ZERO: u32 = 8;

    #[inline(always)]
    fn load<S: Simd>(s: S, line: &[Bytes; 4]) -> [S::I; 2] {
        let (bytes, half) = (s.bytes(line), s.splat_int(0x0f0f_0f0f));
        [s.and(bytes, half), s.and(s.shr(bytes, 4), half)]
    }
}

/// Products of numbers that are stored as `F`, and of integers that are stored as `Q`.
struct Floats<F, const PARTS: usize>(PhantomData<F>);
struct Integers<Q, const QUADS: usize>(PhantomData<Q>);

/// Rows and tiles that registers hold beside each other.
const fn most<S: Simd>(integers: bool) -> (usize, usize) {
    if integers { (S::QUANT_ROWS, S::QUANT_TILES) } else { (S::ROWS, S::TILES) }
}

/// R rows from `row` on times T tiles from `tile` on.
struct Part<'p, P, F, const R: usize, const T: usize> {
    product: &'p mut P,
    row: usize,
    tile: usize,
    of: PhantomData<F>,
}

impl<P: Product<F>, F, const R: usize, const T: usize> Kernel for Part<'_, P, F, R, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.product.product::<S, R, T>(s, self.row, self.tile);
    }
}

/// What products have in common: some rows times some tiles at a time.
trait Product<F>: Sized {
    /// Whether integers are multiplied.
    const INTEGERS: bool = false;

    /// R rows times T tiles (or strips), all sums in registers. They stay there only if the loops over R and T are
    /// unrolled, which a check of bounds in them prevents.
    fn product<S: Simd, const R: usize, const T: usize>(&mut self, s: S, row: usize, tile: usize);

    #[inline(always)]
    fn all<S: Simd>(&mut self, s: S, rows: usize, tiles: Range<usize>) {
        let (most_rows, most_tiles) = const { most::<S>(Self::INTEGERS) };
        let mut tile = tiles.start;
        while tile < tiles.end {
            let at_once = (tiles.end - tile).min(most_tiles);
            let mut row = 0;
            while row < rows {
                // Groups of even size: 13 rows as 7 and 6, not as 12 and 1.
                let left = rows - row;
                let some = left.div_ceil(left.div_ceil(most_rows));
                match at_once {
                    2 if const { most::<S>(Self::INTEGERS).1 >= 2 } => self.rows::<S, 2>(s, (row, some), tile),
                    _ => self.rows::<S, 1>(s, (row, some), tile),
                }
                row += some;
            }
            tile += at_once;
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const T: usize>(&mut self, s: S, (row, rows): (usize, usize), tile: usize) {
        macro_rules! case {
            ($($n:literal)*) => {
                match rows {
                    $($n if const { most::<S>(Self::INTEGERS).0 >= $n } => {
                        s.apart(Part::<_, F, $n, T> { product: self, row, tile, of: PhantomData });
                    })*
                    _ => unreachable!("at most as many rows as there is room for"),
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
        let (rows, tiles) = (self.scores.len() / self.stride, self.tiles.clone());
        assert!(rows * self.layer.query_words() <= self.queries.len(), "queries");
        assert!(self.tiles.end <= self.stride, "scores");
        match self.layer.kv {
            KvType::F32 => Product::<Floats<F32, 4>>::all(&mut self, s, rows, tiles),
            KvType::F16 => Product::<Floats<F16, 2>>::all(&mut self, s, rows, tiles),
            KvType::Q8_0 => Product::<Integers<Q8_0, 1>>::all(&mut self, s, rows, tiles),
            KvType::Q4_0 => Product::<Integers<Q4_0, 2>>::all(&mut self, s, rows, tiles),
        }
    }
}

impl<F: Format<PARTS>, const PARTS: usize> Product<Floats<F, PARTS>> for Scores<'_> {
    #[inline(always)]
    fn product<S: Simd, const R: usize, const T: usize>(&mut self, s: S, row: usize, tile: usize) {
        let head_dim = self.layer.shape.head_dim;
        let tiles: [_; T] = from_fn(|t| self.tile::<PARTS>(tile + t).1);
        let next: [_; T] = from_fn(|t| self.tile::<PARTS>((tile + T + t).min(self.tiles.end - 1)).1);
        let values: [_; T] = from_fn(|t| self.values_beside(tile + t));
        let mut sums = [[s.splat(0.0); T]; R];
        for d in 0..head_dim {
            let w: [S::F; T] = from_fn(|t| {
                // SAFETY: a tile has a line for every dimension.
                #[allow(unsafe_code)]
                let (line, next) = unsafe { (tiles[t].get_unchecked(d), next[t].get_unchecked(d)) };
                if d % (4 / PARTS) == 0 {
                    s.prefetch(next, 0);
                    s.prefetch_far(values[t], d * size_of_val(line));
                }
                F::load(s, line, 0)
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
        for (r, sums) in sums.iter().enumerate() {
            for (t, sum) in sums.iter().enumerate() {
                s.store(self.score(row + r, tile + t), *sum);
            }
        }
    }
}

impl<Q: Quads<QUADS>, const QUADS: usize> Product<Integers<Q, QUADS>> for Scores<'_> {
    const INTEGERS: bool = true;

    #[inline(always)]
    fn product<S: Simd, const R: usize, const T: usize>(&mut self, s: S, row: usize, tile: usize) {
        let tiles: [_; T] = from_fn(|t| self.tile::<4>(tile + t));
        let next: [_; T] = from_fn(|t| self.tile::<4>((tile + T + t).min(self.tiles.end - 1)).1);
        let values: [_; T] = from_fn(|t| self.values_beside(tile + t));
        let (queries, stride) =
            (activations_q8::blocks(self.queries), self.layer.query_words() / activations_q8::WORDS);
        let lines = RUN / QUAD / QUADS;
        for run in 0..self.layer.shape.head_dim.div_ceil(RUN) {
            // `run` has compared the rows with the queries.
            let x: [Factor<{ RUN / QUAD }>; R] = from_fn(|r| Factor::new(queries, (row + r) * stride, run));
            let mut sums: [[S::I; T]; R] = from_fn(|r| [x[r].start(s, Q::ZERO); T]);
            for i in 0..lines {
                let w: [[S::I; QUADS]; T] = from_fn(|t| {
                    let at = run * lines + i;
                    // SAFETY: a tile has the lines of every run.
                    #[allow(unsafe_code)]
                    let (line, next) = unsafe { (tiles[t].1.get_unchecked(at), next[t].get_unchecked(at)) };
                    s.prefetch(next, 0);
                    s.prefetch_far(values[t], at * size_of_val(line));
                    Q::load(s, line)
                });
                for (sums, x) in sums.iter_mut().zip(&x) {
                    for quad in 0..QUADS {
                        let x = s.splat_int(x.quads[i * QUADS + quad].to_bits().cast_signed());
                        for (sum, w) in sums.iter_mut().zip(&w) {
                            *sum = s.dot(*sum, w[quad], x, Q::ZERO >= 128);
                        }
                    }
                }
            }
            for (r, (sums, x)) in sums.iter().zip(&x).enumerate() {
                for (t, sum) in sums.iter().enumerate() {
                    let scale = s.mul(s.f16(&tiles[t].0[run]), s.splat(x.scale()));
                    let to = self.score(row + r, tile + t);
                    let before = if run == 0 { s.splat(0.0) } else { s.load(to) };
                    s.store(to, s.mul_add(s.float(*sum), scale, before));
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

    /// Where the values are that take as much of their page as a tile does of the keys'. Both products read equally much. Each prefetches
    /// what the other will read, so that memory is never idle.
    #[inline(always)]
    fn values_beside(&self, tile: usize) -> &'a Bytes {
        let (block, part) = (tile / self.layer.tiles(), tile % self.layer.tiles());
        let values = self.layer.values(self.blocks[block] as usize, self.head);
        &values[(part * self.layer.tile_lines_size()).min(values.len() - 1)]
    }

    /// The scores of a row and a tile, which are within those that `run` has checked.
    #[inline(always)]
    fn score(&mut self, row: usize, tile: usize) -> &mut [f32; LANES] {
        // SAFETY: `run` has compared the tiles with the stride.
        #[allow(unsafe_code)]
        unsafe {
            &mut self.scores.get_unchecked_mut(row * self.stride + tile).0
        }
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
        match self.layer.kv {
            KvType::F32 => Product::<Floats<F32, 4>>::all(&mut self, s, rows, 0..strips),
            KvType::F16 => Product::<Floats<F16, 2>>::all(&mut self, s, rows, 0..strips),
            KvType::Q8_0 => Product::<Floats<Q8_0, 1>>::all(&mut self, s, rows, 0..strips),
            KvType::Q4_0 => Product::<Floats<Q4_0, 1>>::all(&mut self, s, rows, 0..strips),
        }
    }
}

impl<F: Format<PARTS>, const PARTS: usize> Product<Floats<F, PARTS>> for Values<'_> {
    #[inline(always)]
    fn product<S: Simd, const R: usize, const T: usize>(&mut self, s: S, row: usize, strip: usize) {
        let mut sums: [[S::F; T]; R] = self.load(s, row, strip);
        let (weights, block_len) = (as_numbers(self.weights), self.layer.block_len);
        let Range { start, end } = self.positions;
        for block in start / block_len..end.div_ceil(block_len) {
            let first = strip / F::STRIPS;
            let (scales, lines) = self.lines::<PARTS>(block, strip / STRIPS, first);
            let next = self.lines::<PARTS>((block + 1).min(end.div_ceil(block_len) - 1), strip / STRIPS, first).1;
            let then = self.then.blocks[block.min(self.then.blocks.len() - 1)] as usize;
            let then = &self.layer.keys(then, self.then.head)[first * block_len * PARTS];
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
                        let i = ((strip + t) / F::STRIPS - first) * block_len + position;
                        // SAFETY: a strip has a line for every position of a block.
                        #[allow(unsafe_code)]
                        let (line, next) = unsafe { (lines.get_unchecked(i), next.get_unchecked(i)) };
                        if position % (4 / PARTS) == 0 {
                            s.prefetch(next, 0);
                            s.prefetch_far(then, i * size_of_val(line));
                        }
                        F::load(s, line, (strip + t) % F::STRIPS)
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

    /// Of a block: the scales of a run, and the values' lines from the `first`th of each position on.
    #[inline(always)]
    fn lines<const PARTS: usize>(
        &self,
        block: usize,
        run: usize,
        first: usize,
    ) -> (&'a [[Bytes; 2]], &'a [[Bytes; PARTS]]) {
        let (tiles, page) = (self.layer.tiles(), self.layer.values(self.blocks[block] as usize, self.head));
        let (scales, lines) = page.split_at(tiles * self.layer.scales_size());
        let (scales, lines) = (scales.as_chunks().0, lines.as_chunks().0);
        (scales.get(run * tiles..(run + 1) * tiles).unwrap_or_default(), &lines[first * self.layer.block_len..])
    }
}

/// Strips of a run of dimensions.
const STRIPS: usize = RUN / LANES;
