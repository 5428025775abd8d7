# Goldens of crates/model: logits of tiny random models whose weights are quantized as others publish them.
#
# Writes crates/model/tests/data/quantized-NAME.json and .npy as architectures.py does. The tensors are those of the format (qweight,
# scales …), made by the formula of _models.py: what is random there are the packed bytes, so no number is quantized here. What they mean
# comes from the packages compressed-tensors and bitsandbytes, from the file awq/utils/packing_utils.py of AutoAWQ (WHINCHAT_AUTOAWQ is the
# folder of its sources; without it these are left out), from transformers for FP8, and for GPTQ from the formula in its first listing:
# scale · (number − zero), zeros being stored less one. "digests" are FNV-1a of each dequantized matrix, in F32.

import importlib.util
import json
import math
import os
import pathlib
import sys

import numpy as np
import torch
from _models import DATA, LENGTH, VOCAB, fnv1a, logits, numbers, saved_shapes, signed_bytes, values

BASE = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
    "model_type": "llama", "torch_dtype": "bfloat16",
}
QWEN3 = BASE | {"model_type": "qwen3"}
MOE = BASE | {"model_type": "qwen3_moe", "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
              "mlp_only_layers": [], "decoder_sparse_step": 1, "norm_topk_prob": True}
TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn,
         "I8": torch.int8, "U8": torch.uint8, "I32": torch.int32, "I64": torch.int64, "F8_E8M0": torch.float8_e8m0fnu}
SIGNED, POSITIVE = 0xBF, 0x3F


def literal(kind, shape, given):
    return [kind, shape, 0, 0, given]


def floats(kind, shape, center, exponent):
    return [kind, shape, center, exponent]


def raw(kind, shape, mask=255):
    """Bytes of the formula, each with some of its bits."""
    return [kind, shape, mask, 0]


def made(name, recipe):
    """The tensor of a recipe, as torch has it."""
    kind, shape, center, exponent, *given = recipe
    dtype = TORCH[kind]
    if given:
        flat = np.resize(np.array(given[0]), math.prod(shape))
        return torch.tensor(flat).to(dtype).reshape(shape)
    if kind in ("F32", "F16", "BF16"):
        return torch.tensor(values(name, shape, center, exponent)).to(dtype)
    count = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
    if kind == "F8_E8M0" or exponent:
        flat = np.floor(center + signed_bytes(name, count).astype(np.float64) * 2.0**exponent).astype(np.int64)
        return torch.tensor(flat.astype(np.uint8)).view(dtype).reshape(shape)
    flat = signed_bytes(name, count).view(np.uint8) & np.uint8(center)
    return torch.tensor(flat).view(dtype).reshape(shape)


def size(fan_in, largest):
    """The exponent of numbers around 1 / (sqrt(fan_in) · largest), times two of the largest there are."""
    return 1.7 / math.sqrt(fan_in) / largest


def scale(kind, shape, fan_in, largest, spread=True):
    """Scales that make a matrix about as large as a random one is."""
    middle = 2.0 ** round(math.log2(size(fan_in, largest)))
    exponent = round(math.log2(middle)) - 9
    return floats(kind, shape, middle, exponent if spread else -60)


# ---- formats: (rows, cols) of a module to its tensors, and its tensors to the matrix ----

def gptq(bits=4, group=32, zeros=None, order=False, v2=False, listed=True):
    def tensors(rows, cols):
        count = cols // group
        out = {"qweight": raw("I32", [cols * bits // 32, rows]), "scales": scale("F16", [count, rows], cols, 2**(bits - (zeros is not None)))}
        shape = [count, rows * bits // 32]
        out["qzeros"] = raw("I32", shape) if zeros is None else literal("I32", shape, [zeros])
        if listed:
            at = [(i * 7 + 3) % cols // group if order else i // group for i in range(cols)]
            out["g_idx"] = literal("I32", [cols], at)
        return out

    def matrix(t, rows, cols):
        def numbers_of(words, along):
            # Bits of a line of words, lowest first, cut into numbers.
            words = np.moveaxis(words.numpy().view(np.uint32), along, -1)
            line = (words[..., None] >> np.arange(32, dtype=np.uint32) & 1).reshape(*words.shape[:-1], -1, bits)
            return np.moveaxis((line << np.arange(bits, dtype=np.uint32)).sum(-1), -1, along)
        q, z = numbers_of(t["qweight"], 0).astype(np.int64), numbers_of(t["qzeros"], 1).astype(np.int64)
        z = z if v2 else (z + 1) & (2**bits - 1)
        at = t["g_idx"].numpy() if "g_idx" in t else np.arange(cols) // group
        assert q.shape == (cols, rows) and z.shape == (cols // group, rows)
        return torch.tensor(q - z[at]) .float() * t["scales"].float()[at]
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order, "sym": zeros is not None,
              "checkpoint_format": "gptq_v2" if v2 else "gptq"}
    wide = torch.float16 if order or bits == 8 and zeros is None else None
    return config, tensors, lambda t, r, c: rounded(matrix(t, r, c).T, wide)


def rounded(matrix, dtype):
    return matrix if dtype is None else matrix.to(dtype).float()


def awq(group=32, same=None):
    source = os.environ.get("WHINCHAT_AUTOAWQ")
    if not source:
        return None
    spec = importlib.util.spec_from_file_location("packing", pathlib.Path(source) / "awq/utils/packing_utils.py")
    packing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packing)

    def tensors(rows, cols):
        shape = [cols // group, rows // 8]
        return {"qweight": raw("I32", [cols, rows // 8]), "scales": scale("F16", [cols // group, rows], cols, 16 if same is None else 8),
                "qzeros": raw("I32", shape) if same is None else literal("I32", shape, [same])}

    def matrix(t, rows, cols):
        return packing.dequantize_gemm(t["qweight"], t["qzeros"], t["scales"].float(), 4, group).float().T
    return {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}, tensors, matrix


def compressed(bits=4, group=None, symmetric=True, kind="BF16", order=False, plain=False, tokens=False):
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32

    def tensors(rows, cols):
        count = 1 if group is None else cols // group
        out = {"weight_scale": scale(kind, [rows, count], cols, 2**(bits - symmetric))}
        if plain:
            out["weight"] = raw("I8", [rows, cols])
        else:
            out["weight_packed"] = raw("I32", [rows, cols * bits // 32])
            out["weight_shape"] = literal("I64", [2], [rows, cols])
        if not symmetric:
            out["weight_zero_point"] = raw("I8", [rows, count], 7) if plain else raw("I32", [rows * bits // 32, count])
        if order:
            out["weight_g_idx"] = literal("I32", [cols], [(i * 5 + 1) % cols // group for i in range(cols)])
        return out

    def matrix(t, rows, cols):
        scales, zeros = t["weight_scale"].float(), t.get("weight_zero_point")
        q = t["weight"] if plain else unpack_from_int32(t["weight_packed"], bits, torch.Size([rows, cols]))
        if zeros is not None and not plain:
            zeros = unpack_from_int32(zeros, bits, torch.Size(scales.shape), packed_dim=0)
        at = t["weight_g_idx"].long() if order else torch.arange(cols) // (group or cols)
        # `dequantize` takes no list of groups: columns of a group are brought together first, and back after it.
        turn = torch.argsort(at, stable=True)
        back = torch.argsort(turn)
        out = dequantize(q[:, turn], scales, zeros, bits, group, symmetric, "int")[:, back]
        return rounded(out, torch.bfloat16 if order or bits == 8 and not symmetric else None)
    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel",
               "group_size": group, "actorder": "group" if order else None}
    module = {"targets": ["Linear"], "weights": weights}
    if tokens:
        module["input_activations"] = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    config = {"quant_method": "compressed-tensors", "format": "int-quantized" if plain else "pack-quantized",
              "config_groups": {"group_0": module}, "ignore": ["lm_head"]}
    return config, tensors, matrix


def dequantize(q, scales, zeros, bits, group, symmetric, kind, **more):
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    strategy = more.pop("strategy", "group" if group else "channel")
    args = QuantizationArgs(num_bits=bits, type=kind, symmetric=symmetric, strategy=strategy, group_size=group)
    return dequantize(q, scales, zeros, args, dtype=torch.float32, **more)


def fp8(block=None, name="weight_scale_inv", kind="F32", method="fp8", shape=None):
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    def tensors(rows, cols):
        dims = shape(rows, cols) if shape else [rows // block[0], cols // block[1]]
        out = {"weight": raw("F8_E4M3", [rows, cols], SIGNED), name: scale(kind, dims, cols, 2)}
        if kind == "F8_E8M0":
            out[name] = [kind, dims, 124, -6]
        return out | {"input_scale": floats("F32", [1], 1, -60)}

    def matrix(t, rows, cols):
        scales = t[name]
        scales = scales.reshape(-1, 1) if scales.dim() < 2 else scales
        dtype = torch.float16 if kind == "F16" else torch.bfloat16
        return Fp8Dequantize(None)._dequantize_one(t["weight"], scales, output_dtype=dtype).float()
    config = {"quant_method": method, "weight_block_size": block, "activation_scheme": "dynamic"}
    if method == "compressed-tensors":
        config |= {"format": "float-quantized", "config_groups": {}}
    return config, tensors, matrix


def nvfp4(modelopt=False):
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    packed, whole = ("weight", "weight_scale_2") if modelopt else ("weight_packed", "weight_global_scale")

    def tensors(rows, cols):
        middle = size(cols, 4) / 0.5
        number = middle if modelopt else 1 / middle
        return {packed: raw("U8", [rows, cols // 2]), "weight_scale": raw("F8_E4M3", [rows, cols // 16], POSITIVE),
                whole: floats("F32", [] if modelopt else [1], number, round(math.log2(number)) - 10),
                ("input_scale" if modelopt else "input_global_scale"): floats("F32", [1], 1, -60)}

    def matrix(t, rows, cols):
        q = unpack_fp4_from_uint8(t[packed], rows, cols, torch.float32)
        factor = 1 / t[whole].float().reshape(1) if modelopt else t[whole].float()
        return dequantize(q, t["weight_scale"].float(), None, 4, 16, True, "float", strategy="tensor_group", global_scale=factor)
    config = {"quant_method": "modelopt", "quant_algo": "NVFP4"} if modelopt else {
        "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {}}
    return config, tensors, matrix


def mxfp4():
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8

    def tensors(rows, cols):
        return {"weight_packed": raw("U8", [rows, cols // 2]), "weight_scale": ["U8", [rows, cols // 32], 123, -6]}

    def matrix(t, rows, cols):
        q = unpack_fp4_from_uint8(t["weight_packed"], rows, cols, torch.float32)
        powers = (t["weight_scale"].float() - 127).exp2()
        return dequantize(q, powers, None, 4, 32, True, "float")
    return {"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized", "config_groups": {}}, tensors, matrix


def nf4(nested=False, block=64, dtype="bfloat16", kind="nf4"):
    from bitsandbytes.functional import QuantState, dequantize_4bit, get_4bit_type

    def state(rows, cols):
        out = {"quant_type": kind, "blocksize": block, "dtype": dtype, "shape": [rows, cols]}
        return out | ({"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.0625} if nested else {})

    def tensors(rows, cols):
        count = rows * cols // block
        out = {"weight": raw("U8", [rows * cols // 2, 1]),
               f"weight.quant_state.bitsandbytes__{kind}": literal("U8", [len(json.dumps(state(rows, cols)))],
                                                              list(json.dumps(state(rows, cols)).encode())),
               "weight.quant_map": table(get_4bit_type(kind, device="cpu").tolist())}
        if nested:
            out |= {"weight.absmax": raw("U8", [count]), "weight.nested_absmax": floats("F32", [-(-count // 256)], 0.125, -12),
                    "weight.nested_quant_map": floats("F32", [256], 0.5, -9)}
        else:
            out["weight.absmax"] = floats("F32", [count], 2 * size(cols, 1), -11)
        return out

    def table(numbers):
        return ["F32", [len(numbers)], 0, 0, [float(n) for n in numbers]]

    def matrix(t, rows, cols):
        named = {n: x for n, x in t.items() if n != "weight"}
        stated = QuantState.from_dict({n.removeprefix("weight."): x for n, x in named.items()}, torch.device("cpu"))
        return dequantize_4bit(t["weight"], stated).float()
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind,
              "bnb_4bit_use_double_quant": nested, "bnb_4bit_compute_dtype": dtype}
    return config, tensors, matrix


def int8():
    from bitsandbytes.functional import int8_vectorwise_dequant

    def tensors(rows, cols):
        # A 127th of each is exact in half precision; what bitsandbytes makes of them is not, it multiplies with 1/127.
        step = 2.0 ** round(math.log2(size(cols, 1) / 127) - 8)
        return {"weight": raw("I8", [rows, cols]), "SCB": literal("F32", [rows], [127 * step * n for n in range(201, 300, 7)]),
                "weight_format": literal("U8", [], [0])}

    def matrix(t, rows, cols):
        return int8_vectorwise_dequant(t["weight"], t["SCB"]).float()
    return {"quant_method": "bitsandbytes", "load_in_8bit": True}, tensors, matrix


CASES = {
    "gptq": (BASE, gptq(zeros=0x77777777, group=64)),
    "gptq-asymmetric": (QWEN3, gptq()),
    "gptq-v2": (BASE, gptq(v2=True, listed=False)),
    "gptq-ordered": (BASE, gptq(order=True, zeros=0x77777777)),
    "gptq-8": (BASE, gptq(bits=8, zeros=0x7F7F7F7F)),
    "gptq-8-asymmetric": (BASE, gptq(bits=8)),
    "gptq-3": (BASE, gptq(bits=3)),
    "gptq-2": (BASE, gptq(bits=2, v2=True)),
    "gptq-experts": (MOE, gptq(group=64)),
    "awq": (QWEN3, awq()),
    "awq-symmetric": (BASE, awq(same=-2004318072, group=64)),
    "compressed-4": (BASE, compressed(group=32)),
    "compressed-4-asymmetric": (QWEN3, compressed(group=32, symmetric=False)),
    "compressed-4-channels": (BASE, compressed()),
    "compressed-4-ordered": (BASE, compressed(group=32, order=True)),
    "compressed-8": (BASE, compressed(bits=8, group=32)),
    "compressed-8-asymmetric": (BASE, compressed(bits=8, symmetric=False)),
    "compressed-int8": (BASE, compressed(bits=8, plain=True)),
    "compressed-w8a8": (BASE, compressed(bits=8, plain=True, kind="F32", tokens=True)),
    "compressed-fp8": (BASE, fp8(name="weight_scale", kind="BF16", method="compressed-tensors", shape=lambda r, c: [r, 1])),
    "fp8-blocks": (QWEN3, fp8(block=[32, 32])),
    "fp8-powers": (BASE, fp8(block=[64, 64], kind="F8_E8M0")),
    "fp8-tensor": (BASE, fp8(name="weight_scale", shape=lambda r, c: [])),
    "fp8-experts": (MOE, fp8(block=[32, 32], kind="BF16")),
    "nvfp4": (BASE, nvfp4()),
    "nvfp4-modelopt": (QWEN3, nvfp4(modelopt=True)),
    "nvfp4-experts": (MOE, nvfp4()),
    "mxfp4": (BASE, mxfp4()),
    "nf4": (BASE, nf4()),
    "nf4-nested": (QWEN3, nf4(nested=True, dtype="float16")),
    "bitsandbytes-fp4": (BASE, nf4(kind="fp4")),
    "bitsandbytes-int8": (BASE, int8()),
}
# Modules that stay as they are.
PLAIN = ("embed_tokens", "lm_head", "norm", "mlp.gate.")


def main():
    for name, (config, format) in CASES.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:] or format is None:
            continue
        write(f"quantized-{name}", config, *format)


def write(name, config, quantization, tensors, matrix):
    recipe, plain, digests = {}, {}, {}
    for tensor, shape in sorted(saved_shapes(config).items()):
        if any(part in tensor for part in PLAIN):
            recipe[tensor] = ["F32" if len(shape) == 1 else "BF16", shape, *numbers(config, tensor, shape)]
            plain[tensor] = made(tensor, recipe[tensor]).float().numpy()
            continue
        module = tensor.removesuffix(".weight")
        parts = {f"{module}.{part}": r for part, r in tensors(*shape).items()}
        found = {part.removeprefix(f"{module}."): made(part, r) for part, r in parts.items()}
        # Experts have no place for the factor of NVFP4, and are widened.
        wide = torch.bfloat16 if "nvfp4" in name and ".experts." in tensor else None
        whole = rounded(matrix(found, *shape), wide).contiguous().numpy()
        assert whole.shape == tuple(shape) and np.isfinite(whole).all()
        recipe |= parts
        plain[tensor] = whole
        # NVFP4 has its factor beside it, and bitsandbytes' integers are rounded on the way.
        digests[tensor] = None if "nvfp4" in name or "int8" in name and "bits" in name else f"{digest(whole):016x}"
    np.save(DATA / f"{name}.npy", logits({k: v for k, v in config.items() if k != "torch_dtype"}, plain))
    lines = [f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in recipe.items()]
    head = {"config": config | {"quantization_config": quantization}, "digests": digests}
    body = json.dumps(head)[:-1] + ',\n"tensors": {\n' + ",\n".join(lines) + "\n}}\n"
    (DATA / f"{name}.json").write_text(body)
    print(name, (DATA / f"{name}.json").stat().st_size)


def digest(matrix):
    """FNV-1a over words of 32 bits, and zeros without a sign."""
    h, prime, mask = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1
    for word in (matrix.astype(np.float32) + np.float32(0)).view(np.uint32).ravel().tolist():
        h = (h ^ word) * prime & mask
    return h


if __name__ == "__main__":
    assert LENGTH > 32 and fnv1a("") == 0xCBF29CE484222325
    main()
