//! Where GGUF files have the weights of models with recurrent layers: parts as one, heads of values in turn, queries beside gates.

use graph::{HeadOrder, WeightId, WeightInfo, WeightRole};

use super::plan::{Part, Tensor, add, layer, tensor};
use crate::Model;
use crate::arch::{Arch, Recurrence};
use crate::spec::{DeltaSpec, Gate, RecurrentSpec};

/// Parts that files have as one: their names and the whole's, without layer and ending.
const WHOLE: &[(&str, &str)] = &[
    ("shortconv.b", "shortconv.in_proj"),
    ("shortconv.c", "shortconv.in_proj"),
    ("shortconv.x", "shortconv.in_proj"),
    ("ssm_in_z", "ssm_in"),
    ("ssm_in_x", "ssm_in"),
    ("ssm_in_b", "ssm_in"),
    ("ssm_in_c", "ssm_in"),
    ("ssm_in_dt", "ssm_in"),
    ("ssm_conv1d_x", "ssm_conv1d"),
    ("ssm_conv1d_b", "ssm_conv1d"),
    ("ssm_conv1d_c", "ssm_conv1d"),
    ("ssm_conv1d_q", "ssm_conv1d"),
    ("ssm_conv1d_k", "ssm_conv1d"),
    ("ssm_conv1d_v", "ssm_conv1d"),
];

/// A weight of a layer: its name without layer and ending, and how files name another one of that ending.
struct Own<'a> {
    id: WeightId,
    weight: &'a WeightInfo,
    layer: usize,
    stem: &'a str,
    ending: &'a str,
}

impl Own<'_> {
    fn name(&self, stem: &str) -> String {
        format!("blk.{}.{stem}{}", self.layer, self.ending)
    }

    /// All of it, as the tensor `name`.
    fn whole(&self, name: String) -> Tensor {
        tensor(name, self.weight, Part::Weight(self.id, None))
    }

    fn rows(&self) -> usize {
        let shape = self.weight.shape;
        if self.weight.role == WeightRole::Elements && shape.rows == 1 { shape.cols } else { shape.rows }
    }
}

/// Puts a weight where files of this architecture have it; whether it has a place of its own.
pub(super) fn place(tensors: &mut Vec<Tensor>, model: &Model, id: WeightId, arch: &Arch) -> bool {
    let weight = model.graph().weight(id);
    let Some(i) = layer(&weight.name) else {
        let renamed = arch.extras.recurrent == Some(Recurrence::Conv) && weight.name == "output_norm.weight";
        if renamed {
            tensors.push(tensor("token_embd_norm.weight".into(), weight, Part::Weight(id, None)));
        }
        return renamed;
    };
    let own = weight.name.splitn(3, '.').nth(2).unwrap_or_default();
    let endings = [".weight", ".bias"];
    let (stem, ending) = endings.iter().find_map(|e| Some((own.strip_suffix(e)?, *e))).unwrap_or((own, ""));
    let own = Own { id, weight, layer: i, stem, ending };
    let spec = model.spec().layer(i);
    match (&spec.recurrent, arch.extras.recurrent) {
        (_, Some(Recurrence::Delta(_))) if stem == "ffn_norm" => {
            tensors.push(own.whole(own.name("post_attention_norm")));
        }
        _ if stem == "ffn_norm" && arch.name == "falcon-h1" => tensors.push(own.whole(format!("blk.{i}.ffn_norm"))),
        (Some(RecurrentSpec::Delta(delta)), Some(Recurrence::Delta(order))) => {
            return place_delta(tensors, &own, delta, order);
        }
        (None, _) if stem == "attn_gate" => {
            let gated = spec.attention.as_ref().filter(|a| a.gate == Gate::WithQueries);
            let Some(attention) = gated else { return false };
            beside(tensors, &own.name("attn_q"), id, (attention.heads, attention.head_dim));
        }
        (Some(RecurrentSpec::Scan(scan)), _) if ["ssm_a", "ssm_d", "ssm_norm"].contains(&stem) => {
            let rows = if stem == "ssm_norm" { scan.groups } else { scan.heads };
            let whole = own.whole(own.name(stem));
            tensors.push(Tensor { dims: vec![rows, weight.shape.cols / rows], ..whole });
        }
        _ => return join(tensors, &own, vec![Part::Weight(id, None)]),
    }
    true
}

/// Puts parts onto the end of the whole that they belong to, if there is one.
fn join(tensors: &mut Vec<Tensor>, own: &Own<'_>, parts: Vec<Part>) -> bool {
    let Some((_, whole)) = WHOLE.iter().find(|(part, _)| *part == own.stem) else { return false };
    extend(tensors, own, own.name(whole), parts);
    true
}

/// Puts parts onto the end of the tensor `name`, which may be new.
fn extend(tensors: &mut Vec<Tensor>, own: &Own<'_>, name: String, parts: Vec<Part>) {
    if !tensors.iter().any(|t| t.name == name) {
        tensors.push(Tensor { parts, ..own.whole(name) });
        return;
    }
    for (n, part) in parts.into_iter().enumerate() {
        add(tensors, &name, part, if n == 0 { own.rows() } else { 0 });
    }
}

fn place_delta(tensors: &mut Vec<Tensor>, own: &Own<'_>, delta: &DeltaSpec, order: HeadOrder) -> bool {
    let ranges = |width: usize| heads(delta, order).map(move |head| head * width..(head + 1) * width);
    let in_turn = |width: usize| -> Vec<Part> { ranges(width).map(|rows| Part::Rows(own.id, rows)).collect() };
    let whole = |parts| Tensor { parts, ..own.whole(own.name(own.stem)) };
    match own.stem {
        "attn_q" | "attn_k" => extend(tensors, own, own.name("attn_qkv"), vec![Part::Weight(own.id, None)]),
        "attn_v" => extend(tensors, own, own.name("attn_qkv"), in_turn(delta.value_dim)),
        "attn_gate" => tensors.push(whole(in_turn(delta.value_dim))),
        "ssm_conv1d_v" => return join(tensors, own, in_turn(delta.value_dim)),
        "ssm_beta" | "ssm_alpha" if order == HeadOrder::Tiled => tensors.push(whole(in_turn(1))),
        "ssm_beta" => tensors.push(own.whole(own.name("ssm_ba"))),
        "ssm_alpha" => beside(tensors, &own.name("ssm_ba"), own.id, (delta.key_heads, delta.heads / delta.key_heads)),
        "ssm_dt" | "ssm_a" => tensors.push(whole(in_turn(1))),
        "ssm_out" if order == HeadOrder::Tiled => {
            let columns = ranges(delta.value_dim).collect();
            tensors.push(Tensor { columns, ..whole(vec![Part::Weight(own.id, None)]) });
        }
        _ => return join(tensors, own, vec![Part::Weight(own.id, None)]),
    }
    true
}

/// The heads of values, in the order of the file.
fn heads(delta: &DeltaSpec, order: HeadOrder) -> impl Iterator<Item = usize> + use<> {
    let (keys, each) = (delta.key_heads, delta.heads / delta.key_heads);
    (0..delta.heads).map(move |at| match order {
        HeadOrder::Grouped => at,
        HeadOrder::Tiled => at % keys * each + at / keys,
    })
}

/// Puts groups of a weight's rows after each group of the tensor's, which has as many.
fn beside(tensors: &mut [Tensor], name: &str, id: WeightId, (groups, rows): (usize, usize)) {
    let Some(tensor) = tensors.iter_mut().rfind(|t| t.name == name) else { return };
    let &[Part::Weight(first, _)] = &tensor.parts[..] else { return };
    let group = |of, g: usize| Part::Rows(of, g * rows..(g + 1) * rows);
    tensor.parts = (0..groups).flat_map(|g| [group(first, g), group(id, g)]).collect();
    tensor.dims[0] *= 2;
}
