#!/usr/bin/env python3
"""Compares how texts become vectors: whinchat, llama.cpp and onnxruntime with the same model, in turns.

    encoders.py FOLDER [--texts FILE] [--count 32] [--rounds 9] [--threads 2] [--peers llama.cpp,onnxruntime] [--program OTHER] [--receipt NAME]

FOLDER is a BERT-like model with safetensors and a tokenizer, such as all-MiniLM-L6-v2. Every program is given the same texts at once, as text:
the two servers over HTTP, onnxruntime in this process with the model's fast tokenizer, texts padded to the longest of a batch, and mean
pooling. All compute in 32-bit floats (llama.cpp's weights are F16, as `whinchat convert` writes them). First, vectors of 50 sentences are compared
with sentence-transformers'. Needs a Python with torch, transformers, sentence-transformers, onnx, onnxscript and onnxruntime.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import numpy as np

import receipts
from programs import ROOT, SHARED, LlamaCpp, Whinchat, serving, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=Path, default=SHARED / "assets/text/wiki.test.raw")
    parser.add_argument("--count", type=int, default=32, help="texts that are given at once")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peers", type=lambda names: names.split(","), default=["llama.cpp", "onnxruntime"])
    parser.add_argument("--program", type=Path, help="another build of whinchat")
    parser.add_argument("--receipt", default="encoders")
    options = parser.parse_args()
    program = options.program or Whinchat(options.threads).program
    texts = paragraphs(options.texts, options.count)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = serving([program, "serve", "--model", options.folder], options.threads)
        embed = {"whinchat": over_http(stack.enter_context(ours))}
        if "llama.cpp" in options.peers:
            embed["llama.cpp"] = llama_cpp(stack, program, options.folder, folder, options.threads)
        if "onnxruntime" in options.peers:
            embed["onnxruntime"] = onnxruntime(options.folder, folder, options.threads)
        cosine = agreement(embed, options.folder, paragraphs(options.texts, 50, sentences=True))
        seconds = turns(embed, texts, options.rounds)
    best = min(median(times) for name, times in seconds.items() if name != "whinchat")
    rows = []
    for name, times in seconds.items():
        low, middle, high = quantiles(times, n=4)
        ratio = "" if name != "whinchat" else f"{best / middle:.2f}"
        rows.append([name, f"{len(texts) / middle:.0f}", f"{1e3 * middle:.1f}", f"{1e3 * low:.1f}–{1e3 * high:.1f}", f"{cosine[name]:.7f}", ratio])
    head = ["program", "texts/s", "ms, median", "quartiles", "least cosine with sentence-transformers", "× the faster of the others"]
    table = receipts.markdown(head, rows)
    facts = {"whinchat": text(program, "--version"), "model": options.folder.name, "texts": len(texts), "rounds": options.rounds,
             "words": f"{min(map(words, texts))} to {max(map(words, texts))}, {sum(map(words, texts))} in all", "threads": options.threads,
             "seconds": seconds, "cosine": cosine}
    print(table)
    print(f"receipt: {receipts.save(options.receipt, facts, table).relative_to(ROOT)}")


def words(passage: str) -> int:
    return len(passage.split())


def paragraphs(path: Path, count: int, sentences: bool = False) -> list[str]:
    """The first paragraphs that are no headings, cut to at most 160 words; or the first sentence of each."""
    lines = (line.strip() for line in path.read_text().splitlines())
    all = [line for line in lines if not line.startswith("=") and words(line) > 3]
    cut = [re.split(r" [.!?] ", line)[0] if sentences else " ".join(line.split()[:160]) for line in all[:count]]
    assert len(cut) == count, f"{path} has {len(cut)} paragraphs"
    return cut


def over_http(address: str):
    """What asks an embeddings API."""
    with urllib.request.urlopen(f"{address}/v1/models", timeout=300) as answer:
        name = json.load(answer)["data"][0]["id"]

    def embed(texts: list[str]) -> np.ndarray:
        body = json.dumps({"input": texts, "model": name}).encode()
        request = urllib.request.Request(f"{address}/v1/embeddings", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            data = json.load(answer)["data"]
        return np.array([one["embedding"] for one in sorted(data, key=lambda one: one["index"])])
    return embed


def llama_cpp(stack: ExitStack, program: Path, model: Path, folder: Path, threads: int):
    """llama-server with the model in F16."""
    file, peer = folder / "model.gguf", LlamaCpp(threads)
    subprocess.run([program, "convert", model, "--type", "F16", "--out", file], check=True, capture_output=True)
    # As many slots and as long a batch as the texts of a request take.
    command = [peer.folder / "llama-server", "-m", file, "--embedding", "--pooling", "mean", "-b", "8192", "-ub", "8192", "-c", "8192", "-np", "32"]
    return over_http(stack.enter_context(serving(command, threads)))


def onnxruntime(model: Path, folder: Path, threads: int):
    """onnxruntime with the model as torch exports it, in this process."""
    import onnxruntime as ort
    import torch
    from transformers import AutoModel, AutoTokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tokenizer(["one text", "and another one"], return_tensors="pt", padding=True)
    axes = {name: {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")} for name in names}
    file = folder / "model.onnx"
    torch.onnx.export(network, (), file, kwargs={name: example[name] for name in names}, input_names=names,
                      output_names=["rows", "pooled"], dynamic_shapes=axes, dynamo=True)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])

    def embed(texts: list[str]) -> np.ndarray:
        tokens = tokenizer(texts, return_tensors="np", padding=True, truncation=True, max_length=256)
        rows = session.run(["rows"], {name: tokens[name] for name in names})[0]
        mask = tokens["attention_mask"][:, :, None]
        pooled = (rows * mask).sum(1) / mask.sum(1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return embed


def agreement(embed: dict, model: Path, sentences: list[str]) -> dict[str, float]:
    """The least cosine of each program's vectors with sentence-transformers'."""
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(model), device="cpu").encode(sentences, normalize_embeddings=True).astype(np.float64)
    def least(vectors: np.ndarray) -> float:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosine = float((vectors * wanted).sum(1).min())
        assert cosine == cosine, "a vector is not made of numbers"
        return cosine
    return {name: least(of(sentences)) for name, of in embed.items()}


def turns(embed: dict, texts: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, of one program after the other; the first round is not counted."""
    seconds = {name: [] for name in embed}
    for round in range(rounds + 1):
        for name, of in embed.items():
            began = time.perf_counter()
            of(texts)
            if round:
                seconds[name].append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
