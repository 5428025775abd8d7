//! From an adapter's names to rows of a model's weights.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Adapter, LowRank, names};
use crate::bind::Source;
use crate::{Checkpoint, Model, ModelError};

/// Rows of a weight that change: as rows of a change from `first` on.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) rows: Range<usize>,
    pub(crate) change: Arc<LowRank>,
    pub(crate) first: usize,
}

impl Adapter {
    /// What changes of a checkpoint's tensors, by their names.
    pub(crate) fn tensors(&self, checkpoint: &Checkpoint) -> Result<HashMap<String, Piece>, ModelError> {
        let all = names::targets(self, checkpoint)?.into_iter();
        Ok(all
            .map(|(name, change)| (name, Piece { rows: 0..change.rows(), change: Arc::new(change), first: 0 }))
            .collect())
    }

    /// What changes of a model's weights, by their index.
    pub(crate) fn weights(&self, model: &Model) -> Result<HashMap<usize, Vec<Piece>>, ModelError> {
        let (targets, mut used) = (self.tensors(model.checkpoint())?, HashSet::new());
        let mut weights = HashMap::new();
        for id in model.graph().weight_ids() {
            let (source, shape) = model.source(id);
            let mut pieces = Vec::new();
            for (i, name) in source.tensors().iter().enumerate() {
                let Some(Piece { change, .. }) = targets.get(&**name) else { continue };
                used.insert(name.to_string());
                let place = |rows, first| Piece { rows, change: change.clone(), first };
                match source {
                    Source::Rows { tensors, first, .. } if shape.outer == tensors.len() => {
                        pieces.push(place(i * shape.rows..(i + 1) * shape.rows, *first));
                    }
                    Source::Grouped { groups, of, first, .. } if shape.outer == 1 => {
                        let each = shape.rows / groups;
                        pieces.extend((0..*groups).map(|g| place(g * each..(g + 1) * each, g * of + first)));
                    }
                    _ => {
                        return Err(self.invalid(
                            name,
                            "the model reads this matrix in another layout; merge the adapter with PEFT",
                        ));
                    }
                }
            }
            if !pieces.is_empty() {
                weights.insert(id.index(), pieces);
            }
        }
        match targets.keys().find(|name| !used.contains(*name)) {
            Some(name) => Err(self.invalid(name, "is no matrix of the text model; only that can be adapted")),
            None => Ok(weights),
        }
    }
}
