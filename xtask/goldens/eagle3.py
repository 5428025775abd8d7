# Goldens of EAGLE-3 heads (Li et al. 2025, arXiv 2503.01840): transformers computes the model that they read, speculators' modules the
# head, on the CPU in float32.
#
# Writes crates/model/tests/data/eagle3/NAME.json (the fixture that it drafts for, config.json, and of each tensor its type, shape and the
# numbers of the formula in _models.py) and NAME.npy: of TOKENS but the first, the logits and the row that the output reads before its
# norm, beside the model's rows of the token before; then both again, beside those rows in place of the model's.

import importlib.util
import json
import sys

import numpy as np
import torch
import transformers

if not importlib.util.find_spec("speculators"):
    sys.exit(print("eagle3: speculators is not installed, so nothing is written"))

from speculators.models.eagle3 import Eagle3SpeculatorConfig  # noqa: E402
from speculators.models.eagle3.core import Eagle3DraftModel  # noqa: E402

import architectures  # noqa: E402
from _models import DATA, TOKENS, VOCAB, numbers, saved_shapes, values  # noqa: E402
from mtp import loaded  # noqa: E402

OUT = DATA / "eagle3"
LLAMA = {"model_type": "llama", "vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 16, "rms_norm_eps": 1e-5,
         "attention_bias": False, "mlp_bias": False, "hidden_act": "silu", "rope_theta": 500.0, "tie_word_embeddings": False}
QWEN3 = LLAMA | {"model_type": "qwen3", "num_hidden_layers": 2, "rope_theta": 10000.0}
# The fixture it drafts for, the layers whose inputs it reads, its form, its decoder, and whether it has an embedding and an output matrix of
# its own, and for how many tokens.
CASES = {
    "midlayer": ("llama", [1, 2], {}, LLAMA, False, 40),
    "speculators": ("llama", [0, 1, 2], {"norm_before_residual": True, "norm_before_fc": True, "norm_output": True}, QWEN3, True, VOCAB),
    "shared": ("llama-llama3", [2, 1, 0], {"fc_norm": True}, LLAMA, False, None),
}
FORM = ["norm_before_residual", "norm_before_fc", "fc_norm", "norm_output"]


def offsets(draft):
    """The first half are the same tokens, the others stand further behind."""
    return [0 if i < draft // 2 else VOCAB - draft for i in range(draft)]


def head(layers, form, decoder, draft):
    torch.manual_seed(0)
    config = Eagle3SpeculatorConfig(
        transformer_layer_config=transformers.AutoConfig.for_model(**decoder), draft_vocab_size=draft or decoder["vocab_size"],
        eagle_aux_hidden_state_layer_ids=layers, **form,
    )
    config.transformer_layer_config._attn_implementation = "eager"
    return Eagle3DraftModel(config).eval()


def rows(model, ids, states):
    """Logits and rows of a head that reads these states beside these tokens."""
    count = ids.shape[1]
    mask = torch.full((count, count), torch.finfo(torch.float32).min).triu(1)[None, None]
    positions = torch.arange(count)[None]
    x = torch.cat([model.embed_tokens(ids), states], -1)
    turned = model.rotary_emb(x, positions)
    for layer in model.layers:
        x = layer(x, attention_mask=mask, position_ids=positions, position_embeddings=turned)
        x = x[0] if isinstance(x, tuple) else x
    normed = model.norm(x)
    return model.lm_head(normed), normed if model.config.norm_output else x


def expected(name, model, target, layers):
    ids = torch.tensor([TOKENS])
    with torch.no_grad():
        read = torch.cat(states_of(target, ids, layers), -1)[:, :-1]
        if model.input_norm is not None:
            read = model.input_norm(read)
        if model.fc_norm is not None:
            read = torch.cat([norm(part) for norm, part in zip(model.fc_norm, read.chunk(len(layers), -1))], -1)
        logits, own = rows(model, ids[:, 1:], model.fc(read))
        again = rows(model, ids[:, 1:], own)
    out = torch.cat([logits, own, *again], -1)[0].numpy()
    assert np.isfinite(out).all() and logits.std() > 0.05, (name, logits.std())
    return out


def states_of(target, ids, layers):
    """What goes into layers; the number of layers stands for what comes out of the last one."""
    states, hooks = {}, []
    for i, layer in enumerate(target.model.layers):
        hooks.append(layer.register_forward_pre_hook(lambda _, given, i=i: states.__setitem__(i, given[0])))
        hooks.append(layer.register_forward_hook(
            lambda _, given, out, i=i: states.__setitem__(i + 1, out[0] if isinstance(out, tuple) else out)))
    target.model(ids)
    for hook in hooks:
        hook.remove()
    return [states[i] for i in layers]


def write(name, fixture, layers, form, decoder, own, draft):
    config = architectures.BASE | architectures.CASES[fixture]
    of_target = {n: values(n, s, *numbers(config, n, s)) for n, s in saved_shapes(config).items()}
    target, model = loaded(config, of_target), head(layers, form, decoder, draft)
    kept = {n: p for n, p in model.state_dict().items() if not n.startswith("verifier_") and n not in ("d2t", "t2d")}
    beside = {"embed_tokens.weight": own, "lm_head.weight": draft is not None}
    recipe, tensors = {}, {}
    for n, p in kept.items():
        if not beside.get(n, True):
            stem = n if n == "embed_tokens.weight" or not config.get("tie_word_embeddings") else "embed_tokens.weight"
            tensors[n] = of_target.get(f"model.{stem}", of_target.get(stem))
            continue
        stored = n.replace("layers.0.", "midlayer.") if name == "midlayer" else n
        recipe[stored] = ["F32", list(p.shape), *numbers(decoder, n, list(p.shape))]
        tensors[n] = values(stored, *recipe[stored][1:])
    missing = model.load_state_dict({n: torch.tensor(t) for n, t in tensors.items()}, strict=False)
    assert not missing.unexpected_keys and all(n.startswith("verifier_") or n in ("d2t", "t2d") for n in missing.missing_keys), missing
    if draft and draft < decoder["vocab_size"]:
        recipe["d2t"] = ["I64", [draft], 0, 0, offsets(draft)]
        recipe["t2d"] = ["U8", [decoder["vocab_size"]], 0, 0]
    np.save(OUT / f"{name}.npy", expected(name, model, target, layers))
    if name == "speculators":
        own_config = {"speculators_model_type": "eagle3", "transformer_layer_config": decoder, "draft_vocab_size": draft,
                      "eagle_aux_hidden_state_layer_ids": layers, **form}
    else:
        own_config = decoder | {"architectures": ["LlamaForCausalLMEagle3"], **form} | ({"draft_vocab_size": draft} if draft else {})
    if name == "midlayer":
        own_config["eagle_config"] = {"eagle_aux_hidden_state_layer_ids": [i - 1 for i in layers]}
    lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in sorted(recipe.items()))
    text = f'{{"target": {json.dumps(fixture)},\n"config": {json.dumps(own_config)},\n"tensors": {{\n{lines}\n}}}}\n'
    (OUT / f"{name}.json").write_text(text)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, case in CASES.items():
        write(name, *case)
