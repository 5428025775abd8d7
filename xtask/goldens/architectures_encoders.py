# Goldens of crates/model: tiny random encoders as safetensors and as GGUF files, beside what transformers (or torch, where it lacks
# the family) gives for every token: its last hidden state, or what the model's head makes of it.
#
# Writes crates/model/tests/data/NAME.json, gguf-NAME.gguf and NAME.npy (see architectures.py and architectures_gguf.py). Tokens from
# the 25th on are of the second type, where there are two.

import json
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file

from _models import DATA, LENGTH, TOKENS, VOCAB, numbers, parsed, values

BASE = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": 0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}
JUDGE = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
ROBERTA = {"type_vocab_size": 1, "pad_token_id": 2}
MODERN = {"num_hidden_layers": 4, "local_attention": 12, "pad_token_id": 2, "classifier_pooling": "cls"}
GEMMA = {"model_type": "gemma3_text", "use_bidirectional_attention": True, "num_hidden_layers": 4, "sliding_window": 12,
         "head_dim": 16, "num_key_value_heads": 2, "query_pre_attn_scalar": 16, "hidden_activation": "gelu_pytorch_tanh",
         "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 900.0},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}},
         "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]}

# Name: GGUF's architecture if it has that form, what is saved, config.
CASES = {
    "bert": ("bert", "BertModel", {"model_type": "bert", "hidden_act": "gelu"}),
    "bert-head": ("bert", "BertForSequenceClassification", JUDGE | {"model_type": "bert", "layer_norm_eps": 1e-6}),
    "xlm-roberta": (None, "XLMRobertaModel", ROBERTA | {"model_type": "xlm-roberta"}),
    "xlm-roberta-head": ("bert", "XLMRobertaForSequenceClassification", ROBERTA | JUDGE | {"model_type": "xlm-roberta"}),
    "nomic-bert": ("nomic-bert", "NomicBertModel", {"model_type": "nomic_bert", "rope_theta": 700.0}),
    "jina-bert-v3": ("jina-bert-v3", "JinaEmbeddingsV3Model", ROBERTA | {"model_type": "jina_embeddings_v3"}),
    "modern-bert": ("modern-bert", "ModernBertModel", MODERN | {"model_type": "modernbert", "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 900.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}}}),
    "modern-bert-head": (None, "ModernBertForSequenceClassification", MODERN | JUDGE | {
        "model_type": "modernbert", "global_attn_every_n_layers": 2, "global_rope_theta": 800.0, "local_rope_theta": 50.0}),
    "gemma-embedding": ("gemma-embedding", "Gemma3TextModel", GEMMA),
}


def main():
    for name, (arch, saved, case) in CASES.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        config = BASE | case | {"architectures": [saved]}
        shapes = saved_shapes(config)
        recipe = {n: ["F32", s, *numbers(config, n, s)] for n, s in sorted(shapes.items())}
        made = {n: values(n, *r[1:]) for n, r in recipe.items()}
        rows = answers(config, made)
        lines = [f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in recipe.items()]
        (DATA / f"{name}.json").write_text(f'{{"config": {json.dumps(config)},\n"tensors": {{\n' + ",\n".join(lines) + "\n}}\n")
        np.save(DATA / f"{name}.npy", rows)
        if arch:
            write_gguf(name, arch, config, made)
            np.save(DATA / f"gguf-{name}.npy", rows)
    if len(sys.argv) == 1 or "nomic-bert-moe" in sys.argv[1:]:
        mixture()


def mixture():
    """nomic-bert's mixture, which transformers does not have: every second layer has experts (Nussbaum and Duderstadt 2025)."""
    width, inner, heads, layers, experts, used, theta, eps = 32, 40, 4, 2, 4, 2, 800.0, 1e-5
    shapes = {"token_embd.weight": [VOCAB, width], "token_types.weight": [1, width],
              "token_embd_norm.weight": [width], "token_embd_norm.bias": [width]}
    for i in range(layers):
        own = {"attn_qkv.weight": [3 * width, width], "attn_qkv.bias": [3 * width], "attn_output.weight": [width, width],
               "attn_output.bias": [width], "attn_output_norm.weight": [width], "attn_output_norm.bias": [width],
               "layer_output_norm.weight": [width], "layer_output_norm.bias": [width]}
        if i % 2:
            own |= {"ffn_gate_inp.weight": [experts, width], "ffn_up_exps.weight": [experts, inner, width],
                    "ffn_down_exps.weight": [experts, width, inner]}
        else:
            own |= {"ffn_up.weight": [inner, width], "ffn_up.bias": [inner], "ffn_down.weight": [width, inner],
                    "ffn_down.bias": [width]}
        shapes |= {f"blk.{i}.{n}": s for n, s in own.items()}
    made = {n: values(n, s, *numbers({"model_type": "nomic_bert"}, n, s)) for n, s in shapes.items()}
    t = {n: torch.tensor(d) for n, d in made.items()}
    norm = lambda x, n: torch.nn.functional.layer_norm(x, (width,), t[f"{n}.weight"], t[f"{n}.bias"], eps)
    linear = lambda x, n: torch.nn.functional.linear(x, t[f"{n}.weight"], t.get(f"{n}.bias"))
    gelu = torch.nn.functional.gelu
    angles = torch.arange(LENGTH)[:, None] * theta ** -(torch.arange(0, width // heads, 2) / (width // heads))
    sin, cos = angles.sin(), angles.cos()

    def turned(x):
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    x = norm(t["token_embd.weight"][TOKENS] + t["token_types.weight"][0], "token_embd_norm")
    for i in range(layers):
        blk = f"blk.{i}"
        q, k, v = (y.view(LENGTH, heads, -1).transpose(0, 1) for y in linear(x, f"{blk}.attn_qkv").chunk(3, -1))
        scores = turned(q) @ turned(k).transpose(1, 2) / (width // heads) ** 0.5
        found = (scores.softmax(-1) @ v).transpose(0, 1).reshape(LENGTH, width)
        x = norm(x + linear(found, f"{blk}.attn_output"), f"{blk}.attn_output_norm")
        if i % 2:
            parts, ids = linear(x, f"{blk}.ffn_gate_inp").softmax(-1).topk(used)
            up, down = t[f"{blk}.ffn_up_exps.weight"][ids], t[f"{blk}.ffn_down_exps.weight"][ids]
            h = gelu(torch.einsum("nkfw,nw->nkf", up, x))
            y = torch.einsum("nk,nkwf,nkf->nw", parts, down, h)
        else:
            y = linear(gelu(linear(x, f"{blk}.ffn_up")), f"{blk}.ffn_down")
        x = norm(x + y, f"{blk}.layer_output_norm")
    w = gguf.GGUFWriter(DATA / "gguf-nomic-bert-moe.gguf", "nomic-bert-moe")
    for add, number in ((w.add_context_length, 64), (w.add_embedding_length, width), (w.add_block_count, layers),
                        (w.add_feed_forward_length, inner), (w.add_head_count, heads), (w.add_layer_norm_eps, eps),
                        (w.add_causal_attention, False), (w.add_rope_freq_base, theta), (w.add_expert_count, experts),
                        (w.add_expert_used_count, used), (w.add_moe_every_n_layers, 2)):
        add(number)
    for name, data in made.items():
        w.add_tensor(name, data.astype(np.float16 if data.ndim > 1 and "gate_inp" not in name else np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    np.save(DATA / "gguf-nomic-bert-moe.npy", x.numpy())


def kind(config):
    return getattr(transformers, config["architectures"][0])


def saved_shapes(config):
    with tempfile.TemporaryDirectory() as folder:
        kind(config)(parsed(config)).save_pretrained(folder)
        with safe_open(pathlib.Path(folder) / "model.safetensors", "np") as file:
            return {n: list(file.get_slice(n).get_shape()) for n in file.keys()}


def answers(config, made):
    """Of each token: its hidden state, or what the head makes of that."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        save_file(made, folder / "model.safetensors", {"format": "pt"})
        model, info = kind(config).from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    strange = {k: v for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    assert not strange, strange
    model.eval()
    given = {"input_ids": torch.tensor([TOKENS])}
    if config["model_type"] in ("bert", "nomic_bert"):
        given["token_type_ids"] = torch.tensor([[int(i >= 25) for i in range(LENGTH)]])
    with torch.no_grad():
        if not hasattr(model, "classifier"):
            out = model(**given).last_hidden_state[0]
        else:
            hidden = getattr(model, model.base_model_prefix)(**given).last_hidden_state
            out = torch.stack([head(model, hidden[:, i:]) for i in range(LENGTH)])
            # The model itself looks at the first token alone.
            assert torch.allclose(out[0], model(**given).logits[0], atol=1e-6)
    out = out.float().numpy()
    assert np.isfinite(out).all() and out.std() > 0.02, out.std()
    return out


def head(model, hidden):
    """What the head makes of the first of these."""
    base = getattr(model, model.base_model_prefix)
    if getattr(base, "pooler", None) is not None:
        return model.classifier(base.pooler(hidden))[0]
    if hasattr(model, "head"):
        return model.classifier(model.head(hidden[:, 0]))[0]
    return model.classifier(hidden)[0]


def write_gguf(name, arch, config, made):
    c = parsed(config)
    offset = c.pad_token_id + 1 if c.model_type == "xlm-roberta" else 0
    w = gguf.GGUFWriter(DATA / f"gguf-{name}.gguf", arch)
    w.add_context_length(c.max_position_embeddings - offset)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.RANK if name.endswith("head") else gguf.PoolingType.MEAN)
    if arch == "gemma-embedding":
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
        w.add_head_count_kv(c.num_key_value_heads)
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
    else:
        w.add_layer_norm_eps(getattr(c, "layer_norm_eps", None) or c.norm_eps)
    if arch in ("gemma-embedding", "modern-bert"):
        w.add_sliding_window(config.get("sliding_window", config.get("local_attention")))
        w.add_rope_freq_base(c.rope_parameters["full_attention"]["rope_theta"])
        w.add_rope_freq_base_swa(c.rope_parameters["sliding_attention"]["rope_theta"])
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.layer_types])
    elif "rope_theta" in (getattr(c, "rope_parameters", None) or {}):
        w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    known = gguf.get_tensor_name_map(next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch), c.num_hidden_layers)
    for tensor, data in converted(c, made, offset).items():
        name = renamed(known, tensor)
        if name is None:
            continue
        matrix = data.ndim > 1 and not name.startswith(("position_embd", "token_types"))
        w.add_tensor(name, data.astype(np.float16 if matrix else np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def converted(c, made, offset):
    """The tensors in the layouts of llama.cpp's converter."""
    out = {}
    for name, data in made.items():
        if "position_embeddings" in name:
            data = data[offset:]
        if c.model_type == "gemma3_text" and name.endswith("norm.weight"):
            data = data + np.float32(1)
        out[name] = data
    return out


# What the package gguf knows under other names, as the models' own code has them.
OWN = {
    "classifier": "cls.output", "classifier.out_proj": "cls.output", "classifier.dense": "cls", "head.dense": "cls",
    "head.norm": "cls.norm", "bert.pooler.dense": "cls",
}
PARTS = {"post_attention_layernorm": "attn_output_norm", "post_mlp_layernorm": "layer_output_norm"}


def renamed(known, tensor):
    """GGUF's name; None for what it leaves out."""
    stem, ending = tensor.rsplit(".", 1)
    if stem in OWN:
        return f"{OWN[stem]}.{ending}"
    if stem.endswith("pooler.dense"):
        return None
    part = stem.split(".")[-1]
    if part in PARTS and "LayerNorm" not in stem and known.get_name("model." + stem) is None or part == "post_mlp_layernorm":
        return f"blk.{stem.split('.')[-2]}.{PARTS[part]}.{ending}"
    for start in ("bert.", "roberta.", "model.", ""):
        plain = stem.removeprefix(start)
        found = known.get_name(plain) or known.get_name("model." + plain)
        if found:
            return f"{found}.{ending}"
    raise AssertionError(tensor)


if __name__ == "__main__":
    main()
