//! The keys of models with recurrent layers.

use crate::ModelError;
use crate::gguf::GgufValue;
use crate::spec::{LayerSpec, ModelSpec, RecurrentSpec};

use super::super::config::{Config, Key};
use super::super::recurrent::{self, KEY_DIM, KEY_HEADS, ROTATED, SHORT_TAPS, TAPS, VALUE_HEADS, VALUES};
use super::super::{Recurrence, spec};
use super::Keys;

const INTERVAL: Key = Key("", "full_attention_interval");
const SECTIONS: Key = Key("", "rope.dimension_sections");
const LATENT: Key = Key("", "moe_latent_size");

impl Keys {
    pub(super) fn recurrent(&mut self, config: &Config<'_>, model: &ModelSpec) -> Result<(), ModelError> {
        match model.blocks.iter().find_map(|layer| layer.recurrent.as_ref()) {
            Some(RecurrentSpec::Delta(delta)) => {
                self.state((delta.taps, delta.key_dim, delta.key_heads), (delta.heads, delta.value_dim));
            }
            Some(RecurrentSpec::Scan(scan)) => {
                self.state((scan.taps, scan.state_dim, scan.groups), (scan.heads, scan.head_dim));
            }
            Some(RecurrentSpec::Conv(conv)) => self.size(SHORT_TAPS, conv.taps),
            None => {}
        }
        if model.attentions().next().is_some() {
            self.heads(config, model)?;
        } else {
            self.size(spec::HEADS, 0);
        }
        match self.arch.extras.recurrent {
            Some(Recurrence::Delta(_) | Recurrence::DeltaByRow) => self.interval(config, model)?,
            _ => self.of_layers(config, model)?,
        }
        let latent = model.blocks.iter().find_map(|layer| layer.ffn.as_ref()?.experts?.latent);
        latent.into_iter().for_each(|width| self.size(LATENT, width));
        Ok(())
    }

    fn state(&mut self, (taps, rows, groups): (usize, usize, usize), (heads, width): (usize, usize)) {
        self.size(TAPS, taps);
        self.size(KEY_DIM, rows);
        self.size(KEY_HEADS, groups);
        self.size(VALUE_HEADS, heads);
        self.size(VALUES, heads * width);
    }

    /// Which layers have attention: every so many of those that do not predict ahead.
    fn interval(&mut self, config: &Config<'_>, model: &ModelSpec) -> Result<(), ModelError> {
        let attends = |i: usize| model.layer(i).attention.is_some();
        let layers = model.layers - self.ahead;
        let every = |n: usize| (0..layers).all(|i| attends(i) == (i + 1).is_multiple_of(n));
        let Some(interval) = (1..=layers + 1).find(|&n| every(n)) else {
            let problem = "GGUF can only say that every so many layers have attention; run it from its own files";
            return Err(config.metadata.unsupported("layer_types", problem));
        };
        self.size(INTERVAL, interval);
        if self.name != "qwen3next" {
            // Tokens of text have the same position in each dimension, so how many pairs each has changes nothing.
            self.set(SECTIONS, GgufValue::I32s(vec![11, 11, 10, 0]));
        }
        Ok(())
    }

    /// What each layer has: heads of keys, or a feed-forward part.
    fn of_layers(&mut self, config: &Config<'_>, model: &ModelSpec) -> Result<(), ModelError> {
        let heads = |i: usize| model.layer(i).attention.as_ref().map_or(0, |attention| attention.kv_heads);
        let widths = |i: usize| model.layer(i).ffn.as_ref().map_or(0, |ffn| ffn.width);
        let dense = |layer: &LayerSpec| Some(layer.ffn.as_ref().filter(|ffn| ffn.experts.is_none())?.width);
        let dense = model.blocks.iter().find_map(dense).unwrap_or_else(|| widths(0));
        let lists: [(Key, Vec<usize>, usize); 2] = [
            (spec::KV_HEADS, (0..model.layers).map(heads).collect(), heads(0)),
            (spec::FFN, (0..model.layers).map(widths).collect(), dense),
        ];
        for (key, list, one) in lists {
            let name = format!("{}.{}", self.name, key.1);
            self.all.retain(|(other, _)| *other != name);
            match list.contains(&0) && list.iter().any(|&n| n > 0) {
                true => self.sizes_of_layers(key, &list),
                false => self.size(key, one),
            }
        }
        if self.name == "granitehybrid" {
            self.set(ROTATED, GgufValue::Bool(recurrent::rotated(config)?));
        }
        Ok(())
    }
}
