//! Declares a graph's weights and keeps where each comes from.

use std::collections::HashSet;
use std::ops::Range;

use graph::{GraphBuilder, WeightId, WeightInfo, WeightRole};
use tensor::{DType, Shape};

use crate::arch::{self, Arch, Config};
use crate::spec::{KeySource, ModelSpec, PositionSpec};
use crate::{Checkpoint, ModelError, TensorInfo};

use super::experts::{self, Role};
use super::names::{Names, bias_of};
use super::source::{Form, Source};

/// Where a weight comes from.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) source: Source,
    /// The weight's shape; a vector is a column here, so that a slice of one is some of its rows.
    pub(crate) shape: Shape,
    pub(crate) form: Form,
}

/// A part of a fused tensor: its GGUF name without the ending, how many rows it has, and where the part begins.
#[derive(Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) of: &'static str,
    pub(crate) rows: usize,
    pub(crate) first: usize,
    /// How often it all is there, one after the other; the part is made of a part of each.
    pub(crate) groups: usize,
}

/// A weight before the files say how it is stored.
pub(super) struct Declared {
    name: String,
    shape: Shape,
    role: WeightRole,
}

fn matrix(name: impl Into<String>, shape: Shape) -> Declared {
    Declared { name: name.into(), shape, role: WeightRole::Matrix }
}

pub(super) fn elements(name: impl Into<String>, shape: Shape) -> Declared {
    Declared { name: name.into(), shape, role: WeightRole::Elements }
}

/// Binds tensors to weights, one after the other.
pub(crate) struct Binder<'a> {
    checkpoint: &'a Checkpoint,
    arch: &'static Arch,
    pub(crate) names: &'a Names<'a>,
    pub(super) gguf: bool,
    /// How many layers after the last guess tokens ahead.
    guessing: usize,
    pub(crate) graph: GraphBuilder,
    pub(crate) bindings: Vec<Binding>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(config: &'a Config<'a>) -> Result<Binder<'a>, ModelError> {
        Ok(Binder {
            checkpoint: config.checkpoint,
            arch: config.arch,
            names: &config.names,
            gguf: config.gguf(),
            guessing: arch::guessing(config)?,
            graph: GraphBuilder::new(),
            bindings: vec![],
        })
    }

    /// The embedding.
    pub(crate) fn embed(&mut self, rows: usize, cols: usize) -> Result<WeightId, ModelError> {
        let shape = Shape::matrix(rows, cols);
        self.bind(matrix("token_embd.weight", shape), None, vec![Source::whole(self.names.embed(), shape)])
    }

    /// The output matrix.
    pub(crate) fn output(&mut self, rows: usize, cols: usize) -> Result<WeightId, ModelError> {
        let (name, shape) = (self.names.output().unwrap_or("lm_head.weight").to_owned(), Shape::matrix(rows, cols));
        self.bind(matrix("output.weight", shape), None, vec![Source::whole(name, shape)])
    }

    /// The norm before the output.
    pub(crate) fn output_norm(&mut self, len: usize) -> Result<WeightId, ModelError> {
        let source = match self.arch.extras.bare {
            true => Source::Ones,
            false => Source::Rows { tensors: vec![self.names.output_norm()], of: len, first: 0 },
        };
        let shift = if self.arch.extras.unit_embed() { 0.0 } else { self.norm_shift() };
        self.bind(elements("output_norm.weight", Shape::vector(len)), Some(shift), vec![source])
    }

    /// What is added in the norm before the output.
    pub(crate) fn output_norm_bias(&mut self, len: usize) -> Result<WeightId, ModelError> {
        let tensor = self.names.output_norm().replace(".weight", ".bias");
        let source = Source::Rows { tensors: vec![tensor], of: len, first: 0 };
        self.bind(elements("output_norm.bias", Shape::vector(len)), Some(0.0), vec![source])
    }

    /// The bias of the output matrix.
    pub(crate) fn output_bias(&mut self, len: usize) -> Result<WeightId, ModelError> {
        let tensor = self.names.output_bias().unwrap_or("output.bias").to_owned();
        let source = Source::Rows { tensors: vec![tensor], of: len, first: 0 };
        self.bind(elements("output.bias", Shape::vector(len)), Some(0.0), vec![source])
    }

    /// Whether the rows of queries, keys and values are side by side for each head.
    pub(crate) fn mixes_heads(&self) -> bool {
        !self.gguf && self.arch.extras.mixed_heads
    }

    /// A norm with elements of its own for each head.
    pub(crate) fn head_norm(&mut self, layer: usize, name: &str, shape: Shape) -> Result<WeightId, ModelError> {
        let places = self.names.layer(layer, &format!("{name}.weight")).into_iter();
        let sources = places.map(|name| Source::whole(name, shape)).collect();
        self.bind(elements(format!("blk.{layer}.{name}.weight"), shape), Some(self.norm_shift()), sources)
    }

    /// A matrix of a layer, alone or as a slice of a fused one. `name` is GGUF's, without `.weight`.
    pub(crate) fn matrix(
        &mut self,
        layer: usize,
        name: &str,
        shape: Shape,
        slice: Option<Slice>,
    ) -> Result<WeightId, ModelError> {
        let sources = self.places(layer, name, "weight", shape.rows, slice);
        self.bind(matrix(format!("blk.{layer}.{name}.weight"), shape), None, sources)
    }

    /// A matrix for each head, alone or, of `of` rows that a head has in the matrix for keys and values, those from `first` on, which
    /// may be turned.
    pub(crate) fn head_matrix(
        &mut self,
        layer: usize,
        name: &str,
        shape: Shape,
        (of, first, turned): (usize, usize, bool),
    ) -> Result<WeightId, ModelError> {
        let alone = self.names.layer(layer, &format!("{name}.weight")).into_iter();
        let both = self.names.layer(layer, "attn_kv_b.weight").into_iter();
        let places = alone.map(|name| Source::whole(name, shape));
        let places = places.chain(both.map(|tensor| Source::Heads { tensor, of, first, turned })).collect();
        self.bind(matrix(format!("blk.{layer}.{name}.weight"), shape), None, places)
    }

    /// The matrix that chooses experts: small, and what it decides is not smooth, so always in full precision.
    pub(crate) fn router(&mut self, layer: usize, shape: Shape) -> Result<WeightId, ModelError> {
        let sources = self.places(layer, "ffn_gate_inp", "weight", shape.rows, None);
        self.bind(matrix(format!("blk.{layer}.ffn_gate_inp.weight"), shape), Some(0.0), sources)
    }

    /// A bias of a layer, alone or as a slice of a fused one.
    pub(crate) fn bias(
        &mut self,
        layer: usize,
        name: &str,
        len: usize,
        slice: Option<Slice>,
    ) -> Result<WeightId, ModelError> {
        let sources = self.places(layer, name, "bias", len, slice);
        self.bind(elements(format!("blk.{layer}.{name}.bias"), Shape::vector(len)), Some(0.0), sources)
    }

    /// A norm of a layer.
    pub(crate) fn norm(&mut self, layer: usize, name: &str, len: usize) -> Result<WeightId, ModelError> {
        let sources = match self.arch.extras.bare {
            true => vec![Source::Ones],
            false => self.places(layer, name, "weight", len, None),
        };
        self.bind(elements(format!("blk.{layer}.{name}.weight"), Shape::vector(len)), Some(self.norm_shift()), sources)
    }

    /// Single elements of a layer, by GGUF's name with its ending.
    pub(crate) fn elements(&mut self, layer: usize, name: &str, len: usize) -> Result<WeightId, ModelError> {
        let places = self.names.layer(layer, name).into_iter();
        let sources = places.map(|name| Source::Rows { tensors: vec![name], of: len, first: 0 }).collect();
        self.bind(elements(format!("blk.{layer}.{name}"), Shape::vector(len)), Some(0.0), sources)
    }

    /// The name of the factor that GGUF files have beside a matrix of a layer, in NVFP4 above all, or beside the fused one that it is a
    /// slice of. Of safetensors, that of a matrix which others have put into NVFP4.
    pub(crate) fn factor(&self, layer: usize, name: &str, slice: Option<Slice>) -> Option<String> {
        let mut places = [Some(name), slice.map(|s| s.of)].into_iter().flatten();
        let place = places.find(|place| self.has(layer, &format!("{place}.weight")))?;
        let factor = format!("{place}.scale");
        let made = || {
            let names = self.names.layer(layer, &factor);
            names.iter().any(|name| self.checkpoint.tensor(name).is_some_and(|tensor| tensor.packed.is_some()))
        };
        let there = if self.gguf { self.has(layer, &factor) } else { made() };
        there.then_some(factor)
    }

    /// As [`Binder::factor`], beside the output matrix.
    pub(crate) fn output_factor(&mut self) -> Result<Option<WeightId>, ModelError> {
        let name = "output.scale";
        if !self.gguf || self.names.dims(name).is_none() {
            return Ok(None);
        }
        let source = Source::Rows { tensors: vec![name.into()], of: 1, first: 0 };
        self.bind(elements(name, Shape::vector(1)), Some(0.0), vec![source]).map(Some)
    }

    /// A matrix outside of layers, by GGUF's name without its ending.
    pub(crate) fn global(&mut self, name: &str, shape: Shape) -> Result<WeightId, ModelError> {
        let source = Source::whole(self.names.global(name), shape);
        self.bind(matrix(format!("{name}.weight"), shape), None, vec![source])
    }

    /// The table of positions, from the first one's row on.
    pub(crate) fn positions(&mut self, positions: PositionSpec, width: usize) -> Result<WeightId, ModelError> {
        let PositionSpec { count, first } = positions;
        let source = Source::Rows { tensors: vec![self.names.global("position_embd")], of: first + count, first };
        self.bind(matrix("position_embd.weight", Shape::matrix(count, width)), None, vec![source])
    }

    /// A bias outside of layers, by GGUF's name without its ending, if there is one.
    pub(crate) fn global_bias(&mut self, name: &str, len: usize) -> Result<Option<WeightId>, ModelError> {
        let tensor = bias_of(&self.names.global(name));
        if self.names.dims(&tensor).is_none() {
            return Ok(None);
        }
        let source = Source::Rows { tensors: vec![tensor], of: len, first: 0 };
        self.bind(elements(format!("{name}.bias"), Shape::vector(len)), Some(0.0), vec![source]).map(Some)
    }

    /// The table of all layers' own embeddings. Some files have fewer rows than the vocabulary; tokens beyond them have the first.
    pub(crate) fn layer_embed_table(&mut self, shape: Shape) -> Result<WeightId, ModelError> {
        let tensor = self.names.global("per_layer_token_embd");
        let rows = self.names.dims(&tensor).and_then(|dims| dims.first()).copied().unwrap_or(shape.rows);
        let source = match rows < shape.rows {
            true => Source::Padded { tensor, of: rows },
            false => Source::whole(tensor, shape),
        };
        self.bind(matrix("per_layer_token_embd.weight", shape), None, vec![source])
    }

    /// A matrix for each residual stream but the first, by GGUF's name without its ending: all in one tensor, or one in each.
    pub(crate) fn stream_matrices(&mut self, name: &str, shape: Shape) -> Result<WeightId, ModelError> {
        let of_stream = |i: usize| self.names.numbered(name, i);
        let tensors = if self.gguf { vec![self.names.global(name)] } else { (0..shape.outer).map(of_stream).collect() };
        let source = Source::Rows { tensors, of: shape.rows, first: 0 };
        self.bind(matrix(format!("{name}.weight"), shape), None, vec![source])
    }

    /// A norm outside of layers.
    pub(crate) fn global_norm(&mut self, name: &str, len: usize) -> Result<WeightId, ModelError> {
        let source = Source::Rows { tensors: vec![self.names.global(name)], of: len, first: 0 };
        self.bind(elements(format!("{name}.weight"), Shape::vector(len)), Some(self.norm_shift()), vec![source])
    }

    /// The sinks of a layer's heads.
    pub(crate) fn sinks(&mut self, layer: usize, len: usize) -> Result<WeightId, ModelError> {
        let gguf = format!("blk.{layer}.attn_sinks.weight");
        let names = match self.gguf {
            true => vec![gguf.clone()],
            false => ["self_attn.sinks", "self_attn.softmax_offset"].map(|name| self.names.module(layer, name)).into(),
        };
        let place = |name| Source::Rows { tensors: vec![name], of: len, first: 0 };
        self.bind(elements(gguf, Shape::vector(len)), Some(0.0), names.into_iter().map(place).collect())
    }

    /// What is added to the scores of a layer's experts before some are chosen.
    pub(crate) fn selection_bias(&mut self, layer: usize, len: usize) -> Result<WeightId, ModelError> {
        let places = self.names.selection_bias(layer).into_iter();
        let sources = places.map(|name| Source::Rows { tensors: vec![name], of: len, first: 0 }).collect();
        self.bind(elements(format!("blk.{layer}.exp_probs_b.bias"), Shape::vector(len)), Some(0.0), sources)
    }

    /// A matrix of every expert of a layer.
    pub(crate) fn experts(&mut self, layer: usize, role: Role, shape: Shape) -> Result<WeightId, ModelError> {
        let sources = match self.gguf {
            true => experts::gguf(layer, role, shape),
            false => experts::safetensors(self.names, self.arch.experts, layer, role, shape),
        };
        self.bind(matrix(format!("blk.{layer}.ffn_{}_exps.weight", role.name()), shape), None, sources)
    }

    /// A bias of every expert of a layer.
    pub(crate) fn expert_bias(&mut self, layer: usize, role: Role, shape: Shape) -> Result<WeightId, ModelError> {
        let gguf = format!("blk.{layer}.ffn_{}_exps.bias", role.name());
        let source = match self.gguf {
            true => Source::Elements { tensor: gguf.clone(), first: 0, step: 1 },
            false => experts::safetensors_bias(self.names, layer, role),
        };
        self.bind(elements(gguf, shape), Some(0.0), vec![source])
    }

    /// Whether the layer has that tensor, by GGUF's name.
    pub(crate) fn has(&self, layer: usize, tensor: &str) -> bool {
        self.names.has(layer, tensor)
    }

    /// Whether files keep gate and up projection as one matrix under the up projection's name, as GGUF does.
    pub(crate) fn fuses_up(&self, layer: usize) -> bool {
        self.gguf && !self.has(layer, "ffn_gate.weight")
    }

    /// Refuses tensors of the text model that no weight was made from: they would change the numbers.
    pub(crate) fn refuse_rest(&self, spec: &ModelSpec) -> Result<(), ModelError> {
        let used: HashSet<_> = self.bindings.iter().flat_map(|b| b.source.tensors()).collect();
        let idle = self.idle_of(spec, 0..spec.layers);
        let rest = self.checkpoint.tensors().iter().map(|t| t.name.as_str());
        match rest
            .filter(|name| self.names.matters(name, spec.layers..self.after(spec)))
            .find(|name| !used.contains(*name) && !idle.contains(*name) && !self.is_empty_bias(name))
        {
            None => Ok(()),
            Some(name) => {
                let problem = format!("architecture \"{}\" has no place for this tensor", self.arch.name);
                Err(self.checkpoint.unsupported(name, problem))
            }
        }
    }

    /// Refuses tensors of a layer that predicts ahead that no weight was made from, unless they are copies of what it shares with the
    /// model.
    pub(crate) fn refuse_rest_of_layer(&self, layer: usize, spec: &ModelSpec) -> Result<(), ModelError> {
        let used: HashSet<_> = self.bindings.iter().flat_map(|b| b.source.tensors()).collect();
        let copies = ["nextn.embed_tokens.weight", "nextn.shared_head_head.weight"];
        let copies: HashSet<_> = copies.into_iter().flat_map(|name| self.names.layer(layer, name)).collect();
        let idle = self.idle_of(spec, layer..layer + 1);
        let matters = |name: &&str| {
            let is_named = name.starts_with("mtp.") || self.names.matters(name, 0..0);
            let is_of_layer = self.names.layer_of(name) == Some(layer) && is_named;
            is_of_layer && !used.contains(*name) && !copies.contains(*name) && !idle.contains(*name)
        };
        let mut names = self.checkpoint.tensors().iter().map(|tensor| tensor.name.as_str());
        names.find(|name| matters(name) && !self.is_empty_bias(name)).map_or(Ok(()), |name| {
            Err(self.checkpoint.unsupported(name, "a layer that predicts ahead has no place for this tensor"))
        })
    }

    /// Whether a layer that predicts ahead has a matrix of its own of that name: one that is not the tensor `shared` over again, which the
    /// model has.
    pub(crate) fn has_own(&self, layer: usize, name: &str, shared: &str) -> bool {
        let names = self.names.layer(layer, &format!("{name}.weight"));
        let own = names.iter().find_map(|name| self.checkpoint.tensor(name));
        let is_same = |own: &TensorInfo| {
            self.checkpoint.tensor(shared).is_some_and(|other| {
                let plain = own.packed.is_none() && other.packed.is_none();
                plain && own.dtype == other.dtype && self.checkpoint.bytes(own) == self.checkpoint.bytes(other)
            })
        };
        own.is_some_and(|own| !is_same(own))
    }

    /// Whether it is a bias of zeros beside a matrix that others have quantized: GPTQ's programs write them for every matrix.
    fn is_empty_bias(&self, name: &str) -> bool {
        let matrix = name.strip_suffix(".bias").and_then(|stem| self.checkpoint.tensor(&format!("{stem}.weight")));
        let quantized = matrix.is_some_and(|tensor| tensor.packed.is_some());
        quantized
            && self.checkpoint.tensor(name).is_some_and(|bias| self.checkpoint.bytes(bias).iter().all(|&b| b == 0))
    }

    /// The end of the layers that guess tokens ahead: config.json may leave out how many there are.
    fn after(&self, spec: &ModelSpec) -> usize {
        if self.gguf { spec.layers + self.guessing } else { usize::MAX }
    }

    /// Tensors that files have from training or for other programs: for keys and values of layers that use those of others, and what
    /// latent attention has the parts of.
    fn idle_of(&self, spec: &ModelSpec, layers: Range<usize>) -> HashSet<String> {
        let of_layer = |i: usize| match spec.layer(i).keys {
            KeySource::Layer(_) => &["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"][..],
            KeySource::Latent(_) => &["attn_kv_b.weight"][..],
            _ => &[],
        };
        let names = layers.flat_map(|i| of_layer(i).iter().map(move |name| (i, name)));
        names.flat_map(|(i, name)| self.names.layer(i, name)).collect()
    }

    fn norm_shift(&self) -> f32 {
        if self.gguf { 0.0 } else { self.arch.norm_shift }
    }

    /// Where the layer's tensor of that GGUF name may be: under its own names, or in a fused one.
    pub(super) fn places(
        &self,
        layer: usize,
        name: &str,
        ending: &str,
        rows: usize,
        slice: Option<Slice>,
    ) -> Vec<Source> {
        let alone = |tensor| Source::Rows { tensors: vec![tensor], of: rows, first: 0 };
        let part = |s: Slice| {
            let fused = self.names.layer(layer, &format!("{}.{ending}", s.of));
            fused.into_iter().map(move |tensor| match s {
                Slice { rows: of, first, groups: 1, .. } => Source::Rows { tensors: vec![tensor], of, first },
                Slice { rows: of, first, groups, .. } => Source::Grouped { tensor, groups, of, first },
            })
        };
        let alone = self.names.layer(layer, &format!("{name}.{ending}")).into_iter().map(alone);
        // GGUF's fused gate and up projection goes by the up projection's own name, so what is fused goes first.
        match slice {
            Some(s) if s.of == name => part(s).collect(),
            Some(s) => alone.chain(part(s)).collect(),
            None => alone.collect(),
        }
    }

    /// Declares a weight with the first of its places that the file has; `plus` makes it F32 with that added.
    pub(super) fn bind(
        &mut self,
        weight: Declared,
        plus: Option<f32>,
        places: Vec<Source>,
    ) -> Result<WeightId, ModelError> {
        let Declared { name, shape, role } = weight;
        let Some(source) = places.iter().find(|p| p.exists(self.checkpoint)).or(places.first()).cloned() else {
            return Err(self.checkpoint.unsupported(&name, "this format has no name for the tensor"));
        };
        let vector = role == WeightRole::Elements
            && shape.outer == 1
            && shape.rows == 1
            && matches!(source, Source::Rows { .. } | Source::Grouped { .. });
        let stored = if vector { Shape::matrix(shape.cols, 1) } else { shape };
        let (dtype, form) = source.check(self.checkpoint, stored)?;
        let (dtype, form) = plus.map_or((dtype, form), |plus| (DType::F32, Form::F32 { plus }));
        self.bindings.push(Binding { source, shape: stored, form });
        Ok(self.graph.weight(WeightInfo { name, shape, dtype, role }))
    }
}
