//! Operators as JSON and back: `{"op": "linear", "weight": "blk.0.attn_q.weight"}`. Weights go by their names.

use std::sync::Arc;

use graph::{
    Activation, Attention, Elem, End, GateScoring, GatedDelta, Graph, Groups, Growth, HeadOrder, Op, Product, Rope,
    RopeStyle, Scan, Squash, WeightId,
};
use serde_json::{Map, Value, json};

/// An operator of `graph`, with its parameters.
pub(super) fn to_json(op: &Op, graph: &Graph) -> Value {
    let name = |id: &WeightId| json!(graph.weight(*id).name);
    let maybe = |id: &Option<WeightId>| id.as_ref().map_or(Value::Null, name);
    let mut said = match op {
        Op::Embed { table } | Op::EmbedPositions { table } | Op::EmbedTypes { table } => {
            json!({ "table": name(table) })
        }
        Op::Input { width } => json!({ "width": width }),
        Op::Linear { weight } | Op::HeadLinear { weight } | Op::ExpertLinear { weight } => {
            json!({ "weight": name(weight) })
        }
        Op::ScaleBy { weight } | Op::Adapt { weight } => json!({ "weight": name(weight) }),
        Op::AddBias { bias } | Op::ExpertBias { bias } => json!({ "bias": name(bias) }),
        Op::RmsNorm { weight, eps, quantize } => {
            json!({ "weight": name(weight), "eps": real(*eps), "quantize": quantize })
        }
        Op::LayerNorm { weight, bias, span, eps } => {
            json!({ "weight": name(weight), "bias": maybe(bias), "span": span, "eps": real(*eps) })
        }
        Op::Quantize { span } => json!({ "span": span }),
        Op::UnitNorm { span, eps } => json!({ "span": span, "eps": real(*eps) }),
        Op::GaussianTopK { deviations } => json!({ "deviations": real(*deviations) }),
        Op::Scale { by } => json!({ "by": real(*by) }),
        Op::Grow(Growth { rate, every }) => json!({ "rate": real(*rate), "every": every }),
        Op::SoftCap { cap } => json!({ "cap": real(*cap) }),
        Op::Glu { act } | Op::Activate { act } => json!({ "act": activation(act) }),
        Op::Product(Product { weights, biases, end, quantize }) => json!({
            "weights": weights.iter().map(name).collect::<Vec<_>>(),
            "biases": biases.iter().map(maybe).collect::<Vec<_>>(),
            "end": end_json(end), "quantize": quantize,
        }),
        Op::Rope(rope) => rope_json(rope),
        Op::RopeKvWrite { rope, layer } => with(rope_json(rope), "layer", json!(layer)),
        Op::KvWrite { layer } | Op::Weigh { layer } => json!({ "layer": layer }),
        Op::Attention(Attention { layer, heads, scale, window, causal, softcap, sinks }) => json!({
            "layer": layer, "heads": heads, "scale": real(*scale), "window": window, "causal": causal,
            "softcap": softcap.map(real), "sinks": maybe(sinks),
        }),
        Op::Scores { layer, heads, scale } => json!({ "layer": layer, "heads": heads, "scale": real(*scale) }),
        Op::Softmax { window, sinks } => json!({ "window": window, "sinks": maybe(sinks) }),
        Op::CausalConv { layer, weight } => json!({ "layer": layer, "weight": name(weight) }),
        Op::Slice { span, first, width } => json!({ "span": span, "first": first, "width": width }),
        Op::Concat { parts } => json!({ "parts": parts }),
        Op::GatedDelta(GatedDelta { layer, heads, key_heads, order }) => {
            let order = if *order == HeadOrder::Grouped { "grouped" } else { "tiled" };
            json!({ "layer": layer, "heads": heads, "key_heads": key_heads, "order": order })
        }
        Op::Scan(Scan { layer, heads, groups, decay, skip }) => {
            json!({ "layer": layer, "heads": heads, "groups": groups, "decay": name(decay), "skip": name(skip) })
        }
        Op::Squash(by) => json!({ "by": if *by == Squash::Sigmoid { "sigmoid" } else { "softmax" } }),
        Op::KeepGroups(Groups { count, used, best }) => json!({ "count": count, "used": used, "best": best }),
        Op::TopK { k } => json!({ "k": k }),
        Op::GateWeights { scoring } => json!({ "scoring": scoring_name(*scoring) }),
        Op::ExpertScale { scale } => json!({ "scale": name(scale) }),
        Op::Add | Op::Mul | Op::SelectOutputs | Op::ExpertSum => json!({}),
    };
    said["op"] = json!(op.name());
    said
}

/// What becomes of a product.
fn end_json(end: &End) -> Value {
    match end {
        End::Store => json!("store"),
        End::Add => json!("add"),
        End::Glu(act) => json!({ "glu": activation(act) }),
    }
}

/// Numbers are written with all their digits.
fn real(x: f32) -> f64 {
    f64::from(x)
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn rope_json(Rope { head_dim, freqs, magnitude, style }: &Rope) -> Value {
    json!({
        "head_dim": head_dim,
        "freqs": freqs.iter().map(|freq| real(*freq)).collect::<Vec<_>>(),
        "magnitude": real(*magnitude),
        "style": if *style == RopeStyle::Halves { "halves" } else { "pairs" },
    })
}

fn activation(act: &Activation) -> Value {
    match act {
        Activation::Xielu { square, exponential, linear } => json!({
            "xielu": { "square": real(*square), "exponential": real(*exponential), "linear": real(*linear) },
        }),
        Activation::ClampedSilu { alpha, limit } => {
            json!({ "clamped_silu": { "alpha": real(*alpha), "limit": real(*limit) } })
        }
        plain => json!(PLAIN.iter().find(|(act, _)| act == plain).map(|(_, name)| name)),
    }
}

/// Activations without parameters.
const PLAIN: [(Activation, &str); 7] = [
    (Activation::Silu, "silu"),
    (Activation::Sigmoid, "sigmoid"),
    (Activation::GeluTanh, "gelu_tanh"),
    (Activation::GeluErf, "gelu_erf"),
    (Activation::Relu, "relu"),
    (Activation::SquaredRelu, "squared_relu"),
    (Activation::Softplus, "softplus"),
];

const SCORINGS: [(GateScoring, &str); 4] = [
    (GateScoring::SoftmaxChosen, "softmax_chosen"),
    (GateScoring::SoftmaxAll, "softmax_all"),
    (GateScoring::Kept, "kept"),
    (GateScoring::Shared, "shared"),
];

fn scoring_name(scoring: GateScoring) -> &'static str {
    SCORINGS.iter().find(|(known, _)| *known == scoring).map_or("kept", |(_, name)| name)
}

/// The operator that an object describes, of a graph with these weights.
///
/// # Errors
/// What is missing or wrong.
pub(super) fn from_json(value: &Value, weights: &Graph) -> Result<Op, String> {
    let map = value.as_object().ok_or("an operator must be an object")?;
    let r = Reader { map, weights };
    Ok(match r.text("op")? {
        "embed" => Op::Embed { table: r.weight("table")? },
        "embed_positions" => Op::EmbedPositions { table: r.weight("table")? },
        "embed_types" => Op::EmbedTypes { table: r.weight("table")? },
        "input" => Op::Input { width: r.count("width")? },
        "linear" => Op::Linear { weight: r.weight("weight")? },
        "head_linear" => Op::HeadLinear { weight: r.weight("weight")? },
        "expert_linear" => Op::ExpertLinear { weight: r.weight("weight")? },
        "scale_by" => Op::ScaleBy { weight: r.weight("weight")? },
        "add_bias" => Op::AddBias { bias: r.weight("bias")? },
        "expert_bias" => Op::ExpertBias { bias: r.weight("bias")? },
        "expert_scale" => Op::ExpertScale { scale: r.weight("scale")? },
        "rms_norm" => Op::RmsNorm { weight: r.weight("weight")?, eps: r.real("eps")?, quantize: r.flag("quantize")? },
        "layer_norm" => {
            let (weight, bias) = (r.weight("weight")?, r.maybe_weight("bias")?);
            Op::LayerNorm { weight, bias, span: r.count("span")?, eps: r.real("eps")? }
        }
        "unit_norm" => Op::UnitNorm { span: r.count("span")?, eps: r.real("eps")? },
        "gaussian_top_k" => Op::GaussianTopK { deviations: r.real("deviations")? },
        "add" => Op::Add,
        "mul" => Op::Mul,
        "scale" => Op::Scale { by: r.real("by")? },
        "grow" => Op::Grow(Growth { rate: r.real("rate")?, every: r.count("every")? }),
        "soft_cap" => Op::SoftCap { cap: r.real("cap")? },
        "glu" => Op::Glu { act: r.activation("act")? },
        "activate" => Op::Activate { act: r.activation("act")? },
        "quantize" => Op::Quantize { span: r.maybe_count("span")?.unwrap_or(Elem::Q8_BLOCK) },
        "product" => Op::Product(r.product()?),
        "rope" => Op::Rope(r.rope()?),
        "rope_kv_write" => Op::RopeKvWrite { rope: r.rope()?, layer: r.index("layer")? },
        "kv_write" => Op::KvWrite { layer: r.index("layer")? },
        "weigh" => Op::Weigh { layer: r.index("layer")? },
        "attention" => Op::Attention(r.attention()?),
        "scores" => Op::Scores { layer: r.index("layer")?, heads: r.count("heads")?, scale: r.real("scale")? },
        "softmax" => Op::Softmax { window: r.maybe_count("window")?, sinks: r.maybe_weight("sinks")? },
        "causal_conv" => Op::CausalConv { layer: r.index("layer")?, weight: r.weight("weight")? },
        "slice" => Op::Slice { span: r.count("span")?, first: r.index("first")?, width: r.count("width")? },
        "concat" => Op::Concat { parts: r.count("parts")? },
        "gated_delta" => Op::GatedDelta(r.gated_delta()?),
        "scan" => Op::Scan(r.scan()?),
        "select_outputs" => Op::SelectOutputs,
        "squash" => Op::Squash(r.choice("by", &[("sigmoid", Squash::Sigmoid), ("softmax", Squash::Softmax)])?),
        "keep_groups" => {
            Op::KeepGroups(Groups { count: r.count("count")?, used: r.count("used")?, best: r.count("best")? })
        }
        "top_k" => Op::TopK { k: r.count("k")? },
        "gate_weights" => {
            let names = SCORINGS.map(|(scoring, name)| (name, scoring));
            Op::GateWeights { scoring: r.choice("scoring", &names)? }
        }
        "expert_sum" => Op::ExpertSum,
        other => return Err(format!("there is no operator {other:?}")),
    })
}

/// The parameters of an operator.
struct Reader<'a> {
    map: &'a Map<String, Value>,
    weights: &'a Graph,
}

impl<'a> Reader<'a> {
    fn get(&self, name: &str) -> Result<&'a Value, String> {
        self.map.get(name).ok_or_else(|| format!("{name} is missing"))
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.get(name)?.as_str().ok_or_else(|| format!("{name} must be a string"))
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        self.get(name)?.as_bool().ok_or_else(|| format!("{name} must be true or false"))
    }

    fn count(&self, name: &str) -> Result<usize, String> {
        count(name, self.get(name)?)
    }

    /// A whole number that may be 0.
    fn index(&self, name: &str) -> Result<usize, String> {
        let number = self.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| format!("{name} must be a whole number"))
    }

    fn maybe_count(&self, name: &str) -> Result<Option<usize>, String> {
        self.given(name).map(|value| count(name, value)).transpose()
    }

    fn real(&self, name: &str) -> Result<f32, String> {
        real_of(name, self.get(name)?)
    }

    fn given(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn weight(&self, name: &str) -> Result<WeightId, String> {
        self.weight_of(name, self.get(name)?)
    }

    fn maybe_weight(&self, name: &str) -> Result<Option<WeightId>, String> {
        self.given(name).map(|value| self.weight_of(name, value)).transpose()
    }

    fn weight_of(&self, field: &str, value: &Value) -> Result<WeightId, String> {
        let name = value.as_str().ok_or_else(|| format!("{field} must be a weight's name"))?;
        let found = self.weights.weight_ids().find(|id| self.weights.weight(*id).name == name);
        found.ok_or_else(|| format!("{field}: the model has no weight {name:?}"))
    }

    fn list(&self, name: &str) -> Result<&'a Vec<Value>, String> {
        self.get(name)?.as_array().ok_or_else(|| format!("{name} must be a list"))
    }

    fn choice<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> Result<T, String> {
        let word = self.text(name)?;
        let found = all.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        let names = || all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("{name} must be one of {}, but it is {word:?}", names()))
    }

    fn activation(&self, name: &str) -> Result<Activation, String> {
        activation_of(self.get(name)?).map_err(|why| format!("{name}: {why}"))
    }

    fn product(&self) -> Result<Product, String> {
        let end = match self.get("end")? {
            Value::String(word) if word == "store" => End::Store,
            Value::String(word) if word == "add" => End::Add,
            Value::Object(map) if map.contains_key("glu") => End::Glu(activation_of(&map["glu"])?),
            _ => return Err("end must be \"store\", \"add\" or {\"glu\": …}".into()),
        };
        let maybe = |value: &Value| match value {
            Value::Null => Ok(None),
            value => self.weight_of("biases", value).map(Some),
        };
        let weights = self.list("weights")?.iter().map(|value| self.weight_of("weights", value));
        Ok(Product {
            weights: weights.collect::<Result<_, _>>()?,
            biases: self.list("biases")?.iter().map(maybe).collect::<Result<_, _>>()?,
            end,
            quantize: self.flag("quantize")?,
        })
    }

    fn rope(&self) -> Result<Rope, String> {
        let freqs = self.list("freqs")?.iter().map(|value| real_of("freqs", value));
        Ok(Rope {
            head_dim: self.count("head_dim")?,
            freqs: freqs.collect::<Result<Arc<[f32]>, _>>()?,
            magnitude: self.real("magnitude")?,
            style: self.choice("style", &[("halves", RopeStyle::Halves), ("pairs", RopeStyle::Pairs)])?,
        })
    }

    fn attention(&self) -> Result<Attention, String> {
        Ok(Attention {
            layer: self.index("layer")?,
            heads: self.count("heads")?,
            scale: self.real("scale")?,
            window: self.maybe_count("window")?,
            causal: self.given("causal").is_none() || self.flag("causal")?,
            softcap: self.given("softcap").map(|value| real_of("softcap", value)).transpose()?,
            sinks: self.maybe_weight("sinks")?,
        })
    }

    fn gated_delta(&self) -> Result<GatedDelta, String> {
        let order = self.choice("order", &[("grouped", HeadOrder::Grouped), ("tiled", HeadOrder::Tiled)])?;
        let (layer, heads, key_heads) = (self.index("layer")?, self.count("heads")?, self.count("key_heads")?);
        Ok(GatedDelta { layer, heads, key_heads, order })
    }

    fn scan(&self) -> Result<Scan, String> {
        let (layer, heads, groups) = (self.index("layer")?, self.count("heads")?, self.count("groups")?);
        Ok(Scan { layer, heads, groups, decay: self.weight("decay")?, skip: self.weight("skip")? })
    }
}

/// A whole number from 1 on: operators divide by them.
fn count(name: &str, value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("{name} must be a whole number above 0"))
}

fn real_of(name: &str, value: &Value) -> Result<f32, String> {
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| format!("{name} must be a finite number"))
}

fn activation_of(value: &Value) -> Result<Activation, String> {
    let unknown = || format!("there is no activation {value}");
    if let Some(word) = value.as_str() {
        return PLAIN.iter().find(|(_, name)| *name == word).map(|(act, _)| *act).ok_or_else(unknown);
    }
    let number = |object: &Value, name: &str| real_of(name, &object[name]);
    if let Some(given) = value.get("xielu") {
        let (square, exponential) = (number(given, "square")?, number(given, "exponential")?);
        return Ok(Activation::Xielu { square, exponential, linear: number(given, "linear")? });
    }
    let given = value.get("clamped_silu").ok_or_else(unknown)?;
    Ok(Activation::ClampedSilu { alpha: number(given, "alpha")?, limit: number(given, "limit")? })
}

#[cfg(test)]
mod tests {
    use graph::testing::{ToyConfig, ToyRecurrence, toy_model};

    use super::*;

    #[test]
    fn every_operator_is_read_as_it_is_written() {
        let plain = ToyConfig::default();
        let delta = ToyRecurrence::Delta { order: HeadOrder::Tiled, by_row: true };
        let configs = [
            ToyConfig { window: Some(7), softcap: Some(3.0), sinks: true, ..plain.clone() },
            ToyConfig { experts: Some((5, 2)), ..plain.clone() },
            ToyConfig { heads: (3, 0), experts: Some((6, 2)), ..plain.clone() },
            ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), ..plain.clone() },
            ToyConfig { recurrent: Some(delta), ..plain.clone() },
            ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), ..plain },
        ];
        for config in configs {
            let built = toy_model(&config).0;
            let fused = graph::fuse(&built, graph::rules(), &[]).expect("rules that exist").graph;
            for graph in [&built, &fused] {
                for node in graph.nodes() {
                    let text = to_json(&node.op, graph).to_string();
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    assert_eq!(from_json(&value, graph).as_ref(), Ok(&node.op), "{text}");
                }
            }
        }
    }

    #[test]
    fn activations_are_read_as_they_are_written() {
        let xielu = Activation::Xielu { square: 0.1, exponential: -0.3, linear: 1e-20 };
        let clamped = Activation::ClampedSilu { alpha: 1.702, limit: 7.0 };
        for act in PLAIN.iter().map(|(act, _)| *act).chain([xielu, clamped]) {
            let text = activation(&act).to_string();
            assert_eq!(activation_of(&serde_json::from_str(&text).expect("JSON")), Ok(act), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_operator_is_said() {
        let graph = toy_model(&ToyConfig::default()).0;
        for (text, why) in [
            ("7", "an operator must be an object"),
            ("{}", "op is missing"),
            (r#"{"op":"linear"}"#, "weight is missing"),
            (r#"{"op":"linear","weight":3}"#, "weight must be a weight's name"),
            (r#"{"op":"scale","by":1e300}"#, "by must be a finite number"),
            (r#"{"op":"top_k","k":0}"#, "k must be a whole number above 0"),
            (r#"{"op":"squash","by":"eye"}"#, "by must be one of sigmoid, softmax, but it is \"eye\""),
            (r#"{"op":"glu","act":"eye"}"#, "act: there is no activation \"eye\""),
        ] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(from_json(&value, &graph).expect_err(text), why);
        }
    }
}
