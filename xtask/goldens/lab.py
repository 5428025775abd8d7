# Goldens of crates/lab: importance matrices as llama.cpp's programs write them, and error feedback in numpy.
#
# Writes crates/lab/tests/data: imatrix.gguf by the PyPI package gguf, imatrix.dat by hand, imatrix.f32 (what both hold: the mean squares
# of each weight, one after the other), and by numpy gptq-inputs.f32, gptq-weights.f32, gptq-scales.f32, gptq-expected.f32, and
# pruned-METHOD-PATTERN.f32 (the same weights with half of them zero).

import pathlib
import struct

import numpy as np
from gguf import GGUFWriter

OUT = pathlib.Path(__file__).parents[2] / "crates/lab/tests/data"
CHUNK = 512


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    importance(np.random.default_rng(20261129))
    feedback(np.random.default_rng(20261130))


def importance(rng):
    """A plain weight, and one of three experts of which the second was never visited."""
    entries = {
        "blk.0.attn_q.weight": (rng.uniform(0, 4, (1, 32)), np.array([1024])),
        "blk.0.ffn_down_exps.weight": (rng.uniform(0, 4, (3, 32)), np.array([600, 0, 1448])),
    }
    means = {name: np.where(counts[:, None] > 0, squares, 0) for name, (squares, counts) in entries.items()}
    writer = GGUFWriter(OUT / "imatrix.gguf", "imatrix")
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", ["wiki.train.raw", "code.txt"])
    writer.add_uint32("imatrix.chunk_count", 4)
    writer.add_uint32("imatrix.chunk_size", CHUNK)
    for name, (_, counts) in entries.items():
        writer.add_tensor(f"{name}.in_sum2", (means[name] * counts[:, None]).astype("<f4"))
        writer.add_tensor(f"{name}.counts", counts[:, None].astype("<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    legacy(entries)
    (OUT / "imatrix.f32").write_bytes(np.concatenate([m.ravel() for m in means.values()]).astype("<f4").tobytes())


def legacy(entries):
    out = struct.pack("<i", len(entries))
    for name, (squares, counts) in sorted(entries.items()):
        calls = -(-counts.max() // CHUNK)
        values = np.where(counts[:, None] > 0, squares, 1) * calls
        out += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, values.size)
        out += values.astype("<f4").tobytes()
    dataset = b"code.txt"
    out += struct.pack("<ii", 4, len(dataset)) + dataset
    (OUT / "imatrix.dat").write_bytes(out)


def feedback(rng):
    """GPTQ (Frantar et al. 2022) as its first listing has it: column after column, on a fixed grid of 16 levels for each row."""
    columns = 64
    inputs = (rng.normal(0, 1, (200, columns)) @ rng.normal(0, 1, (columns, columns)) / 8).astype("<f4")
    inputs[:, 5] = 0
    weights = rng.normal(0, 1, (6, columns)).astype("<f4")
    scales = (np.abs(weights).max(axis=1) / 8).astype("<f4")
    gram = inputs.astype("f8").T @ inputs.astype("f8")
    mean = np.mean(np.diag(gram))
    gram[5, 5] = mean
    gram += 0.01 * mean * np.eye(columns)
    upper = np.linalg.cholesky(np.linalg.inv(gram)).T
    prune(weights, inputs, upper)
    rows = weights.astype("f8").copy()
    for i in range(columns):
        stands = np.clip(np.round(rows[:, i] / scales), -8, 7) * scales
        error = (rows[:, i] - stands) / upper[i, i]
        rows[:, i + 1 :] -= error[:, None] * upper[i, i + 1 :]
        rows[:, i] = stands
    for name, values in {"inputs": inputs, "weights": weights, "scales": scales, "expected": rows}.items():
        save(f"gptq-{name}", values)


def prune(weights, inputs, upper):
    """Half of each row, or two of four neighbours: by size, by size times the norm of the input (Wanda), and as SparseGPT does it."""
    norms = np.sqrt(np.mean(inputs.astype("f8") ** 2, axis=0))
    for pattern, group in {"free": 64, "2-4": 4}.items():
        for method, scores in {"magnitude": np.abs(weights), "wanda": np.abs(weights) * norms}.items():
            save(f"pruned-{method}-{pattern}", np.where(smallest(scores, group), 0, weights))
        rows = weights.astype("f8").copy()
        for i in range(rows.shape[1]):
            if i % group == 0:
                here = slice(i, i + group)
                zeros = smallest((rows[:, here] / np.diag(upper)[here]) ** 2, group)
            stands = np.where(zeros[:, i % group], 0, rows[:, i])
            rows[:, i + 1 :] -= ((rows[:, i] - stands) / upper[i, i])[:, None] * upper[i, i + 1 :]
            rows[:, i] = stands
        save(f"pruned-sparsegpt-{pattern}", rows)


def smallest(scores, group):
    """Whether each is in the smaller half of its group."""
    groups = scores.reshape(len(scores), -1, group)
    return (np.argsort(np.argsort(groups, axis=2, kind="stable"), axis=2) < group // 2).reshape(scores.shape)


def save(name, values):
    (OUT / f"{name}.f32").write_bytes(np.ascontiguousarray(values).astype("<f4").tobytes())


main()
