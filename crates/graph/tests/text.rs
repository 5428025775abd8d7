//! Graphs as text.

use graph::testing::{ToyConfig, toy_model};

#[test]
fn one_line_per_node() {
    let config = ToyConfig { layers: 1, window: Some(9), softcap: Some(30.0), sinks: true, ..ToyConfig::default() };
    let (graph, _) = toy_model(&ToyConfig { experts: Some((4, 2)), ..config });
    let text = "\
%0 = embed() token_embd.weight [67, 64] F32 -> [tokens, 64]
%1 = scale(%0) by 3 -> [tokens, 64]
%2 = rms_norm(%1) eps 0.00001 blk.0.attn_norm.weight [64] F32 -> [tokens, 64]
%3 = linear(%2) blk.0.attn_q.weight [128, 64] F32 -> [tokens, 128]
%4 = linear(%2) blk.0.attn_k.weight [64, 64] F32 -> [tokens, 64]
%5 = linear(%2) blk.0.attn_v.weight [64, 64] F32 -> [tokens, 64]
%6 = add_bias(%3) blk.0.attn_q.bias [128] F32 -> [tokens, 128]
%7 = rms_norm(%4) eps 0.00001 blk.0.attn_k_norm.weight [32] F32 -> [tokens, 64]
%8 = rope(%6) Halves, 32 of 32 -> [tokens, 128]
%9 = rope(%7) Halves, 32 of 32 -> [tokens, 64]
kv_write(%9, %5) layer 0
%10 = attention(%8) layer 0, 4 heads, scale 0.17677669, window 9, softcap 30 blk.0.attn_sinks.weight [4] F32 -> [tokens, 128]
%11 = linear(%10) blk.0.attn_output.weight [64, 128] F32 -> [tokens, 64]
%12 = add(%1, %11) -> [tokens, 64]
%13 = rms_norm(%12) eps 0.00001 blk.0.ffn_norm.weight [64] F32 -> [tokens, 64]
%14 = linear(%13) blk.0.ffn_gate_inp.weight [4, 64] F32 -> [tokens, 4]
%15 = top_k(%14) k 2 -> [tokens, 2] U32
%16 = gate_weights(%14, %15) SoftmaxChosen -> [tokens, 2]
%17 = expert_linear(%13, %15) blk.0.ffn_gate_exps.weight [4, 96, 64] F32 -> [tokens, 192]
%18 = expert_linear(%13, %15) blk.0.ffn_up_exps.weight [4, 96, 64] F32 -> [tokens, 192]
%19 = glu(%17, %18) ClampedSilu { alpha: 1.702, limit: 7.0 } -> [tokens, 192]
%20 = expert_linear(%19, %15) blk.0.ffn_down_exps.weight [4, 64, 96] F32 -> [tokens, 128]
%21 = expert_bias(%20, %15) blk.0.ffn_down_exps.bias [4, 64] F32 -> [tokens, 128]
%22 = expert_sum(%21, %16) -> [tokens, 64]
%23 = add(%12, %22) -> [tokens, 64]
%24 = select_outputs(%23) -> [outputs, 64]
%25 = rms_norm(%24) eps 0.00001 output_norm.weight [64] F32 -> [outputs, 64]
%26 = linear(%25) output.weight [67, 64] F32 -> [outputs, 67]
%27 = soft_cap(%26) at 30 -> [outputs, 67]
";
    assert_eq!(graph.to_string(), text);
    assert_eq!(graph.nodes()[11].op.to_string(), "attention layer 0, 4 heads, scale 0.17677669, window 9, softcap 30");
}
