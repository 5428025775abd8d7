//! Fusion: a graph rewritten into one that gives the same numbers with fewer passes over memory. What may be done is a
//! table of rules; with all of them off the graph is as it was built.

mod adapt;
mod attention;
mod products;
mod rewrite;
mod rounding;
mod rows;

use crate::Graph;
pub use adapt::adapted;
use rewrite::{Rewrite, View, rebuild};

/// A way to make a graph faster.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it is called where it can be disabled, such as `siblings`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    find: Find,
}

/// What a rule makes of the node at an index, if anything.
type Find = for<'v> fn(&'v View<'v>, usize) -> Option<Rewrite<'v>>;

macro_rules! table {
    ($($id:ident: $name:literal, $find:expr, $about:literal;)*) => {
        impl Rule {
            $(#[doc = concat!("`", $name, "`: ", $about, ".")]
            pub const $id: Rule = Rule { name: $name, about: $about, find: $find };)*
        }
        /// In the order in which they are applied: each makes what the next ones look for.
        const RULES: &[Rule] = &[$(Rule::$id),*];
    };
}

table! {
    SELECT_EARLY: "select-early", rows::select_early, "what follows the last attention sees the sampled rows only";
    BIAS: "bias", products::bias, "a product adds its bias";
    SIBLINGS: "siblings", products::siblings, "products of one input (Q, K, V; gate and up) become one";
    GLU: "glu", products::glu, "the product of gate and up ends with the gated activation";
    RESIDUAL: "residual", products::residual, "a product ends with the addition to the residual stream";
    QUANTIZE: "quantize", rounding::quantize, "the input of quantized products is rounded once for all";
    NORM_QUANTIZE: "norm-quantize", rounding::norm_quantize, "a norm gives its result rounded";
    MLP: "mlp", rounding::mlp, "gate and up hand rounded rows to down";
    ATTENTION: "attention", attention::attention, "scores, softmax and the sum of values become one operator";
    ROPE_KV: "rope-kv", attention::rope_kv, "queries and keys are rotated while keys and values are cached";
}

/// Every rule, in the order in which they are applied. A device may have kernels for the results of only some of them:
/// [`crate::Device::rules`].
pub const fn rules() -> &'static [Rule] {
    RULES
}

/// A graph and what has been done to it.
#[derive(Debug)]
pub struct Fused {
    /// The graph, with the weights (in their order, so that what was uploaded for one fits the other) and memories of the one it
    /// was made from.
    pub graph: Graph,
    /// How often each rule that is not disabled was applied, in their order.
    pub fired: Vec<(&'static str, usize)>,
}

/// No rule has this name.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no fusion rule {name:?}; the rules are {}", RULES.iter().map(|rule| rule.name).collect::<Vec<_>>().join(", "))]
pub struct UnknownRule {
    /// The name given.
    pub name: String,
}

/// Applies every one of a device's `rules` but the `disabled` ones, as often as it can be applied. Nodes whose result nothing
/// reads go too.
///
/// # Errors
/// If a disabled rule does not exist.
pub fn fuse(graph: &Graph, rules: &[Rule], disabled: &[&str]) -> Result<Fused, UnknownRule> {
    if let Some(name) = disabled.iter().find(|name| !RULES.iter().any(|rule| rule.name == **name)) {
        return Err(UnknownRule { name: (*name).into() });
    }
    let mut graph = rebuild(graph, rewrite::live(graph));
    let mut apply = |rule: &Rule| {
        let mut fired = 0;
        while let Some((next, count)) = sweep(&graph, rule) {
            (graph, fired) = (next, fired + count);
        }
        (rule.name, fired)
    };
    let fired = rules.iter().filter(|rule| !disabled.contains(&rule.name)).map(&mut apply).collect();
    Ok(Fused { graph, fired })
}

/// Applies the rule wherever it can be at once: of rewrites of the same node the first. `None` if there is none.
fn sweep(graph: &Graph, rule: &Rule) -> Option<(Graph, usize)> {
    let view = View::new(graph);
    let mut places: Vec<_> = graph.nodes().iter().map(|node| (vec![node.clone()], false)).collect();
    let mut fired = 0;
    for rewrite in (0..places.len()).filter_map(|i| (rule.find)(&view, i)) {
        if rewrite.nodes.keys().any(|&at| places[at].1) {
            continue;
        }
        rewrite.nodes.into_iter().for_each(|(at, nodes)| places[at] = (nodes, true));
        fired += 1;
    }
    (fired > 0).then(|| (rebuild(graph, places.into_iter().flat_map(|(nodes, _)| nodes)), fired))
}
