//! Small random models for tests of backends and engines: llama-like, the same bits on every machine.

use std::sync::Arc;

use tensor::{DType, Shape};

use crate::*;

/// A layout with padding everywhere: values on lines of 16 words, 8-bit rows of an odd number of lines.
pub const LAYOUT: Layout = Layout { align: 16, q8_words: |columns| ((columns / 32) | 1) * 16, block_align: 16 };

/// A toy model. Every operator but the experts' appears in every one of them, the experts' where `experts` is set.
#[derive(Clone, Debug)]
pub struct ToyConfig {
    /// Tokens.
    pub vocab: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of the feed-forward part (of each expert).
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads and KV heads. With 0 of the latter, keys and values are latent: one of each for all heads, twice as wide. Layer
    /// norms, a feed-forward part without a gate, and groups of experts come with that.
    pub heads: (usize, usize),
    /// Width of a head.
    pub head_dim: usize,
    /// How matrices are stored; vectors, the router and expert biases are F32. Columns must be whole blocks.
    pub dtype: DType,
    /// Attention window of every second layer, the first included.
    pub window: Option<usize>,
    /// Cap of attention scores and of logits.
    pub softcap: Option<f32>,
    /// Attention sinks.
    pub sinks: bool,
    /// Experts in all and experts of each token.
    pub experts: Option<(usize, usize)>,
    /// What every second layer has instead of attention, the second included.
    pub recurrent: Option<ToyRecurrence>,
}

/// A recurrent layer of a toy model.
#[derive(Clone, Copy, Debug)]
pub enum ToyRecurrence {
    /// A causal convolution of so many taps.
    Conv(usize),
    /// The gated delta rule, of 4 heads that share 2 of keys.
    Delta {
        /// Which of these each reads.
        order: HeadOrder,
        /// Whether each row of a state has a decay of its own.
        by_row: bool,
    },
    /// The scan of Mamba-2, of 4 heads in so many groups.
    Scan(usize),
}

impl Default for ToyConfig {
    /// Two plain layers of odd sizes, stored as F32.
    fn default() -> ToyConfig {
        ToyConfig {
            vocab: 67,
            width: 64,
            hidden: 96,
            layers: 2,
            heads: (4, 2),
            head_dim: 32,
            dtype: DType::F32,
            window: None,
            softcap: None,
            sinks: false,
            experts: None,
            recurrent: None,
        }
    }
}

/// The graph and the bytes of its weights, in the order of [`Graph::weights`]; random, but the same for a config.
///
/// # Panics
/// If the config makes no sense: columns that are not whole blocks, heads that are not a multiple of the KV heads, a
/// type without an encoder.
pub fn toy_model(config: &ToyConfig) -> (Graph, Vec<Vec<u8>>) {
    let mut toy = Toy { c: config, graph: GraphBuilder::new(), weights: vec![], random: 1 };
    let table = toy.matrix("token_embd.weight", config.vocab, config.width);
    let x = toy.push(Op::Embed { table }, &[]);
    let mut x = toy.push(Op::Scale { by: 3.0 }, &[x]);
    for layer in 0..config.layers {
        x = match config.recurrent {
            Some(kind) if layer % 2 == 1 => toy.recurrent(layer, kind, x),
            _ if config.heads.1 == 0 => toy.latent(layer, x),
            _ => toy.attention(layer, x),
        };
        x = toy.feed_forward(layer, x);
    }
    let x = toy.norm("output_norm.weight", config.width, x);
    let mut logits = toy.linear("output.weight", config.vocab, config.width, x);
    if let Some(cap) = config.softcap {
        logits = toy.push(Op::SoftCap { cap }, &[logits]);
    }
    let logits = toy.push(Op::SelectOutputs, &[logits]);
    (toy.graph.finish("logits", logits).expect("the toy model is well-formed"), toy.weights)
}

/// Brings all weights of a graph to a backend; `bytes` are in the order of [`Graph::weights`].
///
/// # Panics
/// If a weight has the wrong length or the memory is short.
pub fn upload<B: Backend>(backend: &B, graph: &Graph, bytes: &[Vec<u8>]) -> Vec<Arc<B::Weight>> {
    assert_eq!(bytes.len(), graph.weights().len(), "weights");
    let upload = |(info, bytes): (&WeightInfo, &Vec<u8>)| backend.upload(info, bytes).expect("a weight that fits");
    graph.weights().iter().zip(bytes).map(upload).map(Arc::new).collect()
}

/// A program on a backend, with a memory for a few sequences: sequence s has the blocks s, s + 4, s + 8 … and the slot s.
pub struct ToyProgram<B: Backend> {
    /// What computes it.
    pub backend: B,
    /// The program.
    pub program: B::Program,
    /// What it was compiled for.
    pub limits: Limits,
}

impl<B: Backend> ToyProgram<B> {
    /// A model whose graph is first fused by `rules`, but for those that are `disabled`.
    ///
    /// # Panics
    /// If there is no such rule, a weight has the wrong length or the memory is short.
    pub fn new(
        backend: B,
        (graph, weights): &(Graph, Vec<Vec<u8>>),
        limits: Limits,
        (rules, disabled): (&[Rule], &[&str]),
    ) -> ToyProgram<B> {
        let graph = fuse(graph, rules, disabled).expect("rules that exist").graph;
        let weights = upload(&backend, &graph, weights);
        let program = backend.compile(&graph, weights, limits).expect("memory");
        ToyProgram { backend, program, limits }
    }

    /// Runs spans of (sequence, position, tokens); gives the output of all rows.
    ///
    /// # Panics
    /// If the batch is not within the limits.
    pub fn step(&mut self, spans: &[(u32, usize, &[u32])]) -> Vec<f32> {
        let mut batch = Batch::default();
        for &(sequence, position, tokens) in spans {
            let blocks = (position + tokens.len()).div_ceil(self.limits.block_len) as u32;
            batch.push_with_state(tokens, position, (0..blocks).map(|i| sequence + 4 * i), Some(sequence));
        }
        batch.outputs = (0..batch.tokens.len() as u32).collect();
        self.backend.run(&mut self.program, &batch).expect("a batch within limits");
        self.backend.download(&self.program).to_vec()
    }
}

/// The largest difference between two lists of numbers, relative to the largest of `wanted`; NaN if a number of either is NaN or
/// one list is longer.
pub fn difference(got: &[f32], wanted: &[f32]) -> f32 {
    // `total_cmp` puts NaN above all other magnitudes, where `f32::max` would drop it.
    let largest = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(f32::abs).max_by(f32::total_cmp).unwrap_or(0.0);
    if got.len() != wanted.len() {
        return f32::NAN;
    }
    let worst = largest(&mut got.iter().zip(wanted).map(|(a, b)| a - b));
    worst / largest(&mut wanted.iter().copied()).max(f32::MIN_POSITIVE)
}

/// Evenly distributed between -1 and 1, the same bits on every machine; `state` is the seed and what comes next.
/// SplitMix64 (Steele, Lea and Flood 2014).
pub fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Random rows of any type, whose scales are between -`size` and `size`; 8-bit and power-of-two scales are of about that of 1.
pub fn random_rows(dtype: DType, state: &mut u64, (rows, cols): (usize, usize), size: f32) -> Vec<u8> {
    let row = dtype.row_bytes(cols).expect("columns are whole blocks of the type");
    let mut bytes = vec![0; rows * row];
    for row in bytes.chunks_exact_mut(row) {
        let (scale, blocks) = row.split_at_mut(dtype.layout().row_head);
        if !scale.is_empty() {
            scale.copy_from_slice(&(size * uniform(state)).to_le_bytes());
        }
        random_blocks(dtype, state, blocks, size);
    }
    bytes
}

fn random_blocks(dtype: DType, state: &mut u64, blocks: &mut [u8], size: f32) {
    let layout = dtype.layout();
    for block in blocks.chunks_exact_mut(layout.block_bytes) {
        if layout.block_len == 1 {
            tensor::encode(dtype, &[size * uniform(state)], block).expect("plain types are written");
            continue;
        }
        block.iter_mut().for_each(|byte| *byte = (uniform(state) * 128.0) as i8 as u8);
        let chosen = (uniform(state).abs() * 5.9) as usize;
        match dtype {
            DType::MXFP4 => block[0] = [0, 1, 2, 120, 127, 130][chosen],
            DType::NVFP4 => {
                let scales = [[0, 1, 10, 127], [128, 255, 3, 30], [40, 50, 60, 70]];
                block[..4].copy_from_slice(&scales[chosen / 2]);
            }
            // A quarter of the scale is in the upper half of each second byte of the last eight.
            DType::IQ1_M => {
                let scale = u16::from_le_bytes(half(size * uniform(state)));
                for (i, byte) in block[48..].iter_mut().skip(1).step_by(2).enumerate() {
                    *byte = *byte & 15 | ((scale >> (4 * i) & 15) as u8) << 4;
                }
            }
            DType::Q8_ROW => {}
            _ => {
                for &at in scales(dtype) {
                    block[at..at + 2].copy_from_slice(&half(size * uniform(state)));
                }
            }
        }
    }
}

/// Where a block has scales in half precision.
fn scales(dtype: DType) -> &'static [usize] {
    match dtype {
        DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
        DType::Q2_K => &[80, 82],
        DType::Q3_K => &[108],
        DType::Q6_K => &[208],
        DType::TQ1_0 => &[52],
        DType::TQ2_0 => &[64],
        _ => &[0],
    }
}

/// A number in half precision.
fn half(x: f32) -> [u8; 2] {
    let mut bytes = [0; 2];
    tensor::encode(DType::F16, &[x], &mut bytes).expect("plain types are written");
    bytes
}

struct Toy<'a> {
    c: &'a ToyConfig,
    graph: GraphBuilder,
    weights: Vec<Vec<u8>>,
    random: u64,
}

impl Toy<'_> {
    fn attention(&mut self, layer: usize, x: ValueId) -> ValueId {
        let ToyConfig { heads: (heads, kv_heads), head_dim, width, .. } = *self.c;
        let name = |part: &str| format!("blk.{layer}.{part}");
        let h = self.norm(&name("attn_norm.weight"), width, x);
        let [q, k, v] = [("attn_q", heads), ("attn_k", kv_heads), ("attn_v", kv_heads)]
            .map(|(part, heads)| self.linear(&name(&format!("{part}.weight")), heads * head_dim, width, h));
        let bias = self.vector(&name("attn_q.bias"), heads * head_dim, 0.0);
        let q = self.push(Op::AddBias { bias }, &[q]);
        let k = self.norm(&name("attn_k_norm.weight"), head_dim, k);
        let [q, k] = [q, k].map(|x| self.rope(x, head_dim));
        let kv = self.graph.kv_layer(KvShape { heads: kv_heads, head_dim });
        self.graph.kv_write(kv, k, v).expect("keys and values fit the layer");
        let op = Attention {
            layer: kv,
            heads,
            scale: (head_dim as f32).sqrt().recip(),
            window: self.c.window.filter(|_| layer.is_multiple_of(2)),
            causal: true,
            softcap: self.c.softcap,
            sinks: self.c.sinks.then(|| self.vector(&name("attn_sinks.weight"), heads, 0.0)),
        };
        let a = self.graph.attention(op, q).expect("queries fit the layer");
        let a = self.linear(&name("attn_output.weight"), width, heads * head_dim, a);
        self.push(Op::Add, &[x, a])
    }

    /// Attention whose keys and values are one for all heads; each head has matrices to and from them.
    fn latent(&mut self, layer: usize, x: ValueId) -> ValueId {
        let ToyConfig { heads: (heads, _), head_dim, width, .. } = *self.c;
        let latent = 2 * head_dim;
        let (rope, name) = (head_dim / 2, |part: &str| format!("blk.{layer}.{part}"));
        let (cols, keys) = (head_dim + rope, latent + rope);
        let [weight, bias] = ["attn_norm.weight", "attn_norm.bias"].map(|part| self.vector(&name(part), width, 1.0));
        let h = self.push(Op::LayerNorm { weight, bias: Some(bias), span: width, eps: 1e-5 }, &[x]);
        let q = self.linear(&name("attn_q.weight"), heads * cols, width, h);
        let k = self.linear(&name("attn_kv_a_mqa.weight"), keys, width, h);
        let mut part = |x, span, first, width| self.push(Op::Slice { span, first, width }, &[x]);
        let (q, q_turned) = (part(q, cols, 0, head_dim), part(q, cols, head_dim, rope));
        let (k, k_turned) = (part(k, keys, 0, latent), part(k, keys, latent, rope));
        let [q_turned, k_turned] = [q_turned, k_turned].map(|x| self.rope(x, rope));
        let q = self.head_linear(&name("attn_k_b.weight"), latent, head_dim, q);
        let q = self.push(Op::Concat { parts: heads }, &[q, q_turned]);
        let k = self.push(Op::Concat { parts: 1 }, &[k, k_turned]);
        let kv = self.graph.kv_layer(KvShape { heads: 1, head_dim: keys });
        self.graph.kv_write(kv, k, k).expect("keys and values fit the layer");
        let scale = (cols as f32).sqrt().recip();
        let op = Attention { layer: kv, heads, scale, window: None, causal: true, softcap: None, sinks: None };
        let a = self.graph.attention(op, q).expect("queries fit the layer");
        let a = self.push(Op::Slice { span: keys, first: 0, width: latent }, &[a]);
        let a = self.head_linear(&name("attn_v_b.weight"), head_dim, latent, a);
        let weight = self.vector(&name("attn_scale.weight"), head_dim, 1.0);
        let a = self.push(Op::ScaleBy { weight }, &[a]);
        let a = self.linear(&name("attn_output.weight"), width, heads * head_dim, a);
        self.push(Op::Add, &[x, a])
    }

    fn head_linear(&mut self, name: &str, rows: usize, cols: usize, x: ValueId) -> ValueId {
        let weight = self.weight(name, Shape { outer: self.c.heads.0, rows, cols }, self.c.dtype);
        self.push(Op::HeadLinear { weight }, &[x])
    }

    fn recurrent(&mut self, layer: usize, kind: ToyRecurrence, x: ValueId) -> ValueId {
        let width = self.c.width;
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let h = self.norm(&name("attn_norm"), width, x);
        let y = match kind {
            ToyRecurrence::Conv(taps) => self.conv(layer, taps, h),
            ToyRecurrence::Delta { order, by_row } => self.delta(layer, (order, by_row), h),
            ToyRecurrence::Scan(groups) => self.scan(layer, groups, h),
        };
        let cols = self.graph.value(y).width;
        let y = self.linear(&name("recurrent_out"), width, cols, y);
        self.push(Op::Add, &[x, y])
    }

    fn conv(&mut self, layer: usize, taps: usize, h: ValueId) -> ValueId {
        let width = self.c.width;
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let [x, gate] = ["shortconv.in_proj", "shortconv.gate"].map(|part| self.linear(&name(part), width, width, h));
        let state = self.graph.memory(Memory::Recurrent { len: (taps - 1) * width });
        let weight = self.elements(&name("shortconv.conv"), Shape::matrix(width, taps), 0.0);
        let x = self.push(Op::CausalConv { layer: state, weight }, &[x]);
        self.push(Op::Mul, &[x, gate])
    }

    fn delta(&mut self, layer: usize, (order, by_row): (HeadOrder, bool), h: ValueId) -> ValueId {
        let (heads, key_heads, key_dim, value_dim, width) = (4, 2, 12, 24, self.c.width);
        let name = |part: &str| format!("blk.{layer}.ssm_{part}.weight");
        let [q, k] = [("q", 1.0 / key_dim as f32), ("k", (key_dim as f32).powf(-0.5))].map(|(part, by)| {
            let x = self.linear(&name(part), key_heads * key_dim, width, h);
            let x = self.push(Op::Activate { act: Activation::Silu }, &[x]);
            let x = self.push(Op::UnitNorm { span: key_dim, eps: 1e-6 }, &[x]);
            self.push(Op::Scale { by }, &[x])
        });
        let decays = if by_row { heads * key_dim } else { heads };
        let [v, z, decay, rate] =
            [("v", heads * value_dim), ("z", heads * value_dim), ("alpha", decays), ("beta", heads)]
                .map(|(part, rows)| self.linear(&name(part), rows, width, h));
        let decay = self.push(Op::Activate { act: Activation::Softplus }, &[decay]);
        let weight = self.vector(&name("a"), decays, -2.0);
        let decay = self.push(Op::ScaleBy { weight }, &[decay]);
        let rate = self.push(Op::Activate { act: Activation::Sigmoid }, &[rate]);
        let state = self.graph.memory(Memory::Recurrent { len: heads * key_dim * value_dim });
        let op = GatedDelta { layer: state, heads, key_heads, order };
        let y = self.push(Op::GatedDelta(op), &[q, k, v, decay, rate]);
        let y = self.norm(&name("norm"), value_dim, y);
        self.push(Op::Glu { act: Activation::Silu }, &[z, y])
    }

    fn scan(&mut self, layer: usize, groups: usize, h: ValueId) -> ValueId {
        let (heads, head_dim, state_dim, width) = (4, 24, 10, self.c.width);
        let name = |part: &str| format!("blk.{layer}.ssm_{part}.weight");
        let [x, b, c, step] =
            [("x", heads * head_dim), ("b", groups * state_dim), ("c", groups * state_dim), ("dt", heads)]
                .map(|(part, rows)| self.linear(&name(part), rows, width, h));
        let step = self.push(Op::Activate { act: Activation::Softplus }, &[step]);
        let [decay, skip] = [("a", -2.0), ("d", 0.5)].map(|(part, center)| self.vector(&name(part), heads, center));
        let state = self.graph.memory(Memory::Recurrent { len: heads * head_dim * state_dim });
        let op = Scan { layer: state, heads, groups, decay, skip };
        let y = self.push(Op::Scan(op), &[x, b, c, step]);
        let gates = self.linear(&name("gate"), heads, width, h);
        let y = self.push(Op::Mul, &[y, gates]);
        let y = self.push(Op::Activate { act: Activation::SquaredRelu }, &[y]);
        let y = self.push(Op::GaussianTopK { deviations: -0.5 }, &[y]);
        self.push(Op::Activate { act: Activation::Xielu { square: 0.3, exponential: 0.7, linear: 0.5 } }, &[y])
    }

    fn rope(&mut self, x: ValueId, head_dim: usize) -> ValueId {
        let freqs: Arc<[f32]> = (0..head_dim / 2).map(|i| 1e4_f32.powf(-2.0 * i as f32 / head_dim as f32)).collect();
        self.push(Op::Rope(Rope { head_dim, freqs, magnitude: 1.0, style: RopeStyle::Halves }), &[x])
    }

    fn feed_forward(&mut self, layer: usize, x: ValueId) -> ValueId {
        let ToyConfig { width, hidden, experts, .. } = *self.c;
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let h = self.norm(&name("ffn_norm"), width, x);
        let y = match experts {
            Some((experts, k)) => self.experts(layer, h, experts, k),
            None if self.c.heads.1 == 0 => {
                let up = self.linear(&name("ffn_up"), hidden, width, h);
                let y = self.push(Op::Activate { act: Activation::GeluTanh }, &[up]);
                self.linear(&name("ffn_down"), width, hidden, y)
            }
            None => {
                let gate = self.linear(&name("ffn_gate"), hidden, width, h);
                let up = self.linear(&name("ffn_up"), hidden, width, h);
                let y = self.push(Op::Glu { act: Activation::Silu }, &[gate, up]);
                self.linear(&name("ffn_down"), width, hidden, y)
            }
        };
        self.push(Op::Add, &[x, y])
    }

    fn experts(&mut self, layer: usize, h: ValueId, experts: usize, k: usize) -> ValueId {
        let ToyConfig { width, hidden, dtype, .. } = *self.c;
        let name = |part: &str| format!("blk.{layer}.{part}");
        let shape = |rows, cols| Shape { outer: experts, rows, cols };
        let router = self.weight(&name("ffn_gate_inp.weight"), Shape::matrix(experts, width), DType::F32);
        let scores = self.push(Op::Linear { weight: router }, &[h]);
        let mut open = scores;
        if self.c.heads.1 == 0 {
            open = self.push(Op::KeepGroups(Groups { count: 2, used: 1, best: 2 }), &[scores]);
        }
        let ids = self.push(Op::TopK { k }, &[open]);
        let mut gates = self.push(Op::GateWeights { scoring: GateScoring::SoftmaxChosen }, &[scores, ids]);
        if self.c.heads.1 == 0 {
            let scale = self.vector(&name("ffn_down_exps.scale"), experts, 1.0);
            gates = self.push(Op::ExpertScale { scale }, &[gates, ids]);
        }
        let [gate, up] = ["ffn_gate_exps.weight", "ffn_up_exps.weight"].map(|part| {
            let weight = self.weight(&name(part), shape(hidden, width), dtype);
            self.push(Op::ExpertLinear { weight }, &[h, ids])
        });
        let y = self.push(Op::Glu { act: Activation::ClampedSilu { alpha: 1.702, limit: 7.0 } }, &[gate, up]);
        let weight = self.weight(&name("ffn_down_exps.weight"), shape(width, hidden), dtype);
        let y = self.push(Op::ExpertLinear { weight }, &[y, ids]);
        let bias = self.elements(&name("ffn_down_exps.bias"), Shape::matrix(experts, width), 0.0);
        let y = self.push(Op::ExpertBias { bias }, &[y, ids]);
        self.push(Op::ExpertSum, &[y, gates])
    }

    fn norm(&mut self, name: &str, span: usize, x: ValueId) -> ValueId {
        let weight = self.vector(name, span, 1.0);
        self.push(Op::RmsNorm { weight, eps: 1e-5, quantize: false }, &[x])
    }

    fn linear(&mut self, name: &str, rows: usize, cols: usize, x: ValueId) -> ValueId {
        let weight = self.matrix(name, rows, cols);
        self.push(Op::Linear { weight }, &[x])
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> WeightId {
        self.weight(name, Shape::matrix(rows, cols), self.c.dtype)
    }

    fn vector(&mut self, name: &str, len: usize, center: f32) -> WeightId {
        self.elements(name, Shape::vector(len), center)
    }

    fn weight(&mut self, name: &str, shape: Shape, dtype: DType) -> WeightId {
        self.declare(WeightInfo::matrix(name, shape, dtype), 0.0)
    }

    fn elements(&mut self, name: &str, shape: Shape, center: f32) -> WeightId {
        self.declare(WeightInfo::elements(name, shape, DType::F32), center)
    }

    /// Declares a weight and makes its values: around `center`, of a size that keeps a product's input and output alike.
    fn declare(&mut self, info: WeightInfo, center: f32) -> WeightId {
        let size = (3.0 / info.shape.cols as f32).sqrt();
        let count = info.shape.elements().expect("toy sizes are small");
        let bytes = match tensor::encoder(info.dtype) {
            // Elements are some dozens of scales large.
            None => {
                let rows = (info.shape.outer * info.shape.rows, info.shape.cols);
                random_rows(info.dtype, &mut self.random, rows, size / 32.0)
            }
            Some(encode) => {
                let values: Vec<f32> = (0..count).map(|_| center + size * uniform(&mut self.random)).collect();
                let mut bytes = vec![0; info.bytes().expect("columns are whole blocks of the type")];
                encode(&values, &mut bytes);
                bytes
            }
        };
        self.weights.push(bytes);
        self.graph.weight(info)
    }

    fn push(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.graph.push(op, inputs).expect("the toy model is well-formed")
    }
}
