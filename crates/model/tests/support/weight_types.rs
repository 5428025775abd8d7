//! Tiny models in GGUF, in every weight type, beside the same numbers in F32, for any backend.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use graph::testing::{random_rows, uniform};
use graph::{Backend, Batch, Graph, KvType, Limits, WeightInfo};
use model::{Checkpoint, Model};
use tensor::DType;

use crate::support::{F32, Gguf};

const VOCAB: usize = 32;
/// A block of every type.
const WIDTH: usize = 256;
const HEADS: usize = 4;
/// Tokens: enough for every loop that kernels have for prompts.
const LENGTH: usize = 72;
/// What logits may be off by, of the largest one, where nothing but the order of sums differs.
const EXACT: f32 = 2e-4;
/// What rounding rows to 8 bits may cost in models as small as these.
const ROUNDED: f32 = 6e-2;

/// What a model is like.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    pub dtype: DType,
    /// In how many experts the feed-forward part is; none is a plain one.
    pub experts: usize,
    /// Whether matrices have factors beside them.
    pub factors: bool,
}

/// The model of `recipe` has the logits that the same numbers in F32 have: prefilled and decoded, as it is built and as it is fused.
/// `rounds` says with which weights the backend multiplies rounded rows, besides the quantized ones of which the fused graph says so.
pub fn check<B: Backend>(recipe: Recipe, backend: &B, rounds: impl Fn(&WeightInfo) -> bool) {
    let [stored, plain] = [false, true].map(|plain| load(&recipe, plain));
    let weights = stored.graph().weights();
    let table = weights.iter().find(|weight| weight.name == "token_embd.weight").expect("an embedding");
    assert_eq!(table.dtype, recipe.dtype, "the embedding is not converted");
    let [rounds, quantized] = [weights.iter().any(rounds), weights.iter().any(WeightInfo::quantized)];
    let fuse = |model: &Model| graph::fuse(model.graph(), backend.device().rules, &[]).expect("no rule is off").graph;
    let fused = [fuse(&stored), fuse(&plain)];
    for (graphs, rounds) in [([stored.graph(), plain.graph()], rounds), ([&fused[0], &fused[1]], rounds || quantized)] {
        let tolerance = if rounds { ROUNDED } else { EXACT };
        for (count, step) in [(LENGTH, LENGTH), (5, 1)] {
            let [got, wanted] = [(&stored, graphs[0]), (&plain, graphs[1])]
                .map(|(model, graph)| logits(backend, (model, graph), count, step));
            let largest = wanted.iter().map(|x| x.abs()).max_by(f32::total_cmp).expect("logits");
            let worst = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).expect("logits");
            assert!(
                worst <= tolerance * largest && largest.is_finite(),
                "{recipe:?}, {step} tokens at a time: off by {worst}, largest {largest}"
            );
        }
    }
}

fn load(recipe: &Recipe, plain: bool) -> Model {
    let checkpoint: Arc<Checkpoint> = Checkpoint::from_gguf_bytes(file(recipe, plain)).expect("a sound file");
    checkpoint.bind(Some(LENGTH)).unwrap_or_else(|e| panic!("{recipe:?}: {e}"))
}

/// The logits of the first `count` tokens of a text, `step` tokens at a time.
fn logits<B: Backend>(backend: &B, (model, graph): (&Model, &Graph), count: usize, step: usize) -> Vec<f32> {
    let upload = |id| {
        let bytes = model.read(id).expect("a weight");
        Arc::new(backend.upload(graph.weight(id), &bytes).expect("memory"))
    };
    let (kv_type, state_slots) = (KvType::F32, 0);
    let limits = Limits { max_tokens: step, max_outputs: step, kv_blocks: 1, block_len: LENGTH, kv_type, state_slots };
    let weights = graph.weight_ids().map(upload).collect();
    let mut program = backend.compile(graph, weights, limits).expect("memory");
    let tokens: Vec<u32> = (0..count).map(|i| ((7 * i * i + 13 * i + 5) % VOCAB) as u32).collect();
    let (mut batch, mut out) = (Batch::default(), vec![]);
    for (i, tokens) in tokens.chunks(step).enumerate() {
        batch.clear();
        let rows = batch.push(tokens, i * step, [0]);
        batch.outputs.extend(rows.map(|row| row as u32));
        backend.run(&mut program, &batch).expect("a batch within limits");
        out.extend(backend.download(&program));
    }
    out
}

/// The file: with blocks, or with the same numbers as F32 and without factors.
fn file(recipe: &Recipe, plain: bool) -> Vec<u8> {
    let (experts, kv) = (recipe.experts.max(1), WIDTH / HEADS * 2);
    let mut file = Gguf::new()
        .text("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.context_length", LENGTH as u32)
        .u32("llama.embedding_length", WIDTH as u32)
        .u32("llama.feed_forward_length", WIDTH as u32)
        .u32("llama.attention.head_count", HEADS as u32)
        .u32("llama.attention.head_count_kv", 2)
        .key("llama.attention.layer_norm_rms_epsilon", F32, 1e-5f32.to_le_bytes());
    for norm in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        file = with(file, &format!("{norm}.weight"), &[WIDTH], DType::F32, floats(&[1.0; WIDTH]));
    }
    let matrices = [("attn_q", WIDTH), ("attn_k", kv), ("attn_v", kv), ("attn_output", WIDTH)];
    let mut matrices: Vec<_> = matrices.map(|(name, rows)| (format!("blk.0.{name}"), 1, rows)).to_vec();
    let ending = if recipe.experts > 0 { "_exps" } else { "" };
    matrices.extend(["gate", "up", "down"].map(|name| (format!("blk.0.ffn_{name}{ending}"), experts, WIDTH)));
    matrices.extend(["token_embd", "output"].map(|name| (name.into(), 1, VOCAB)));
    if recipe.experts > 0 {
        // All are used, as rounding could change which ones are chosen.
        file = file.u32("llama.expert_count", experts as u32).u32("llama.expert_used_count", experts as u32);
        let router: Vec<f32> = (0..experts * WIDTH).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1e-3).collect();
        file = with(file, "blk.0.ffn_gate_inp.weight", &[WIDTH, experts], DType::F32, floats(&router));
    }
    for (seed, (name, count, rows)) in matrices.into_iter().enumerate() {
        file = with_matrix(file, (&name, seed as u64), [WIDTH, rows, count], (recipe, plain));
    }
    file.bytes()
}

fn with_matrix(mut file: Gguf, (name, seed): (&str, u64), dims: [usize; 3], (recipe, plain): (&Recipe, bool)) -> Gguf {
    let (elements, dtype) = (dims.iter().product(), recipe.dtype);
    let mut blocks = vec![];
    let mut values = vec![0.0; elements];
    // Scales for elements of about a tenth, by those for scales of 1.
    let mut size = 1.0;
    for _ in 0..2 {
        blocks = random_rows(dtype, &mut { seed }, (dims[1] * dims[2], dims[0]), size);
        temper(dtype, &mut blocks);
        tensor::decode(dtype, &blocks, &mut values).expect("whole blocks");
        size *= 0.25 / values.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    }
    let factors: Vec<f32> = (0..dims[2]).map(|i| 1.0 + 0.5 * uniform(&mut { seed + 100 * i as u64 })).collect();
    let has_factors = recipe.factors && name != "token_embd";
    if !plain {
        file = with(file, &format!("{name}.weight"), &dims, dtype, blocks);
        if has_factors {
            file = with(file, &format!("{name}.scale"), &[dims[2]], DType::F32, floats(&factors));
            // Of activations in 4 bits; nothing is to come of it.
            file = with(file, &format!("{name}.input_scale"), &[dims[2]], DType::F32, floats(&vec![7.0; dims[2]]));
        }
        return file;
    }
    if has_factors {
        let each = values.chunks_mut(elements / dims[2]).zip(factors);
        each.for_each(|(values, factor)| values.iter_mut().for_each(|x| *x *= factor));
    }
    with(file, &format!("{name}.weight"), &dims, DType::F32, floats(&values))
}

/// Scales in 8 bits, or that are powers of two, of the size of the others.
fn temper(dtype: DType, blocks: &mut [u8]) {
    let len = dtype.layout().block_bytes;
    for block in blocks.chunks_exact_mut(len) {
        match dtype {
            DType::MXFP4 => block[0] = 120 + block[0] % 3,
            DType::NVFP4 => block[..4].iter_mut().for_each(|scale| *scale = 1 + *scale % 15),
            _ => {}
        }
    }
}

/// A tensor; the innermost dimension first, and no dimension of 1 at the end.
fn with(file: Gguf, name: &str, dims: &[usize], dtype: DType, data: Vec<u8>) -> Gguf {
    let dims: Vec<u64> = dims.iter().map(|&d| d as u64).collect();
    let dims = dims.strip_suffix(&[1]).filter(|rest| !rest.is_empty()).unwrap_or(&dims);
    let mut file = file.tensor(name, dims, dtype.layout().ggml_id, data.len());
    file.tensors.last_mut().expect("the tensor").data = data;
    file
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}
