//! The memories of a program's layers.

use graph::{BackendError, Batch, Graph, Limits, Memory, MemoryPart};

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

    /// Gives the memory of the states in these slots back, in every layer.
    pub(crate) fn forget_states(&mut self, slots: &[u32]) {
        self.states.iter_mut().for_each(|states| states.forget(slots));
    }

    /// Adds what a part holds, layer by layer, to `bytes`; says whether there is such a part.
    pub(crate) fn save(&self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        match part {
            MemoryPart::Block(block) => {
                self.kv.iter().all(|layer| layer.block(block).map(|held| bytes.extend(held)).is_some())
            }
            MemoryPart::State(slot) => self.states.iter().all(|states| {
                let words = states.slot(slot).map(|state| state.iter().flat_map(|word| word.to_le_bytes()));
                words.map(|words| bytes.extend(words)).is_some()
            }),
        }
    }

    /// Lets a part hold what was saved of one; says whether it was one of such layers.
    pub(crate) fn load(&mut self, part: MemoryPart, bytes: &[u8]) -> bool {
        let each: Option<usize> = match part {
            MemoryPart::Block(block) => self.kv.iter().map(|layer| Some(layer.block(block)?.len())).sum(),
            MemoryPart::State(slot) => self.states.iter().map(|states| Some(4 * states.slot(slot)?.len())).sum(),
        };
        if each != Some(bytes.len()) {
            return false;
        }
        let mut rest = bytes;
        match part {
            MemoryPart::Block(block) => {
                for held in self.kv.iter_mut().filter_map(|layer| layer.block_mut(block)) {
                    held.copy_from_slice(rest.split_off(..held.len()).unwrap_or_default());
                }
            }
            MemoryPart::State(slot) => {
                for state in self.states.iter_mut().filter_map(|states| states.slot_mut(slot)) {
                    let saved = rest.split_off(..4 * state.len()).unwrap_or_default().as_chunks().0;
                    state.iter_mut().zip(saved).for_each(|(word, saved)| *word = f32::from_le_bytes(*saved));
                }
            }
        }
        true
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
