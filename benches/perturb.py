#!/usr/bin/env python3
"""Writes a quantized model in F32, each weight moved at random within its quantization step: a reference whose weights lie on no grid.

    perturb.py IN.gguf OUT.gguf [--seed 1]

Whoever quantizes the values of a Q4_1 file to four bits finds the grid again and loses nothing. Uniform noise of one step's width hides it,
as rounding has hidden the weights that were there before. Weights in F32 (norms) stay as they are.
"""

import argparse
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFValueType, GGUFWriter, Keys
from gguf.quants import dequantize

# Types whose blocks of so many values begin with the step, in half precision: bytes of a block.
BLOCK = 32
SIZES = {Type.Q4_0: 18, Type.Q4_1: 20, Type.Q5_0: 22, Type.Q5_1: 24, Type.Q8_0: 34}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    perturb(options.model, options.out, options.seed)


def perturb(model: Path, out: Path, seed: int) -> None:
    reader, random = GGUFReader(model), np.random.default_rng(seed)
    part = out.with_suffix(".part")
    writer = GGUFWriter(part, reader.fields[Keys.General.ARCHITECTURE].contents())
    copy_keys(reader, writer)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, moved(tensor, random))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(out)


def copy_keys(reader: GGUFReader, writer: GGUFWriter) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in (Keys.General.ARCHITECTURE, Keys.General.FILE_TYPE):
            continue
        kind = field.types[0]
        items = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=items)
    # 0 is F32.
    writer.add_file_type(0)


def moved(tensor, random: np.random.Generator) -> np.ndarray:
    """The tensor's values, each by up to half a step from where it was."""
    values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if tensor.tensor_type == Type.F32:
        return values
    step = np.repeat(steps(tensor), BLOCK).reshape(values.shape)
    return values + step * random.uniform(-0.5, 0.5, values.shape).astype(np.float32)


def steps(tensor) -> np.ndarray:
    """The distance between neighbouring levels, of each block."""
    if tensor.tensor_type not in SIZES:
        raise SystemExit(f"{tensor.name} is {tensor.tensor_type.name}: want one of {', '.join(kind.name for kind in SIZES)}")
    blocks = np.ascontiguousarray(tensor.data).reshape(-1, SIZES[tensor.tensor_type])
    return np.abs(np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32).ravel())


if __name__ == "__main__":
    main()
