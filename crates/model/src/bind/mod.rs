//! A checkpoint bound to a graph: which bytes are which weight.

mod binder;
mod classic;
mod encoders;
mod experts;
mod names;
mod recurrent;
mod source;

pub(crate) use binder::{Binder, Binding, Slice};
pub(crate) use experts::Role;
pub(crate) use names::Names;
pub(crate) use source::Source;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use graph::{Graph, GraphBuilder, Op, ValueId, WeightId};

use crate::arch::{self, Built, Config};
use crate::{Checkpoint, ModelError, ModelSpec, TensorInfo};

/// A model ready for a backend: its numbers, its graph, and its weights in the files.
#[derive(Debug)]
pub struct Model {
    checkpoint: Arc<Checkpoint>,
    spec: ModelSpec,
    graph: Graph,
    /// In the order of [`Graph::weights`].
    bindings: Vec<Binding>,
    /// What the head reads.
    hidden: ValueId,
    /// What is handed over to it, and to another head, if it is a stage of its own.
    handed: ValueId,
}

impl Model {
    /// See [`Checkpoint::bind_handing_over`].
    pub(crate) fn bind(
        checkpoint: &Arc<Checkpoint>,
        context: Option<usize>,
        layers: &[usize],
    ) -> Result<Model, ModelError> {
        let config = Config::new(checkpoint)?;
        let spec = arch::read_spec(&config, context)?;
        let built = arch::build(checkpoint, &spec, Binder::new(&config)?, layers)?;
        Ok(Model::of(checkpoint, spec, built))
    }

    fn of(checkpoint: &Arc<Checkpoint>, spec: ModelSpec, built: Built) -> Model {
        let Built { graph, bindings, hidden, handed } = built;
        Model { checkpoint: checkpoint.clone(), spec, graph, bindings, hidden, handed }
    }

    /// See [`Checkpoint::bind_eagle3`].
    pub(crate) fn bind_eagle3(checkpoint: &Arc<Checkpoint>, context: Option<usize>) -> Result<Model, ModelError> {
        let config = Config::new(checkpoint)?;
        let spec = arch::read_spec(&config, context)?;
        let built = arch::build_eagle3(checkpoint, &spec, Binder::new(&config)?)?;
        Ok(Model::of(checkpoint, spec, built))
    }

    /// See [`Checkpoint::bind_mtp`].
    pub(crate) fn bind_mtp(checkpoint: &Arc<Checkpoint>, context: Option<usize>) -> Result<Option<Model>, ModelError> {
        let mut config = Config::new(checkpoint)?;
        let Some(spec) = arch::read_mtp(&mut config, context)? else { return Ok(None) };
        let built = arch::build_mtp(checkpoint, &spec, Binder::new(&config)?)?;
        Ok(Some(Model::of(checkpoint, spec, built)))
    }

    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Tensors of the files that running does not need: of towers for images and sound, of layers that guess tokens ahead.
    pub fn unused(&self) -> Vec<&TensorInfo> {
        let used: HashSet<_> = self.bindings.iter().flat_map(|binding| binding.source.tensors()).collect();
        let read_elsewhere = |name: &str| {
            name.starts_with("rope_f") || name.ends_with("rotary_emb.inv_freq") || name.contains(classic::ACTIVATION)
        };
        let all = self.checkpoint.tensors().iter();
        all.filter(|tensor| !used.contains(tensor.name.as_str()) && !read_elsewhere(&tensor.name)).collect()
    }

    /// Whether the files have the weight; elements of some norms are all 1, and they have none of them.
    pub(crate) fn is_stored(&self, id: WeightId) -> bool {
        !self.bindings[id.index()].source.tensors().is_empty()
    }

    /// Its numbers.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Its computation.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The part of its computation before the head, which gives the normalized rows of the last layer: `[outputs, width]`. Its
    /// weights have the ids that they have in [`Model::graph`].
    ///
    /// # Errors
    /// Never, unless the graph is broken.
    pub fn hidden_states(&self) -> Result<Graph, ModelError> {
        let graph = || {
            let mut builder = GraphBuilder::until(&self.graph, self.hidden)?;
            let selected = builder.push(Op::SelectOutputs, &[self.hidden])?;
            builder.finish("hidden states", selected)
        };
        graph().map_err(|e| self.checkpoint.invalid(&e.op, e.reason))
    }

    /// The node of [`Model::graph`] that comes after the normalized rows of the last layer, or after the rows that are handed over with
    /// them ([`Checkpoint::bind_handing_over`]). Cut there ([`graph::split`]), the first stage hands these over, and the second is the head.
    pub fn head(&self) -> usize {
        let made = self.graph.nodes().iter().position(|node| node.outputs.contains(&self.handed));
        made.map_or(0, |at| at + 1)
    }

    /// Numbers of a row that is handed over there.
    pub fn handed(&self) -> usize {
        self.graph.value(self.handed).width
    }

    /// Where a weight comes from, and its shape there.
    pub(crate) fn source(&self, id: WeightId) -> (&Source, tensor::Shape) {
        let Binding { source, shape, .. } = &self.bindings[id.index()];
        (source, *shape)
    }

    /// How a weight is made of the files' tensors, in words that are the same for the same way, whatever is in the tensors.
    ///
    /// # Panics
    /// If the weight is another graph's.
    pub fn origin(&self, id: WeightId) -> String {
        format!("{:?}", self.bindings[id.index()])
    }

    /// The bytes of a weight in the form its `WeightInfo` says: straight from the map where the file has them so, else
    /// put together (experts stored one by one, fused matrices in another order).
    ///
    /// # Errors
    /// If the file's bytes cannot be brought into that form.
    ///
    /// # Panics
    /// If the weight is another graph's.
    pub fn read(&self, id: WeightId) -> Result<Cow<'_, [u8]>, ModelError> {
        let Binding { source, shape, form } = &self.bindings[id.index()];
        source.read(&self.checkpoint, *shape, *form)
    }
}
