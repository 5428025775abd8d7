//! What a device can do, measured by its own kernels: bytes read and arithmetic per second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use graph::{Backend, BackendError, Batch, Graph, GraphBuilder, GraphError, KvType, Limits, Op, WeightInfo};
use tensor::{DType, Shape};

use crate::gpu::Gpu;
use crate::program::Program;

/// What a device can do.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Memory read by products of one row, in 10⁹ bytes per second.
    pub read_gb_s: f64,
    /// Products of `f32` added up by products of many rows, in 10⁹ operations per second, two for each product.
    pub f32_gflop_s: f64,
}

/// Rows and columns of a matrix; there are so many, which no cache holds.
const WIDTH: usize = 4096;
const MATRICES: usize = 4;
/// Rows of the largest batch.
const ROWS: usize = 256;
/// A batch that takes so long is large enough to measure arithmetic with.
const ENOUGH: Duration = Duration::from_millis(20);

impl Gpu {
    /// Measures for some tenths of a second, or for some seconds if it is slow. What else computes there meanwhile is in the figures.
    ///
    /// # Errors
    /// If its memory is short or it is lost.
    pub fn measure(&self) -> Result<Speed, BackendError> {
        let graph = products().map_err(|why| BackendError::Batch(why.to_string()))?;
        let upload = |info: &WeightInfo| self.upload(info, &vec![0; info.bytes().unwrap_or(0)]).map(Arc::new);
        let weights = graph.weights().iter().map(upload).collect::<Result<_, _>>()?;
        let limits = Limits {
            max_tokens: ROWS,
            max_outputs: 1,
            kv_blocks: 1,
            block_len: ROWS,
            kv_type: KvType::F16,
            state_slots: 0,
        };
        let mut program = self.compile(&graph, weights, limits)?;
        let one = self.best(&mut program, 1)?;
        let (mut rows, mut took) = (1, one);
        while rows < ROWS && took < ENOUGH {
            rows *= 4;
            took = self.best(&mut program, rows)?;
        }
        let numbers = (MATRICES * WIDTH * WIDTH) as f64;
        let per_second = |count: f64, took: Duration| count / took.as_secs_f64() / 1e9;
        Ok(Speed {
            read_gb_s: per_second(2.0 * numbers, one),
            f32_gflop_s: per_second(2.0 * rows as f64 * numbers, took),
        })
    }

    /// The shortest time of some batches of so many rows; the first makes everything ready.
    fn best(&self, program: &mut Program, rows: usize) -> Result<Duration, BackendError> {
        let mut batch = Batch { outputs: vec![0], ..Batch::default() };
        batch.push(&vec![0; rows], 0, [0]);
        let mut times = vec![];
        for _ in 0..4 {
            let start = Instant::now();
            self.run(program, &batch)?;
            times.push(start.elapsed());
        }
        Ok(times.into_iter().skip(1).min().unwrap_or_default())
    }
}

/// A row of a table, multiplied by one matrix after the other.
fn products() -> Result<Graph, GraphError> {
    let mut graph = GraphBuilder::new();
    let table = graph.weight(WeightInfo::matrix("table", Shape::matrix(1, WIDTH), DType::F32));
    let mut x = graph.push(Op::Embed { table }, &[])?;
    for i in 0..MATRICES {
        let weight = graph.weight(WeightInfo::matrix(format!("{i}"), Shape::matrix(WIDTH, WIDTH), DType::F16));
        x = graph.push(Op::Linear { weight }, &[x])?;
    }
    let x = graph.push(Op::SelectOutputs, &[x])?;
    graph.finish("products", x)
}
