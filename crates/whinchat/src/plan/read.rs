//! Plans from files: the operators of a plan in place of those that the rules of fusion give. The reference interpreter computes both
//! before one is used.

use std::collections::HashMap;
use std::sync::Arc;

use graph::testing::{difference, uniform};
use graph::{Backend, Batch, Graph, GraphBuilder, Interpreter, KvType, Limits, Op, ValueId, WeightId, WeightInfo};
use serde_json::Value;

use super::ops;

/// The version of the form in which plans are written.
pub(super) const VERSION: u64 = 1;

/// The largest difference, relative to the largest output, that two ways of computing the same may have: sums in another order.
const TOLERANCE: f32 = 1e-3;

/// Rows of the vocabulary that are computed.
const TOKENS: usize = 256;

/// The graph of a plan, for a model whose graph as it is built is `built`.
///
/// # Errors
/// Which part of the plan is wrong.
pub(super) fn graph(plan: &Value, built: &Graph) -> Result<Graph, String> {
    match plan["version"].as_u64() {
        Some(VERSION) => {}
        _ => return Err(format!("version must be {VERSION}: it is no plan, or one of another version of whinchat")),
    }
    let operators = plan["operators"].as_array().ok_or("operators is missing, or no list")?;
    let mut builder = GraphBuilder::new();
    built.weights().iter().for_each(|info| _ = builder.weight(info.clone()));
    built.memory().iter().for_each(|memory| _ = builder.memory(*memory));
    let mut names: HashMap<u64, ValueId> = HashMap::new();
    for (at, operator) in operators.iter().enumerate() {
        node(&mut builder, &mut names, operator, built).map_err(|why| format!("operators[{at}]: {why}"))?;
    }
    let output = plan["output"]["value"].as_u64().and_then(|id| names.get(&id));
    let output = *output.ok_or("output.value is no value of the plan")?;
    let graph = builder.finish(&built.output().name, output).map_err(|why| why.to_string())?;
    if graph.output_width() != built.output_width() {
        let (own, wanted) = (graph.output_width(), built.output_width());
        return Err(format!("its output is {own} wide, that of the model {wanted}"));
    }
    Ok(graph)
}

fn node(
    builder: &mut GraphBuilder,
    names: &mut HashMap<u64, ValueId>,
    operator: &Value,
    built: &Graph,
) -> Result<(), String> {
    let op = ops::from_json(operator, built)?;
    let ids = |field: &str| {
        let list = operator[field].as_array().ok_or_else(|| format!("{field} must be a list of values"))?;
        let id = |value: &Value| value.as_u64().ok_or_else(|| format!("{field} must be a list of values"));
        list.iter().map(id).collect::<Result<Vec<u64>, String>>()
    };
    let value = |id: &u64| names.get(id).copied().ok_or_else(|| format!("value {id} is read before it is made"));
    let inputs = ids("inputs")?.iter().map(value).collect::<Result<Vec<_>, String>>()?;
    let outputs = ids("outputs")?;
    let layers = built.memory().len();
    if let Some(layer) = layer(&op).filter(|layer| *layer >= layers) {
        return Err(format!("layer {layer} of {layers}"));
    }
    let made = builder.push_all(op, &inputs).map_err(|why| why.to_string())?;
    if made.len() != outputs.len() {
        return Err(format!("it gives {} values, but {} are named", made.len(), outputs.len()));
    }
    names.extend(outputs.into_iter().zip(made));
    Ok(())
}

/// The memory that an operator names.
fn layer(op: &Op) -> Option<usize> {
    match op {
        Op::Attention(attention) => Some(attention.layer),
        Op::Scores { layer, .. } | Op::Weigh { layer } => Some(*layer),
        op => op.writes(),
    }
}

/// Whether the interpreter computes with `plan` what it computes with the model's graph, as it is built or as it is `fused` (that rounds
/// activations to 8 bits): two sequences that begin in one batch and go on in the next ones, with random weights. The vocabulary is
/// cut to its first rows, whose products and lookups are all alike. `available` is the memory that is left, in bytes.
///
/// # Errors
/// If it does not, or that cannot be found out.
pub(super) fn check(plan: &Graph, [fused, built]: [&Graph; 2], available: Option<u64>) -> Result<(), String> {
    if plan == fused || plan == built {
        return Ok(());
    }
    let shrunk_plan = shrunk(plan)?;
    let bytes: u64 = shrunk_plan.weights().iter().map(|info| 4 * info.shape.elements().unwrap_or(0) as u64).sum();
    if available.is_some_and(|available| bytes > available / 2) {
        let bytes = bytes >> 20;
        return Err(format!(
            "the interpreter needs {bytes} MiB for this model's weights, more than half of what is left"
        ));
    }
    let weights = weights(&shrunk_plan);
    let found = outputs(&shrunk_plan, weights.clone())?;
    let mut least = f32::INFINITY;
    for graph in [fused, built] {
        let apart = difference(&found, &outputs(&shrunk(graph)?, weights.clone())?);
        // Not a number is no small difference.
        if apart <= TOLERANCE {
            return Ok(());
        }
        least = least.min(apart);
    }
    let why = "it does not compute what the model computes: the interpreter's outputs differ by";
    Err(format!("{why} {least}, relative to the largest"))
}

/// The same graph over the first rows of the vocabulary.
fn shrunk(graph: &Graph) -> Result<Graph, String> {
    let (tokens, width) = (graph.tokens(), graph.output_width());
    let looked_up =
        |id: WeightId| graph.nodes().iter().any(|node| matches!(node.op, Op::Embed { table } if table == id));
    let mut builder = GraphBuilder::new();
    for id in graph.weight_ids() {
        let mut info = graph.weight(id).clone();
        let shape = &mut info.shape;
        if tokens > TOKENS && width > TOKENS {
            let gives_outputs = shape.outer == 1 && shape.rows == width;
            shape.rows = if looked_up(id) || gives_outputs { shape.rows.min(TOKENS) } else { shape.rows };
            let biases_outputs = shape.outer * shape.rows == 1 && shape.cols == width;
            shape.cols = if biases_outputs { TOKENS } else { shape.cols };
        }
        builder.weight(info);
    }
    graph.memory().iter().for_each(|memory| _ = builder.memory(*memory));
    let mut names: HashMap<ValueId, ValueId> = HashMap::new();
    for node in graph.nodes() {
        let inputs: Vec<ValueId> = node.inputs.iter().map(|id| names[id]).collect();
        let made = builder.push_all(node.op.clone(), &inputs).map_err(|why| why.to_string())?;
        names.extend(node.outputs.iter().copied().zip(made));
    }
    builder.finish(&graph.output().name, names[&graph.output().value]).map_err(|why| why.to_string())
}

/// Matrices that keep the size of what they are multiplied with, and vectors around 1, as norms have.
fn weights(graph: &Graph) -> Vec<Arc<Vec<f32>>> {
    let mut state = 1;
    let mut weight = |info: &WeightInfo| {
        let vector = info.shape.outer * info.shape.rows == 1;
        let (center, size) = if vector { (1.0, 0.5) } else { (0.0, (3.0 / info.shape.cols as f32).sqrt()) };
        let count = info.shape.elements().unwrap_or(0);
        Arc::new((0..count).map(|_| center + size * uniform(&mut state)).collect())
    };
    graph.weights().iter().map(&mut weight).collect()
}

/// Rows and position of each of two sequences, and the rows whose outputs are compared.
const STEPS: [([(usize, usize); 2], &[u32]); 3] =
    [([(3, 0), (2, 0)], &[1, 4]), ([(1, 3), (1, 2)], &[0, 1]), ([(2, 4), (1, 3)], &[2])];

fn outputs(graph: &Graph, weights: Vec<Arc<Vec<f32>>>) -> Result<Vec<f32>, String> {
    let (kv_type, state_slots) = (KvType::F32, 2);
    let limits = Limits { max_tokens: 8, max_outputs: 3, kv_blocks: 4, block_len: 4, kv_type, state_slots };
    let mut program = Interpreter.compile(graph, weights, limits).map_err(|why| why.to_string())?;
    let (mut all, mut state) = (vec![], 7);
    let mut token = || ((uniform(&mut state) + 1.0) / 2.0 * graph.tokens().min(1 << 20) as f32) as u32;
    for (spans, outputs) in STEPS {
        let mut batch = Batch { outputs: outputs.into(), ..Batch::default() };
        for ((rows, position), (blocks, slot)) in spans.into_iter().zip([([3, 0], 1), ([2, 1], 0)]) {
            let tokens: Vec<u32> = (0..rows).map(|_| token()).collect();
            batch.push_with_state(&tokens, position, blocks, Some(slot));
        }
        Interpreter.run(&mut program, &batch).map_err(|why| why.to_string())?;
        all.extend_from_slice(Interpreter.download(&program));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use graph::testing::{ToyConfig, toy_model};
    use serde_json::json;

    use super::*;

    fn plan(graph: &Graph) -> Value {
        let ids = |ids: &[ValueId]| ids.iter().map(|id| id.index()).collect::<Vec<_>>();
        let operator = |node: &graph::Node| {
            let mut said = ops::to_json(&node.op, graph);
            (said["inputs"], said["outputs"]) = (json!(ids(&node.inputs)), json!(ids(&node.outputs)));
            said
        };
        let operators: Vec<Value> = graph.nodes().iter().map(operator).collect();
        json!({ "version": VERSION, "operators": operators, "output": { "value": graph.output().value.index() } })
    }

    #[test]
    fn a_plan_that_is_fused_otherwise_is_sound_and_one_that_computes_otherwise_is_not() {
        let config = ToyConfig { vocab: 300, softcap: Some(5.0), window: Some(3), ..ToyConfig::default() };
        let built = toy_model(&config).0;
        let fused = |disabled: &[&str]| graph::fuse(&built, graph::rules(), disabled).expect("rules that exist").graph;
        let usual = fused(&[]);
        for other in [usual.clone(), built.clone(), fused(&["mlp", "residual"]), fused(&["attention", "siblings"])] {
            let read = graph(&plan(&other), &built).expect("it is well-formed");
            assert_eq!(check(&read, [&usual, &built], None), Ok(()));
        }
        let mut wrong = plan(&usual);
        for operator in wrong["operators"].as_array_mut().expect("a list") {
            if operator["op"] == "attention" {
                operator["window"] = json!(4);
            }
        }
        let read = graph(&wrong, &built).expect("it is well-formed");
        let why = check(&read, [&usual, &built], None).expect_err("another window");
        assert!(why.contains("does not compute what the model computes"), "{why}");
        let why = check(&read, [&usual, &built], Some(1000)).expect_err("no memory");
        assert!(why.contains("more than half of what is left"), "{why}");
    }
}
