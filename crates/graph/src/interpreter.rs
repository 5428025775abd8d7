//! The reference interpreter: every operator as plainly as it can be written, in `f32`, on one thread.

use crate::{Backend, BackendError, Batch, Graph, Limits, WeightId};

/// Runs graphs slowly and plainly; the yardstick for every other backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interpreter;

/// A graph bound to decoded weights.
#[derive(Debug)]
pub struct Program {}

impl Backend for Interpreter {
    type Weight = Vec<f32>;
    type Program = Program;

    fn upload(&self, graph: &Graph, id: WeightId, bytes: &[u8]) -> Result<Vec<f32>, BackendError> {
        let _ = (graph, id, bytes);
        todo!()
    }

    fn compile(&self, graph: &Graph, weights: Vec<Vec<f32>>, limits: Limits) -> Result<Program, BackendError> {
        let _ = (graph, weights, limits);
        todo!()
    }

    fn run(&self, program: &mut Program, batch: &Batch) -> Result<(), BackendError> {
        let _ = (program, batch);
        todo!()
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        let _ = program;
        todo!()
    }
}
