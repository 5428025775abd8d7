//! A model's execution plan as JSON: its operators, their values and buffers, the rules that made them, what each costs and what it
//! takes at best.

use std::fmt::Write;

use graph::{Elem, Graph, Limits, Memory, Node, Op, Plan, Rows, ValueId, ValueInfo, WeightInfo, WeightRole};
use kernels::{Cpu, Machine, RowClass, Tuning};
use serde_json::{Value, json};

use super::cost::{Cost, Shape};
use super::{ops, read};
use crate::Prepared;

/// What is told of a plan besides itself.
#[derive(Clone, Copy, Debug)]
pub struct PlanQuery<'a> {
    /// The step that costs are given for.
    pub shape: Shape,
    /// The machine's limits, if they were measured.
    pub machine: Option<Machine>,
    /// The kernels of the program that runs, if there is one.
    pub tuning: Option<&'a Tuning>,
}

impl Prepared {
    /// The plan of the model. It can be read back (`--plan`): then `operators` and `output` count, the rest is told for people.
    pub fn plan(&self, query: &PlanQuery) -> Value {
        let graph = &self.graphs.logits;
        let layout = Cpu::DEVICE.layout;
        let plan = Plan::new(graph, &layout, &self.limits);
        let costs: Vec<Cost> = graph
            .nodes()
            .iter()
            .map(|node| Cost::of(graph, &layout, self.limits.kv_type, node, &query.shape))
            .collect();
        let operators = graph.nodes().iter().zip(&costs).enumerate();
        let operators: Vec<Value> =
            operators.map(|(at, (node, cost))| operator(graph, at, node, cost, query)).collect();
        let total = costs.iter().fold(Cost::default(), |sum, cost| sum.and(*cost));
        let micros = query.machine.map(|machine| costs.iter().map(|cost| cost.micros(&machine)).sum::<f64>());
        json!({
            "object": "plan",
            "version": read::VERSION,
            "model": self.model_name(),
            "source": self.graphs.file.as_ref().map_or("built".into(), |path| path.display().to_string()),
            "isa": self.isa().name(),
            "threads": self.threads(),
            "shape": shape_json(&query.shape),
            "machine": query.machine.map(machine_json),
            "limits": limits(self),
            "fusion": fusion(self),
            "operators": operators,
            "values": values(graph, &plan, &self.limits),
            "memory": graph.memory().iter().map(memory).collect::<Vec<_>>(),
            "weights": graph.weights().iter().map(weight).collect::<Vec<_>>(),
            "output": { "name": graph.output().name, "value": graph.output().value.index() },
            "arena_bytes": 4 * plan.words as u64,
            "total": with_micros(cost_json(&total), micros),
        })
    }
}

/// How a step's shape is told.
pub(super) fn shape_json(shape: &Shape) -> Value {
    json!({ "sequences": shape.sequences, "rows": shape.rows, "context": shape.context })
}

/// How a machine's limits are told; what there is no instruction for is null.
pub fn machine_json(Machine { read_gb_s, int8_gop_s, f32_gflop_s }: Machine) -> Value {
    json!({ "read_gb_s": read_gb_s, "int8_gop_s": int8_gop_s, "f32_gflop_s": f32_gflop_s })
}

/// How a cost is told.
pub(super) fn cost_json(cost: &Cost) -> Value {
    json!({
        "read_bytes": cost.read, "written_bytes": cost.written, "weight_bytes": cost.weights, "memory_bytes": cost.memory,
        "int8_operations": cost.int8, "f32_operations": cost.f32,
    })
}

fn with_micros(mut cost: Value, micros: Option<f64>) -> Value {
    cost["predicted_us"] = json!(micros);
    cost
}

fn operator(graph: &Graph, at: usize, node: &Node, cost: &Cost, query: &PlanQuery) -> Value {
    let mut said = ops::to_json(&node.op, graph);
    let ids = |ids: &[ValueId]| ids.iter().map(|id| id.index()).collect::<Vec<_>>();
    said["inputs"] = json!(ids(&node.inputs));
    said["outputs"] = json!(ids(&node.outputs));
    said["text"] = json!(graph.line(node).to_string());
    said["shape"] = json!(operator_shape(graph, node));
    said["cost"] = with_micros(cost_json(cost), query.machine.map(|machine| cost.micros(&machine)));
    if let Some((tuning, ways)) = query.tuning.and_then(|tuning| Some((tuning, tuning.ways().get(at)?)))
        && !ways.is_empty()
    {
        let chosen = tuning.chosen();
        let of = |class: RowClass| (class.name().to_owned(), json!(chosen[at][class as usize].to_string()));
        said["kernels"] = json!(ways.iter().map(ToString::to_string).collect::<Vec<_>>());
        said["kernel"] = RowClass::ALL.into_iter().map(of).collect::<serde_json::Map<_, _>>().into();
    }
    said
}

/// What makes operators alike: those with the same text here take the same time. Weights go by shape and type.
pub(super) fn operator_shape(graph: &Graph, node: &Node) -> String {
    let mut text = String::new();
    for (i, id) in node.op.weights().into_iter().enumerate() {
        let weight = graph.weight(id);
        // Writing into a string cannot fail.
        let _ = write!(text, "{}{} {}", if i == 0 { "" } else { " + " }, weight.dtype, weight.shape);
    }
    let values = || node.inputs.iter().chain(&node.outputs).map(|&id| graph.value(id).to_string());
    match &node.op {
        Op::Attention(attention) => {
            let window = attention.window.map_or(String::new(), |window| format!(", window {window}"));
            let _ = write!(text, "{} heads, {}{window}", attention.heads, graph.value(node.inputs[0]));
        }
        _ if text.is_empty() => text = values().next().unwrap_or_default(),
        _ => {}
    }
    text
}

fn limits(prepared: &Prepared) -> Value {
    let limits = &prepared.limits;
    json!({
        "max_tokens": limits.max_tokens, "max_outputs": limits.max_outputs, "kv_blocks": limits.kv_blocks,
        "block_len": limits.block_len, "kv_type": limits.kv_type.name(), "state_slots": limits.state_slots,
    })
}

fn fusion(prepared: &Prepared) -> Vec<Value> {
    let about = |name: &str| graph::rules().iter().find(|rule| rule.name == name).map_or("", |rule| rule.about);
    let fired = prepared.graphs.fired.iter();
    fired.map(|(name, times)| json!({ "rule": name, "about": about(name), "fired": times })).collect()
}

/// Where a value lies in the arena, in words of 4 bytes, and for how long.
#[derive(Clone, Copy, Default)]
struct Place {
    start: usize,
    made_by: Option<usize>,
    last_read_by: Option<usize>,
}

fn values(graph: &Graph, plan: &Plan, limits: &Limits) -> Vec<Value> {
    let mut places = vec![Place::default(); graph.values().len()];
    for step in &plan.steps {
        let node = &graph.nodes()[step.node];
        for (id, &start) in node.outputs.iter().zip(&step.outputs) {
            places[id.index()] = Place { start, made_by: Some(step.node), last_read_by: None };
        }
        node.inputs.iter().for_each(|id| places[id.index()].last_read_by = Some(step.node));
    }
    graph.values().iter().zip(places).enumerate().map(|(id, (info, place))| value(id, info, place, limits)).collect()
}

fn value(id: usize, info: &ValueInfo, place: Place, limits: &Limits) -> Value {
    let (rows, most) = match info.rows {
        Rows::Tokens => ("tokens", limits.max_tokens),
        Rows::Outputs => ("outputs", limits.max_outputs),
    };
    let words = most.saturating_mul(Cpu::DEVICE.layout.row_words(*info, limits));
    json!({
        "id": id, "rows": rows, "width": info.width, "elements": elements(info.elem), "place": place.start, "words": words,
        "made_by": place.made_by, "last_read_by": place.last_read_by,
    })
}

fn elements(elem: Elem) -> &'static str {
    match elem {
        Elem::F32 => "f32",
        Elem::U32 => "u32",
        Elem::Q8 { .. } => "q8",
        Elem::Positions => "positions",
    }
}

fn memory(memory: &Memory) -> Value {
    match memory {
        Memory::Kv(shape) => json!({ "kind": "kv", "heads": shape.heads, "head_dim": shape.head_dim }),
        Memory::Recurrent { len } => json!({ "kind": "recurrent", "numbers": len }),
    }
}

fn weight(info: &WeightInfo) -> Value {
    json!({
        "name": info.name, "shape": [info.shape.outer, info.shape.rows, info.shape.cols], "type": info.dtype.to_string(),
        "role": if info.role == WeightRole::Matrix { "matrix" } else { "elements" }, "bytes": info.bytes(),
    })
}
