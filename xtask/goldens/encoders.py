# Goldens of crates/tensor: what ggml's own codecs make of values and blocks, for the types that the PyPI package gguf cannot encode or
# does not know.
#
# Writes crates/tensor/tests/data: values256.f32 (rows of 256 values, little-endian), TYPE.encoded, and for types that the package does
# not know TYPE.blocks and TYPE.decoded. The oracle is
# libggml-base.so of a build of llama.cpp for the plain instruction set; WHINCHAT_GGML says where it is. Without it nothing is
# written.

import ctypes
import os
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

OUT = pathlib.Path(__file__).parents[2] / "crates/tensor/tests/data"
# Elements and bytes of a block that begins with its half-precision scale, and the decoder.
UNKNOWN = {"Q1_0": (128, 18, "dequantize_row_q1_0"), "Q2_0": (64, 18, "dequantize_row_q2_0")}
TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]


def main():
    library = os.environ.get("WHINCHAT_GGML")
    if not library:
        print("WHINCHAT_GGML is not set: skipped")
        return
    ggml = ctypes.CDLL(library)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    values = inputs(np.random.default_rng(20260102))
    (OUT / "values256.f32").write_bytes(values.tobytes())
    for name in TYPES:
        (OUT / f"{name}.encoded").write_bytes(quantized(ggml, GGMLQuantizationType[name], values))
    rng = np.random.default_rng(20260104)
    for name, (length, size, decoder) in UNKNOWN.items():
        blocks = rng.integers(0, 256, (10, size), dtype=np.uint8)
        scales = np.concatenate([[0.0, -0.0, 6e-8, -3e-5, 65504.0], rng.normal(0, 0.05, 5)])
        blocks[:, :2] = scales.astype("<f2")[:, None].view(np.uint8)
        (OUT / f"{name}.blocks").write_bytes(blocks.tobytes())
        (OUT / f"{name}.decoded").write_bytes(dequantized(getattr(ggml, decoder), blocks, length))


def dequantized(decoder, blocks, length):
    out = np.empty(len(blocks) * length, dtype="<f4")
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (blocks, out))
    decoder(*pointers, ctypes.c_int64(out.size))
    return out.tobytes()


def quantized(ggml, kind, values):
    length, size = GGML_QUANT_SIZES[kind]
    out = ctypes.create_string_buffer(values.size // length * size)
    rows, cols = values.shape
    pointers = values.ctypes.data_as(ctypes.c_void_p), out
    sizes = [ctypes.c_int64(n) for n in (0, rows, cols)]
    written = ggml.ggml_quantize_chunk(ctypes.c_int(kind), *pointers, *sizes, None)
    assert written == len(out.raw), (kind, written)
    return out.raw


def inputs(rng):
    """Rows of 256: ordinary, zeros, constant, ties, tiny, huge, one-sided, with outliers, with parts of their own scales."""
    rows = rng.normal(0, 1, (24, 256)).astype(np.float32)
    rows[0] = 0
    rows[1] = 0.75
    rows[2] = np.linspace(-1, 1, 256)
    rows[3] = np.arange(-128, 128) / 16
    rows[4] = np.where(np.arange(256) % 2, 3, -3)
    rows[5] *= 1e-4
    rows[6] *= 5000
    rows[7] = np.abs(rows[7])
    rows[8] = -np.abs(rows[8])
    rows[9][[5, 77, 200]] = [40, -40, 25]
    rows[10] *= np.repeat(2.0 ** rng.integers(-6, 3, 16), 16)
    rows[11] *= np.repeat(2.0 ** rng.integers(-3, 3, 8), 32)
    rows[12][:64] = 0
    rows[13] = rng.standard_t(3, 256)
    rows[14] += 2
    rows[15] = np.round(rows[15] * 4) / 4
    return rows.astype("<f4")


main()
