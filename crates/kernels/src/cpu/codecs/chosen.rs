//! Products of few 8-bit rows with weights of which two in four are kept ([0051](../../../../../docs/decisions/0051-two-of-four.md)). Levels
//! are not moved to their columns: a lookup chooses the activations that they are multiplied with. So a word has the products of eight
//! columns, and memory is what a thread waits for.

use super::coded::Q4_2OF4;
use super::dot::ask;
use super::rounded::RoundedProduct;
use super::{Block, QUAD, half};
use crate::cpu::ops::activations_q8::Factor;
use crate::cpu::simd::{Bytes, Kernel, Simd, Vector};

/// Rows up to which activations are chosen; for more, weights are unpacked once for all of them.
pub(crate) const ROWS: usize = 8;
/// Lines of a run of 32 columns.
const LINES: usize = 8;
/// Fields of a block.
const LEN: usize = 6 * QUAD + 2;
/// Which of 16 columns the places of a word count from.
const FROM: [i32; 2] = [0x0404_0000, 0x0c0c_0808];

impl RoundedProduct<'_> {
    /// Runs it for weights of which two in four are kept, with few rows.
    pub(crate) fn run_chosen(self, vector: Vector) {
        vector.run(Chosen(self));
    }
}

struct Chosen<'a>(RoundedProduct<'a>);

impl Kernel for Chosen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (count, tiles) = (self.0.rows.len(), self.0.tiles.len() / self.0.stride);
        Factor::check(self.0.x, self.0.rows, self.0.cols);
        for tile in 0..tiles {
            let mut row = 0;
            while row < count {
                let rows = match count - row {
                    1 => 1,
                    2 | 3 => 2,
                    _ if S::QUANT_TILES == 1 => 2,
                    _ => 4,
                };
                match rows {
                    1 => self.rows::<S, 1>(s, row, tile),
                    2 => self.rows::<S, 2>(s, row, tile),
                    _ if const { S::QUANT_TILES > 1 } => self.rows::<S, 4>(s, row, tile),
                    _ => unreachable!("as many as registers take"),
                }
                row += rows;
            }
        }
    }
}

impl Chosen<'_> {
    /// R rows times a tile. The first ones prefetch.
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, s: S, row: usize, tile: usize) {
        let job = &mut self.0;
        let rows = job.rows[row..].first_chunk::<R>().expect("so many");
        let mut totals = [s.splat(0.0); R];
        for (b, fields) in job.tiles[tile * job.stride..][..job.cols / 64 * LEN].chunks_exact(LEN).enumerate() {
            if row == 0 {
                ask(s, &fields[0], 0..LEN.div_ceil(QUAD), Some(job.ahead.near), job.ahead.far);
            }
            let block = Block::new(fields);
            for run in 0..2 {
                add(s, &block, run, &Factor::all(job.x, rows, 2 * b + run), &mut totals);
            }
        }
        for (r, total) in totals.into_iter().enumerate() {
            s.store(&mut job.sums[(row + r) * job.sums_stride + tile].0, total);
        }
    }
}

/// Adds the products of R rows with half a block. Sums are those of `rounded.rs`: exact, then times both scales.
#[inline(always)]
fn add<S: Simd, const R: usize>(s: S, block: &Block<6, 2>, run: usize, x: &[Factor<LINES>; R], totals: &mut [S::F; R]) {
    let (mut sums, mut excess) = ([s.splat_int(0); R], [s.splat_int(0); R]);
    let eights = s.splat_int(0x0808_0808);
    for i in 0..Q4_2OF4::WORDS {
        let levels = Q4_2OF4::levels(s, block, run, i);
        let places = s.or(Q4_2OF4::places(s, &block.quants[4 + run], i), s.splat_int(FROM[i % 2]));
        for ((sum, excess), x) in sums.iter_mut().zip(&mut excess).zip(x) {
            let chosen = s.lookup(&columns(x, i / 2), places);
            *sum = s.dot(*sum, levels, chosen, false);
            *excess = s.dot(*excess, eights, chosen, false);
        }
    }
    let scale = half(s, block.side, 0);
    for ((total, (sum, excess)), x) in totals.iter_mut().zip(sums.into_iter().zip(excess)).zip(x) {
        let sum = s.sub(s.float(sum), s.float(excess));
        *total = s.mul_add(sum, s.mul(scale, s.splat(x.scale())), *total);
    }
}

/// 16 columns of a row.
#[inline(always)]
fn columns(x: &Factor<LINES>, i: usize) -> Bytes {
    let mut bytes = [0; 16];
    for (to, quad) in bytes.as_chunks_mut::<QUAD>().0.iter_mut().zip(&x.quads[4 * i..]) {
        *to = quad.to_le_bytes();
    }
    bytes
}
