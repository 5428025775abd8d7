//! Graphs as text: one line per node, for people.

use std::fmt::{Display, Formatter, Result};

use crate::{Attention, Elem, Graph, Node, Op, Rope, Rows, ValueId, ValueInfo};

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
        let Node { op, inputs, output } = self.node;
        if let Some(output) = output {
            write!(f, "{output} = ")?;
        }
        let inputs: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", op.name(), inputs.join(", "))?;
        parameters(op, f)?;
        if let Some(id) = op.weight() {
            let weight = self.graph.weight(id);
            write!(f, " {} {} {}", weight.name, weight.shape, weight.dtype)?;
        }
        output.map_or(Ok(()), |output| write!(f, " -> {}", self.graph.value(output)))
    }
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
        let elem = if self.elem == Elem::F32 { "" } else { " U32" };
        write!(f, "[{rows}, {}]{elem}", self.width)
    }
}

fn parameters(op: &Op, f: &mut Formatter<'_>) -> Result {
    match op {
        Op::RmsNorm { eps, .. } => write!(f, " eps {eps}"),
        Op::Scale { by } => write!(f, " by {by}"),
        Op::SoftCap { cap } => write!(f, " at {cap}"),
        Op::Glu { act } => write!(f, " {act:?}"),
        Op::Rope(Rope { head_dim, freqs, magnitude, style }) => {
            write!(f, " {style:?}, {} of {head_dim}", 2 * freqs.len())?;
            if *magnitude == 1.0 { Ok(()) } else { write!(f, ", magnitude {magnitude}") }
        }
        Op::KvWrite { layer } => write!(f, " layer {layer}"),
        Op::Attention(attention) => attention_parameters(attention, f),
        Op::TopK { k } => write!(f, " k {k}"),
        Op::GateWeights { scoring } => write!(f, " {scoring:?}"),
        _ => Ok(()),
    }
}

fn attention_parameters(attention: &Attention, f: &mut Formatter<'_>) -> Result {
    write!(f, " layer {}, {} heads, scale {}", attention.layer, attention.heads, attention.scale)?;
    if let Some(window) = attention.window {
        write!(f, ", window {window}")?;
    }
    if let Some(cap) = attention.softcap {
        write!(f, ", softcap {cap}")?;
    }
    Ok(())
}
