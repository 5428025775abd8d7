//! Fusion: a graph rewritten into one that gives the same numbers with fewer passes over memory. What may be done is a
//! table of rules; with all of them off the graph is as it was built.

mod attention;
mod products;
mod rewrite;
mod rounding;
mod rows;

use crate::Graph;
use rewrite::{Rewrite, View, rebuild};

/// A way to make a graph faster.
#[derive(Debug)]
pub struct Rule {
    /// What it is called where it can be disabled, such as `siblings`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    find: Find,
}

/// In the order in which they are applied: each makes what the next ones look for.
const RULES: [Rule; 10] = [
    row("select-early", rows::select_early, "what follows the last attention sees the sampled rows only"),
    row("bias", products::bias, "a product adds its bias"),
    row("siblings", products::siblings, "products of one input (Q, K, V; gate and up) become one"),
    row("glu", products::glu, "the product of gate and up ends with the gated activation"),
    row("residual", products::residual, "a product ends with the addition to the residual stream"),
    row("quantize", rounding::quantize, "the input of quantized products is rounded once for all"),
    row("norm-quantize", rounding::norm_quantize, "a norm gives its result rounded"),
    row("mlp", rounding::mlp, "gate and up hand rounded rows to down"),
    row("attention", attention::attention, "scores, softmax and the sum of values become one operator"),
    row("rope-kv", attention::rope_kv, "queries and keys are turned while keys and values are cached"),
];

/// What a rule makes of the node at an index, if anything.
type Find = for<'v> fn(&'v View<'v>, usize) -> Option<Rewrite<'v>>;

const fn row(name: &'static str, find: Find, about: &'static str) -> Rule {
    Rule { name, find, about }
}

/// Every rule, in the order in which they are applied.
pub fn rules() -> &'static [Rule] {
    &RULES
}

/// A graph and what has been done to it.
#[derive(Debug)]
pub struct Fused {
    /// The graph, with the weights (in their order, so that what was uploaded for one fits the other) and KV layers of
    /// the one it was made from.
    pub graph: Graph,
    /// How often each rule that is not disabled was applied, in the order of [`rules`].
    pub fired: Vec<(&'static str, usize)>,
}

/// No rule has this name.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no fusion rule {name:?}; the rules are {}", RULES.map(|rule| rule.name).join(", "))]
pub struct UnknownRule {
    /// The name given.
    pub name: String,
}

/// Applies every rule but the `disabled` ones, as often as it can be applied. Nodes whose result nothing reads go too.
///
/// # Errors
/// If a disabled rule does not exist.
pub fn fuse(graph: &Graph, disabled: &[&str]) -> Result<Fused, UnknownRule> {
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
    let fired = RULES.iter().filter(|rule| !disabled.contains(&rule.name)).map(&mut apply).collect();
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
