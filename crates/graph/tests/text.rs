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
%10 = scores(%8) layer 0, 4 heads, scale 0.17677669 -> [tokens, 4, positions]
%11 = soft_cap(%10) at 30 -> [tokens, 4, positions]
%12 = softmax(%11) window 9 blk.0.attn_sinks.weight [4] F32 -> [tokens, 4, positions]
%13 = weigh(%12) layer 0 -> [tokens, 128]
%14 = linear(%13) blk.0.attn_output.weight [64, 128] F32 -> [tokens, 64]
%15 = add(%1, %14) -> [tokens, 64]
%16 = rms_norm(%15) eps 0.00001 blk.0.ffn_norm.weight [64] F32 -> [tokens, 64]
%17 = linear(%16) blk.0.ffn_gate_inp.weight [4, 64] F32 -> [tokens, 4]
%18 = top_k(%17) k 2 -> [tokens, 2] U32
%19 = gate_weights(%17, %18) SoftmaxChosen -> [tokens, 2]
%20 = expert_linear(%16, %18) blk.0.ffn_gate_exps.weight [4, 96, 64] F32 -> [tokens, 192]
%21 = expert_linear(%16, %18) blk.0.ffn_up_exps.weight [4, 96, 64] F32 -> [tokens, 192]
%22 = glu(%20, %21) ClampedSilu { alpha: 1.702, limit: 7.0 } -> [tokens, 192]
%23 = expert_linear(%22, %18) blk.0.ffn_down_exps.weight [4, 64, 96] F32 -> [tokens, 128]
%24 = expert_bias(%23, %18) blk.0.ffn_down_exps.bias [4, 64] F32 -> [tokens, 128]
%25 = expert_sum(%24, %19) -> [tokens, 64]
%26 = add(%15, %25) -> [tokens, 64]
%27 = rms_norm(%26) eps 0.00001 output_norm.weight [64] F32 -> [tokens, 64]
%28 = linear(%27) output.weight [67, 64] F32 -> [tokens, 67]
%29 = soft_cap(%28) at 30 -> [tokens, 67]
%30 = select_outputs(%29) -> [outputs, 67]
";
    assert_eq!(graph.to_string(), text);
    assert_eq!(graph.nodes()[13].op.to_string(), "softmax window 9");
    let fused = graph::fuse(&graph, graph::rules(), &[]).unwrap().graph;
    let attention = fused.nodes().iter().find(|node| node.op.name() == "attention").unwrap();
    let text = "attention layer 0, 4 heads, scale 0.17677669, window 9, softcap 30";
    assert_eq!(attention.op.to_string(), text);
}
