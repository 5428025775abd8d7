# Goldens of layers that predict ahead (multi-token prediction; DeepSeek-V3, 2024, section 2.2): transformers computes the model and the
# layer's block; norms, projection and head around it follow the paper, on the CPU in float32.
#
# Writes crates/model/tests/data/mtp/NAME.json (config.json, and of each tensor its type, shape and the numbers of the formula in
# _models.py) or NAME.gguf, and NAME.npy: of 39 tokens, each read with the hidden row of the one before it, the logits and then the
# row that the head reads.

import copy
import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file

import architectures
import architectures_gguf
from _models import DATA, TOKENS, auto, numbers, parsed, saved_shapes, values, watch_routers

OUT = DATA / "mtp"
# Name: the fixture whose config it has, and whether the layer has an embedding and an output matrix of its own.
CASES = {"glm4moe": ("glm4moe", True), "deepseek3": ("deepseek3", False), "qwen35": ("qwen35", False),
         "qwen3next": ("qwen3next", False)}
# Qwen's names of what the layer has beside its block.
QWEN = {"enorm": "pre_fc_norm_embedding", "hnorm": "pre_fc_norm_hidden", "eh_proj": "fc", "shared_head.norm": "norm"}
GGUF = "gguf-glm4moe"


def around(config, layer, own):
    """Names and shapes of what the layer has beside its block."""
    width, vocab = config["hidden_size"], config["vocab_size"]
    out = {"enorm": [width], "hnorm": [width], "eh_proj": [width, 2 * width], "shared_head.norm": [width]}
    if own:
        out |= {"embed_tokens": [vocab, width], "shared_head.head": [vocab, width]}
    return {f"model.layers.{layer}.{name}.weight": shape for name, shape in out.items()}


def longer(config):
    """The config of a model with one more layer, like that which predicts ahead."""
    out = config | {"num_hidden_layers": config["num_hidden_layers"] + 1}
    if config["model_type"].startswith("qwen"):
        out["layer_types"] = list(parsed(config).layer_types) + ["full_attention"]
    return out


def named(config, name):
    """A tensor's name in files."""
    stem = f"model.layers.{config['num_hidden_layers']}."
    if not config["model_type"].startswith("qwen") or not name.startswith(stem):
        return name
    inner = name.removeprefix(stem)
    beside = QWEN.get(inner.removesuffix(".weight"))
    return f"mtp.{beside}.weight" if beside else f"mtp.layers.0.{inner}"


def loaded(config, tensors):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        model, info = auto(config).from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    strange = {k: v for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    assert not strange, strange
    return model.eval()


def expected(config, tensors):
    """What the layer gives for TOKENS but the first."""
    layer = config["num_hidden_layers"]
    own = {name.removeprefix(f"model.layers.{layer}."): torch.tensor(data) for name, data in tensors.items()}
    extra = [name for name in tensors if name.removeprefix(f"model.layers.{layer}.") in BESIDE]
    plain = {name: data for name, data in tensors.items() if name not in extra}
    # The block is one more layer of a longer model, which is never run whole.
    beyond = loaded(longer(config), plain)
    whole = loaded(config, {n: d for n, d in plain.items() if f".layers.{layer}." not in n})
    gaps = watch_routers(beyond)
    ids, norm = torch.tensor([TOKENS]), copy.deepcopy(whole.model.norm)

    def normalized(name, x):
        norm.weight.data = own[name]
        return norm(x)

    with torch.no_grad():
        hidden = whole.model(ids).last_hidden_state[:, :-1]
        table = own.get("embed_tokens.weight", whole.model.embed_tokens.weight)
        embedded = torch.nn.functional.embedding(ids[:, 1:], table)
        both = torch.cat([normalized("enorm.weight", embedded), normalized("hnorm.weight", hidden)], -1)
        x = both @ own["eh_proj.weight"].T
        count = x.shape[1]
        positions = torch.arange(count)[None]
        mask = torch.full((count, count), torch.finfo(torch.float32).min).triu(1)[None, None]
        turned = beyond.model.rotary_emb(x, positions)
        x = beyond.model.layers[layer](x, attention_mask=mask, position_ids=positions, position_embeddings=turned)
        x = x[0] if isinstance(x, tuple) else x
        x = normalized("shared_head.norm.weight", x)
        logits = x @ own.get("shared_head.head.weight", whole.lm_head.weight).T
    out = torch.cat([logits, x], -1)[0].numpy()
    assert np.isfinite(out).all() and logits.std() > 0.05 and min(gaps, default=1) > 1e-5, (logits.std(), gaps)
    return out


BESIDE = {name.removeprefix("model.layers.0.") for name in around({"hidden_size": 1, "vocab_size": 1}, 0, True)}


def shapes_of(config, own):
    return saved_shapes(longer(config)) | around(config, config["num_hidden_layers"], own)


def safetensors(name, fixture, own):
    config = architectures.BASE | architectures.CASES[fixture]
    shapes = {named(config, n): (n, s) for n, s in shapes_of(config, own).items()}
    recipe = {n: ["F32", s, *numbers(config, n, s)] for n, (_, s) in sorted(shapes.items())}
    np.save(OUT / f"{name}.npy", expected(config, {shapes[n][0]: values(n, *r[1:]) for n, r in recipe.items()}))
    lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in recipe.items())
    config = json.dumps(config | {"num_nextn_predict_layers": 1})
    (OUT / f"{name}.json").write_text(f'{{"config": {config},\n"tensors": {{\n{lines}\n}}}}\n')


def gguf_file():
    """As llama.cpp's converter names the tensors; embedding and output matrix are the model's over again."""
    arch, kind, case = architectures_gguf.CASES["glm4moe"]
    config, f32 = architectures_gguf.BASE | case, gguf.GGMLQuantizationType.F32
    kind, layer = gguf.GGMLQuantizationType[kind], config["num_hidden_layers"]
    made = architectures_gguf.weights(longer(config), kind)
    for tensor, shape in around(config, layer, False).items():
        data = values(tensor, shape, *numbers(config, tensor, shape))
        made[tensor] = architectures_gguf.rounded(data, kind) if data.ndim > 1 else data
    np.save(OUT / f"{GGUF}.npy", expected(config, made))
    beside = {n: made.pop(n) for n in around(config, layer, False)}
    tensors = architectures_gguf.converted("glm4moe", arch, longer(config), made)
    del tensors[f"blk.{layer + 1}.nextn.enorm.weight"]
    for tensor, data in beside.items():
        stem = tensor.split(f".{layer}.")[1].removesuffix(".weight").replace(".", "_")
        stored = architectures_gguf.quantize(data, kind) if data.ndim > 1 else data
        tensors[f"blk.{layer}.nextn.{stem}.weight"] = (stored, kind if data.ndim > 1 else f32)
    for copied, of in (("embed_tokens", "token_embd"), ("shared_head_head", "output")):
        tensors[f"blk.{layer}.nextn.{copied}.weight"] = tensors[f"{of}.weight"]
    writer = gguf.GGUFWriter(OUT / f"{GGUF}.gguf", arch)
    architectures_gguf.keys(writer, "glm4moe", arch, config)
    for tensor, (data, kind_of) in sorted(tensors.items()):
        writer.add_tensor(tensor, data, raw_dtype=kind_of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, (fixture, own) in CASES.items():
        safetensors(name, fixture, own)
    gguf_file()
