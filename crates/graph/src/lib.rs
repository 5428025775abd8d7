//! Computation as data: operators, the graph of a model, its fusion, its buffer plan, the backend's interface and a slow
//! reference interpreter.
//!
//! Architecture invariant: this crate knows nothing of model names, file formats, CPUs, GPUs, requests or the policy
//! by which a batch is put together.

mod backend;
mod batch;
mod builder;
mod display;
mod fuse;
mod graph;
mod interpreter;
mod op;
mod plan;
mod shapes;
pub mod testing;
mod traffic;
mod validate;

pub use backend::{Backend, BackendError, Limits};
pub use batch::{Batch, Span};
pub use builder::GraphBuilder;
pub use fuse::{Fused, Rule, UnknownRule, fuse, rules};
pub use graph::{Elem, Graph, GraphError, KvShape, Node, Rows, ValueId, ValueInfo, WeightId, WeightInfo};
pub use interpreter::Interpreter;
pub use op::{Activation, Attention, End, GateScoring, Op, Product, Rope, RopeStyle};
pub use plan::{Plan, Step};
pub use traffic::Traffic;
pub use validate::validate;
