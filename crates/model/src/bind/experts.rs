//! Where the matrices of experts are: all in one tensor, each in its own, or fused in one of four ways.

use tensor::Shape;

use crate::arch::ExpertLayout;

use super::names::Names;
use super::source::Source;

/// Which matrix of an expert.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Gate,
    Up,
    Down,
}

impl Role {
    /// In GGUF's names; in transformers' it ends in `_proj`.
    pub(crate) fn name(self) -> &'static str {
        ["gate", "up", "down"][self as usize]
    }

    /// In Mixtral's.
    fn mixtral(self) -> &'static str {
        ["w1", "w3", "w2"][self as usize]
    }
}

/// The places where the experts' matrices of one layer may be, in GGUF files.
pub(super) fn gguf(layer: usize, role: Role, shape: Shape) -> Vec<Source> {
    let name = role.name();
    let each = (0..shape.outer).map(|e| format!("blk.{layer}.ffn_{name}.{e}.weight")).collect();
    let mut places = vec![
        Source::whole(format!("blk.{layer}.ffn_{name}_exps.weight"), shape),
        Source::Rows { tensors: each, of: shape.rows, first: 0 },
    ];
    if role != Role::Down {
        places.push(half(format!("blk.{layer}.ffn_gate_up_exps.weight"), role, shape));
    }
    places
}

/// The places where they may be in safetensors files.
pub(super) fn safetensors(
    names: &Names<'_>,
    layout: ExpertLayout,
    layer: usize,
    role: Role,
    shape: Shape,
) -> Vec<Source> {
    let stem = |part: &str| names.module(layer, &format!("mlp.experts.{part}"));
    let fused = if role == Role::Down { "down_proj" } else { "gate_up_proj" };
    if layout == ExpertLayout::Interleaved {
        let (first, step) = if role == Role::Down { (0, 1) } else { (role as usize, 2) };
        return vec![
            Source::Columns { tensor: stem(fused), of: shape.rows * step, first, step },
            Source::Mxfp4 { stem: stem(fused), first, step },
        ];
    }
    let of = if role == Role::Down { shape.rows } else { 2 * shape.rows };
    if layout == ExpertLayout::Columns && names.dims(&stem(fused)) == Some(&[shape.outer, shape.cols, of]) {
        let first = if role == Role::Down { 0 } else { role as usize * shape.rows };
        return vec![Source::Columns { tensor: stem(fused), of, first, step: 1 }];
    }
    let each = |module: &str, name: &str| Source::Rows {
        tensors: (0..shape.outer).map(|e| names.module(layer, &format!("{module}.{e}.{name}.weight"))).collect(),
        of: shape.rows,
        first: 0,
    };
    let whole = |module: &str| match role {
        Role::Down => Source::whole(names.module(layer, module), shape),
        _ => half(names.module(layer, module), role, shape),
    };
    vec![
        each("block_sparse_moe.experts", role.mixtral()),
        each("mlp.experts", &format!("{}_proj", role.name())),
        each("mlp.experts", role.mixtral()),
        each("feed_forward.experts", role.mixtral()),
        each("mixer.experts", &format!("{}_proj", role.name())),
        whole(&format!("mlp.experts.{fused}")),
        whole(&format!("block_sparse_moe.experts.{fused}")),
        whole(&format!("experts.{fused}")),
        whole(&format!("feed_forward.experts.{fused}")),
        Source::whole(names.module(layer, &format!("mixer.experts.{}_proj", role.name())), shape),
        whole(if role == Role::Down {
            "block_sparse_moe.output_linear.weight"
        } else {
            "block_sparse_moe.input_linear.weight"
        }),
    ]
}

/// The gate's or the up projection's half of the rows.
fn half(tensor: String, role: Role, shape: Shape) -> Source {
    Source::Rows { tensors: vec![tensor], of: 2 * shape.rows, first: role as usize * shape.rows }
}

/// Where a bias of the experts of one layer may be, in safetensors files.
pub(super) fn safetensors_bias(names: &Names<'_>, layer: usize, role: Role) -> Source {
    let name = if role == Role::Down { "down_proj_bias" } else { "gate_up_proj_bias" };
    let tensor = names.module(layer, &format!("mlp.experts.{name}"));
    let (first, step) = if role == Role::Down { (0, 1) } else { (role as usize, 2) };
    Source::Elements { tensor, first, step }
}
