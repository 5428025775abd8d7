//! Computation as data: operators, the graph of a model, its buffer plan, the backend's interface and a slow
//! reference interpreter.
//!
//! Architecture invariant: this crate knows nothing of model names, file formats, CPUs, GPUs, requests or the policy
//! by which a batch is put together.

mod backend;
mod batch;
mod builder;
mod display;
mod graph;
mod interpreter;
mod op;
mod plan;
mod shapes;
pub mod testing;

pub use backend::{Backend, BackendError, Limits};
pub use batch::{Batch, Span};
pub use builder::GraphBuilder;
pub use graph::{Elem, Graph, GraphError, KvShape, Node, Rows, ValueId, ValueInfo, WeightId, WeightInfo};
pub use interpreter::Interpreter;
pub use op::{Activation, Attention, End, GateScoring, Op, Product, Rope, RopeStyle};
pub use plan::{Plan, Step};
