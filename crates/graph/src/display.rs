//! Graphs as text: one line per node, for people.

use std::fmt::{Display, Formatter, Result};

use crate::{
    Attention, Elem, End, GatedDelta, Graph, Groups, Growth, Node, Op, Product, Rope, Rows, Scan, ValueId, ValueInfo,
};

/// One line per node: `%4 = linear(%3) blk.0.attn_q.weight [64, 32] Q8_0 -> [tokens, 64]`.
impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.nodes().iter().try_for_each(|node| writeln!(f, "{}", Line { graph: self, node }))
    }
}

impl Graph {
    /// One node as the line that [`Graph`]'s own text has for it, without the line's end.
    pub fn line<'g>(&'g self, node: &'g Node) -> impl Display + 'g {
        Line { graph: self, node }
    }
}

struct Line<'g> {
    graph: &'g Graph,
    node: &'g Node,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Node { op, inputs, outputs } = self.node;
        if !outputs.is_empty() {
            write!(f, "{} = ", list(outputs))?;
        }
        write!(f, "{}({})", op.name(), list(inputs))?;
        parameters(op, f)?;
        for (i, id) in op.weights().into_iter().enumerate() {
            let (comma, weight) = (if i == 0 { "" } else { "," }, self.graph.weight(id));
            write!(f, "{comma} {} {} {}", weight.name, weight.shape, weight.dtype)?;
        }
        let types: Vec<ValueInfo> = outputs.iter().map(|&id| self.graph.value(id)).collect();
        if types.is_empty() { Ok(()) } else { write!(f, " -> {}", list(&types)) }
    }
}

fn list(things: &[impl ToString]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The name and parameters, without weights: `attention layer 0, 8 heads, scale 0.125`.
impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.name())?;
        parameters(self, f)
    }
}

impl Display for ValueId {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "%{}", self.index())
    }
}

impl Display for ValueInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let rows = if self.rows == Rows::Tokens { "tokens" } else { "outputs" };
        let elem = match self.elem {
            Elem::F32 => "",
            Elem::U32 => " U32",
            Elem::Q8 { .. } => " Q8",
            Elem::Positions => return write!(f, "[{rows}, {}, positions]", self.width),
        };
        write!(f, "[{rows}, {}]{elem}", self.width)
    }
}

fn parameters(op: &Op, f: &mut Formatter<'_>) -> Result {
    match op {
        Op::RmsNorm { eps, quantize, .. } => write!(f, " eps {eps}{}", if *quantize { ", to Q8" } else { "" }),
        Op::Quantize { span } if *span != Elem::Q8_BLOCK => write!(f, " by {span}"),
        Op::Scale { by } => write!(f, " by {by}"),
        Op::Grow(Growth { rate, every }) => write!(f, " rate {rate}, every {every}"),
        Op::LayerNorm { span, eps, .. } => write!(f, " of {span}, eps {eps}"),
        Op::Slice { span, first, width } => write!(f, " {width} from {first} of {span}"),
        Op::Concat { parts } => write!(f, " in {parts} parts"),
        Op::KeepGroups(Groups { count, used, best }) => write!(f, " {used} of {count} by the best {best}"),
        Op::SoftCap { cap } => write!(f, " at {cap}"),
        Op::UnitNorm { span, eps } => write!(f, " of {span}, eps {eps}"),
        Op::GaussianTopK { deviations } => write!(f, " beyond {deviations} deviations"),
        Op::Glu { act } | Op::Activate { act } => write!(f, " {act:?}"),
        Op::GatedDelta(GatedDelta { layer, heads, key_heads, order }) => {
            write!(f, " layer {layer}, {heads} heads, {key_heads} of keys, {order:?}")
        }
        Op::Scan(Scan { layer, heads, groups, .. }) => write!(f, " layer {layer}, {heads} heads, {groups} groups"),
        Op::Product(product) => product_parameters(product, f),
        Op::Rope(rope) => rope_parameters(rope, f),
        Op::RopeKvWrite { rope, layer } => {
            rope_parameters(rope, f)?;
            write!(f, ", layer {layer}")
        }
        Op::KvWrite { layer } | Op::Weigh { layer } | Op::CausalConv { layer, .. } => write!(f, " layer {layer}"),
        Op::Scores { layer, heads, scale } => write!(f, " layer {layer}, {heads} heads, scale {scale}"),
        Op::Softmax { window: Some(window), .. } => write!(f, " window {window}"),
        Op::Attention(attention) => attention_parameters(attention, f),
        Op::Squash(squash) => write!(f, " {squash:?}"),
        Op::TopK { k } => write!(f, " k {k}"),
        Op::GateWeights { scoring } => write!(f, " {scoring:?}"),
        _ => Ok(()),
    }
}

fn product_parameters(product: &Product, f: &mut Formatter<'_>) -> Result {
    match product.end {
        End::Store => {}
        End::Add => write!(f, " add")?,
        End::Glu(act) => write!(f, " glu {act:?}")?,
    }
    if product.quantize { f.write_str(" to Q8") } else { Ok(()) }
}

fn rope_parameters(rope: &Rope, f: &mut Formatter<'_>) -> Result {
    let Rope { head_dim, freqs, magnitude, style } = rope;
    write!(f, " {style:?}, {} of {head_dim}", 2 * freqs.len())?;
    if *magnitude == 1.0 { Ok(()) } else { write!(f, ", magnitude {magnitude}") }
}

fn attention_parameters(attention: &Attention, f: &mut Formatter<'_>) -> Result {
    write!(f, " layer {}, {} heads, scale {}", attention.layer, attention.heads, attention.scale)?;
    if let Some(window) = attention.window {
        write!(f, ", window {window}")?;
    }
    if !attention.causal {
        f.write_str(", both ways")?;
    }
    if let Some(cap) = attention.softcap {
        write!(f, ", softcap {cap}")?;
    }
    Ok(())
}
