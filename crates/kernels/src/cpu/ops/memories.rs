//! The memories of a program's layers.

use graph::{BackendError, Batch, Graph, Limits, Memory};

use super::{Layer, States};

/// Keys and values, and recurrent states, of the layers that have them.
#[derive(Debug)]
pub(crate) struct Memories {
    kv: Vec<Layer>,
    states: Vec<States>,
    /// By the index of a layer's memory in the graph, its index in the list for its kind.
    places: Vec<usize>,
}

impl Memories {
    pub(crate) fn new(graph: &Graph, limits: &Limits) -> Result<Memories, BackendError> {
        let mut memories = Memories { kv: vec![], states: vec![], places: vec![] };
        for memory in graph.memory() {
            match *memory {
                Memory::Kv(shape) => {
                    memories.places.push(memories.kv.len());
                    memories.kv.push(Layer::new(shape, limits)?);
                }
                Memory::Recurrent { len } => {
                    memories.places.push(memories.states.len());
                    memories.states.push(States::new(len, limits.state_slots)?);
                }
            }
        }
        Ok(memories)
    }

    /// Makes the copies that come before a batch.
    pub(crate) fn copy(&mut self, batch: &Batch) {
        self.kv.iter_mut().for_each(|layer| layer.copy(&batch.copies));
        self.states.iter_mut().for_each(|states| states.copy(&batch.state_copies));
    }

    /// Gives the memory of these blocks back to the system, in every layer.
    pub(crate) fn forget(&mut self, blocks: &[u32]) {
        self.kv.iter_mut().for_each(|layer| layer.forget(blocks));
    }

    /// All layers with keys and values.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.kv
    }

    /// The keys and values of a layer that the graph gives them.
    pub(crate) fn kv(&self, layer: usize) -> &Layer {
        &self.kv[self.places[layer]]
    }

    pub(crate) fn kv_mut(&mut self, layer: usize) -> &mut Layer {
        &mut self.kv[self.places[layer]]
    }

    /// The states of a layer that the graph makes recurrent.
    pub(crate) fn states_mut(&mut self, layer: usize) -> &mut States {
        &mut self.states[self.places[layer]]
    }

    /// Memory of keys and values, and of states, in bytes.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (self.kv.iter().map(Layer::bytes).sum(), self.states.iter().map(States::bytes).sum())
    }
}
