//! Computation as data: operators, the graph of a model, its fusion, its buffer plan, the backend's interface and a slow
//! reference interpreter.
//!
//! Architecture invariant: this crate knows nothing of model names, file formats, the cache lines or layouts of a device,
//! requests or the policy by which a batch is put together.

mod adapter;
mod backend;
mod batch;
mod builder;
mod device;
mod display;
mod fuse;
mod graph;
mod interpreter;
mod memory;
mod op;
mod plan;
mod recurrent;
mod shapes;
mod split;
pub mod testing;
mod top;
mod traffic;
mod validate;

pub use adapter::{Adapted, Adapter, Change};
pub use backend::{Backend, BackendError, Limits, MemoryPart};
pub use batch::{Batch, Span};
pub use builder::GraphBuilder;
pub use device::{Device, Layout};
pub use fuse::{Fused, Rule, UnknownRule, adapted, fuse, rules};
pub use graph::{Elem, Graph, GraphError, Node, Output, Rows, ValueId, ValueInfo, WeightId, WeightInfo, WeightRole};
pub use interpreter::Interpreter;
pub use memory::{KvShape, KvType, Memory};
pub use op::{Activation, Attention, End, GateScoring, Groups, Growth, Op, Product, Rope, RopeStyle, Squash};
pub use plan::{Plan, Step};
pub use recurrent::{GatedDelta, HeadOrder, Scan};
pub use split::{Stage, split};
pub use top::{OutputRow, Outputs, Top, descending, reduce};
pub use traffic::Traffic;
pub use validate::validate;
