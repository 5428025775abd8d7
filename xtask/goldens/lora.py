# Goldens of LoRA adapters: logits of tiny random models with adapters, by PEFT on the CPU in float32.
#
# Writes crates/model/tests/data/lora/NAME.json (the name of the base model's fixture, adapter_config.json, and of each tensor of
# the adapter its type, shape and the numbers of the formula in _models.py), NAME.npy (the logits of 40 tokens) and, of one of
# them, NAME.gguf: the same adapter as llama.cpp's convert_lora_to_gguf.py writes it, rows of queries and keys in its order.

import json
import math
import pathlib
import tempfile

import gguf
import numpy as np
import torch
from peft import PeftModel
from safetensors.numpy import save_file

from _models import DATA, TOKENS, auto, values

OUT = DATA / "lora"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Name: the base model's fixture, and what its adapter_config.json says.
CASES = {
    "llama": ("llama", {"r": 4, "lora_alpha": 6, "target_modules": ALL + ["lm_head"]}),
    "llama-gguf": ("llama", {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "k_proj", "down_proj"]}),
    "phi3": ("phi3", {"r": 5, "lora_alpha": 4, "use_rslora": True, "target_modules": ["qkv_proj", "gate_up_proj"]}),
    "qwen2": ("qwen2", {"r": 3, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"],
                        "rank_pattern": {"v_proj": 6}, "alpha_pattern": {"layers.1.self_attn.q_proj": 2}}),
    "gptneox": ("gptneox", {"r": 4, "lora_alpha": 4, "target_modules": ["query_key_value", "dense_4h_to_h"]}),
}
STACKS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "ffn_down": "mlp.down_proj"}


def formula(name, shape):
    fan_in = 4 * shape[1] if ".lora_B." in name else shape[1]
    return 0, round(-math.log2(0.577 * math.sqrt(fan_in))) - 7


def base(fixture, folder):
    recipe = json.loads((DATA / f"{fixture}.json").read_text())
    (folder / "config.json").write_text(json.dumps(recipe["config"]))
    tensors = {name: values(made[4] if len(made) > 4 else name, *made[1:4]) for name, made in recipe["tensors"].items()}
    torch_types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    # Rounded as they are stored; the formula's values are exact in all types.
    assert all(made[0] in torch_types for made in recipe["tensors"].values())
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return auto(recipe["config"]).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager"), recipe


def shapes(model, config):
    """The adapter's tensors as PEFT saves them."""
    from peft import LoraConfig, get_peft_model

    with tempfile.TemporaryDirectory() as folder:
        given = {key: value for key, value in config.items()}
        get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **given)).save_pretrained(folder, save_embedding_layers=False)
        from safetensors import safe_open

        with safe_open(pathlib.Path(folder) / "adapter_model.safetensors", "np") as file:
            names = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}
        return names, json.loads((pathlib.Path(folder) / "adapter_config.json").read_text())


def permuted(b, heads):
    """llama.cpp's LlamaModel.permute."""
    return b.reshape(heads, 2, b.shape[0] // heads // 2, b.shape[1]).swapaxes(1, 2).reshape(b.shape)


def write_gguf(path, config, model_config, tensors):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    for layer in range(model_config["num_hidden_layers"]):
        for stem, module in STACKS.items():
            a, b = (tensors[f"base_model.model.model.layers.{layer}.{module}.lora_{x}.weight"] for x in "AB")
            heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(stem)
            if heads:
                b = permuted(b, model_config[heads])
            writer.add_tensor(f"blk.{layer}.{stem}.weight.lora_a", a)
            writer.add_tensor(f"blk.{layer}.{stem}.weight.lora_b", np.ascontiguousarray(b))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    OUT.mkdir(exist_ok=True)
    for name, (fixture, wanted) in CASES.items():
        with tempfile.TemporaryDirectory() as base_folder, tempfile.TemporaryDirectory() as folder:
            base_folder, folder = pathlib.Path(base_folder), pathlib.Path(folder)
            names, config = shapes(base(fixture, base_folder)[0], wanted)
            config |= {"base_model_name_or_path": None, "target_modules": sorted(config["target_modules"])}
            model, recipe = base(fixture, base_folder)
            made = {tensor: ["F32", shape, *formula(tensor, shape)] for tensor, shape in sorted(names.items())}
            tensors = {tensor: values(tensor, *entry[1:]) for tensor, entry in made.items()}
            (folder / "adapter_config.json").write_text(json.dumps(config))
            save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
            ids = torch.tensor([TOKENS])
            with torch.no_grad():
                plain = model.eval()(ids).logits[0].numpy().copy()
                out = PeftModel.from_pretrained(model, folder).eval()(ids).logits[0].float().numpy()
            assert np.isfinite(out).all() and np.abs(out - plain).max() > 0.05 * np.abs(plain).max(), name
        np.save(OUT / f"{name}.npy", out)
        lines = ",\n".join(f"{json.dumps(tensor)}: {json.dumps(entry)}" for tensor, entry in made.items())
        text = f'{{"base": {json.dumps(fixture)},\n"config": {json.dumps(config)},\n"tensors": {{\n{lines}}}}}\n'
        (OUT / f"{name}.json").write_text(text)
        if name.endswith("-gguf"):
            write_gguf(OUT / f"{name}.gguf", config, recipe["config"], tensors)


main()
