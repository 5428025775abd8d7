# Goldens of crates/tensor: blocks and values of every storage type, decoded and encoded by the PyPI package gguf.
#
# Writes crates/tensor/tests/data: TYPE.blocks (random blocks), TYPE.decoded (their values, little-endian f32),
# values.f32 (inputs of the encoders) and TYPE.encoded (what they become). Q4_2OF4, which gguf does not have, is Q4_0 of the values that are
# kept, and their places. Q8_ROW, which it does not have either, is written down here: rows of 64 values with a scale in front of each.

import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).parents[2] / "crates/tensor/tests/data"

# Where the half-precision scales stand in a block of each type.
SCALES = {
    "F32": [], "F16": [], "BF16": [], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
    "MXFP4": [],
}
# Types that are only read.
SCALES_READ = {
    "NVFP4": [], "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
    "TQ1_0": [52], "TQ2_0": [64],
}
ENCODED = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20260101)
    decoded(rng, SCALES)
    decoded(np.random.default_rng(20260103), SCALES_READ)
    values = encoder_inputs(rng)
    (OUT / "values.f32").write_bytes(values.tobytes())
    for name in ENCODED:
        (OUT / f"{name}.encoded").write_bytes(quantize(values, GGMLQuantizationType[name]).tobytes())
    sparse(np.random.default_rng(20260104), values)
    by_row(np.random.default_rng(20260105), values)


def by_row(rng, values):
    """A scale in single precision, then bytes."""
    def put(name, scales, quants):
        rows = np.concatenate([scales.astype("<f4")[:, None].view(np.uint8), quants.view(np.uint8)], axis=1)
        (OUT / f"Q8_ROW.{name}").write_bytes(rows.tobytes())

    quants = rng.integers(-128, 128, (8, 64), dtype=np.int8)
    scales = rng.normal(0, 0.05, 8).astype("<f4")
    scales[:6] = [0.0, -0.0, 1e-40, -3e-5, 1e30, 2.0**-149]
    put("blocks", scales, quants)
    (OUT / "Q8_ROW.decoded").write_bytes((scales[:, None] * quants.astype("<f4")).tobytes())

    rows = values.reshape(-1, 64)
    scales = abs(rows).max(axis=1) / np.float32(127)
    levels = np.rint(np.divide(rows, scales[:, None], out=np.zeros_like(rows), where=scales[:, None] > 0))
    put("encoded", scales, np.clip(levels, -127, 127).astype(np.int8))


def sparse(rng, values):
    """Two of four: scale, places, nibbles."""
    blocks = random_blocks(rng, ("Q4_2OF4", [0]), 64, 26)
    half, i = np.divmod(np.arange(32), 16)
    places = blocks[:, 2 + 4 * half + i % 4] >> (i // 4 * 2) & 3
    levels = (blocks[:, 10 + i] >> (4 * half) & 15).astype(int) - 8
    dense = np.zeros((len(blocks), 64), int)
    np.add.at(dense, (np.arange(len(blocks))[:, None], 32 * half + i // 2 * 4 + places), levels)
    scales = blocks[:, :2].copy().view("<f2").astype("<f4")
    (OUT / "Q4_2OF4.blocks").write_bytes(blocks.tobytes())
    (OUT / "Q4_2OF4.decoded").write_bytes((scales * dense.astype("<f4")).tobytes())

    fours = values.reshape(-1, 4)
    kept = np.sort(np.argsort(-abs(fours), axis=1, kind="stable")[:, :2], axis=1)
    blocks = quantize(np.take_along_axis(fours, kept, axis=1).reshape(-1, 32), GGMLQuantizationType.Q4_0)
    kept = kept.reshape(-1, 2, 4, 4).astype(np.uint8) << np.array([0, 2, 4, 6], np.uint8)[:, None]
    places = np.bitwise_or.reduce(kept, axis=2).reshape(-1, 8)
    (OUT / "Q4_2OF4.encoded").write_bytes(np.concatenate([blocks[:, :2], places, blocks[:, 2:]], axis=1).tobytes())


def decoded(rng, scales):
    for name in scales:
        kind = GGMLQuantizationType[name]
        blocks = random_blocks(rng, (name, scales[name]), *GGML_QUANT_SIZES[kind])
        (OUT / f"{name}.blocks").write_bytes(blocks.tobytes())
        (OUT / f"{name}.decoded").write_bytes(dequantize(blocks, kind).astype("<f4").tobytes())


def random_blocks(rng, of, length, size):
    """Random bytes with finite scales: ordinary of both signs, zeros of both signs, subnormal, the largest."""
    name, places = of
    if name in ("F16", "F32", "BF16"):
        return plain_values(rng, name)
    special = [0.0, -0.0, 6e-8, -3e-5, 65504.0, 0.013, -0.021]
    count = max(len(special) + 1, 448 // length)
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for k, at in enumerate(places):
        blocks[:, at : at + 2] = scales(rng, count, np.roll(special, k))[:, None].view(np.uint8)
    if name == "MXFP4":
        blocks[:6, 0] = [0, 1, 2, 127, 254, 255]
    if name == "NVFP4":
        blocks[:4, :4] = [[0, 1, 7, 8], [126, 127, 128, 129], [255, 254, 15, 16], [119, 120, 121, 135]]
    if name == "IQ1_M":
        # A quarter of the scale is in the upper half of each second byte of the last eight.
        quarters = scales(rng, count, special).view("<u2")[:, None] >> np.array([0, 4, 8, 12], dtype=np.uint16)
        blocks[:, 49::2] = blocks[:, 49::2] & 15 | (quarters & 15).astype(np.uint8) << 4
    return blocks


def scales(rng, count, special):
    scales = rng.normal(0, 0.05, count)
    scales[: len(special)] = special
    return scales.astype("<f2")


def plain_values(rng, name):
    """Random finite numbers of any exponent, and infinity."""
    unsigned, infinity = {"F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F32": ("<u4", 0x7F800000)}[name]
    sign = 1 << (15 if unsigned == "<u2" else 31)
    bits = rng.integers(0, infinity, 300, dtype=unsigned) | (rng.integers(0, 2, 300, dtype=unsigned) * sign)
    bits[:6] = [0, sign, 1, sign | 1, infinity, sign | infinity]
    return bits.astype(unsigned).view(np.uint8)


def encoder_inputs(rng):
    """Rows of 32: ordinary, constant, ties, tiny, huge and one-sided."""
    rows = rng.normal(0, 1, (24, 32)).astype(np.float32)
    rows[0] = 0
    rows[1] = 0.75
    rows[2] = -0.75
    rows[3] = np.linspace(-1, 1, 32)
    rows[4] = np.arange(-16, 16) / 2
    rows[5] = np.where(np.arange(32) % 2, 3, -3)
    rows[6] *= 1e-7
    rows[7] *= 20000
    rows[8] = np.abs(rows[8])
    rows[9] = -np.abs(rows[9])
    rows[10][5] = 40
    rows[11][30] = -40
    rows[12] = np.arange(32) * 127 / 62
    rows[13] = (np.arange(32) - 8) / 2
    rows[14] *= 1e-30
    return rows.astype("<f4")


main()
