#!/usr/bin/env python3
"""Compares our mixtures with llama.cpp's own mixes, made with the same importance matrix, at equal bytes; and our measures with its own.

    mixtures.py MODEL.gguf --calibration FILE… --evaluation FILE [--perturb 1] [--mixes Q4_K_M,Q3_K_M] [--agreement] [--receipt NAME]

The reference is MODEL in F32; with --perturb SEED each weight is first moved at random within its quantization step (perturb.py). `whinchat
lab calibrate` makes one importance matrix of the calibration texts, without any passage of the evaluation text. For each mix `llama-quantize`
makes a file with it, and `whinchat lab run` a mixture that is not larger; it evaluates both. With --agreement `llama-perplexity` evaluates
them too: mean KL divergence, perplexity and agreement of the likeliest token must be the same within twice the standard error that it tells.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import perturb
import receipts
from programs import ROOT, LlamaCpp, Whinchat, run, text

# A line of llama-perplexity: how many chunks it has, and of all of them numbers with their standard errors.
LINE = r"^ *(\d+)" + r" +(\S+) ± +(\S+)" * 3 + r" +\S+ ± +\S+ % +(\S+) ± +(\S+) %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--evaluation", type=Path, required=True, metavar="FILE")
    parser.add_argument("--perturb", type=int, metavar="SEED", help="move the weights within their steps first")
    parser.add_argument("--mixes", type=lambda value: value.split(","), default=["Q4_K_M", "Q3_K_M"])
    parser.add_argument("--agreement", action="store_true", help="let llama-perplexity evaluate too; wants a plain text")
    parser.add_argument("--chunks", type=int, default=64, help="of 512 tokens, to calibrate with")
    parser.add_argument("--eval-chunks", type=int, default=20)
    parser.add_argument("--reference-size", type=int, default=2100, help="megabytes of the reference's outputs")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, default=ROOT / "target/mixtures", help="folder for what is made")
    parser.add_argument("--program", type=Path, help="this program, if not a release build")
    parser.add_argument("--receipt", default="mixtures")
    options = parser.parse_args()
    options.work = options.work.resolve() / options.model.stem
    options.work.mkdir(parents=True, exist_ok=True)
    program = options.program.resolve() if options.program else Whinchat(options.threads).program
    peer = LlamaCpp(options.threads)
    reference = reference_of(options, program)
    report = compared(options, program, peer, reference)
    facts, table = told(options, report)
    facts |= {"whinchat": text(program, "--version"), "peer": peer.version}
    if options.agreement:
        facts["agreement"], more = agreement(options, peer, reference, report)
        table += "\n\n" + more
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def reference_of(options, program: Path) -> Path:
    out = options.work / ("reference.gguf" if options.perturb is None else f"reference-{options.perturb}.gguf")
    if not out.exists() and options.perturb is None:
        run(program, "convert", options.model, "--type", "F32", "--out", out)
    elif not out.exists():
        perturb.perturb(options.model, out, options.perturb)
    return out


def compared(options, program: Path, peer: LlamaCpp, reference: Path) -> dict:
    """The report of `lab run` on both kinds of files, and on the model as it was."""
    texts = [word for file in options.calibration for word in ("--data", file)] + ["--eval-data", options.evaluation]
    common = ("--model", reference, "--threads", options.threads, "--chunks", options.chunks)
    imatrix = options.work / f"{reference.stem}.imatrix.gguf"
    if not imatrix.exists():
        run(program, "lab", "calibrate", *common, *texts, "--out", imatrix)
    variants = [f"file:{options.model.resolve()}"] if options.perturb is not None else []
    for mix in options.mixes:
        theirs = file_of(options, mix)
        if not theirs.exists():
            run(peer.folder / "llama-quantize", "--imatrix", imatrix, reference, theirs, mix, options.threads)
        variants += [f"file:{theirs}", f"size:{theirs.stat().st_size}"]
    out = options.work / f"lab-{reference.stem}"
    run(program, "lab", "run", *common, *texts, "--imatrix", imatrix, "--eval-chunks", options.eval_chunks, "--reference-size",
        options.reference_size, "--variants", ",".join(variants), "--out", out)
    return json.loads((out / "report.json").read_text()) | {"folder": str(out)}


def file_of(options, mix: str) -> Path:
    return options.work / f"llama.cpp-{mix}{'' if options.perturb is None else f'-{options.perturb}'}.gguf"


def told(options, report: dict) -> tuple[dict, str]:
    variants = {variant["name"]: variant for variant in report["variants"]}
    rows, facts = [], {}
    for mix in options.mixes:
        theirs = variants[file_of(options, mix).stem]
        ours = variants[f"size:{theirs['bytes']}"]
        assert ours["bytes"] <= theirs["bytes"], "ours is larger"
        less = 1 - ours["kl_mean"] / theirs["kl_mean"]
        facts[mix] = {"bytes": [theirs["bytes"], ours["bytes"]], "llama.cpp": theirs["quality"], "whinchat": ours["quality"], "less": less}
        rows.append([mix, f"{theirs['bytes'] / 1e6:.2f}", f"{ours['bytes'] / 1e6:.2f}", of(theirs["quality"]["kl"], 5), of(ours["quality"]["kl"], 5),
                     f"{100 * less:.1f} %", f"{100 * theirs['top1']:.1f}", f"{100 * ours['top1']:.1f}", f"{theirs['perplexity']:.3f}", f"{ours['perplexity']:.3f}"])
    head = ["mix", "its MB", "our MB", "its mean KL", "our mean KL", "less", "its same top %", "ours", "its perplexity", "ours"]
    reference = report["reference"]
    said = {"model": options.model.name, "seed of the noise": options.perturb, "calibration": ", ".join(file.name for file in options.calibration),
            "calibration tokens": report["calibration_tokens"], "evaluation": options.evaluation.name, "evaluated positions": reference["tokens"],
            "the reference's perplexity": round(reference["perplexity"], 4), "mixes": facts}
    if before := variants.get(options.model.stem):
        said["the model before the noise"] = f"perplexity {before['perplexity']:.4f}, mean KL {before['kl_mean']:.5f}"
    return said, receipts.markdown(head, rows)


def of(estimate: dict, digits: int) -> str:
    return f"{estimate['value']:.{digits}f} ({estimate['low']:.{digits}f} to {estimate['high']:.{digits}f})"


def agreement(options, peer: LlamaCpp, reference: Path, report: dict) -> tuple[list, str]:
    """What llama-perplexity says of the same files on the same tokens."""
    base = options.work / f"{reference.stem}.kld"
    common = ("-f", options.evaluation, "-c", 512, "-b", 512, "--chunks", options.eval_chunks, "-t", options.threads, "--kl-divergence-base", base)
    if not base.exists():
        said(peer, "-m", reference, *common)
    rows, facts = [], []
    for variant in report["variants"]:
        found = said(peer, "-m", Path(report["folder"]) / variant["path"], *common, "--kl-divergence")
        _, *numbers = map(float, re.findall(LINE, found, re.MULTILINE)[-1])
        theirs = {"kl": numbers[4:6], "perplexity": numbers[0:2], "same": numbers[6:8]}
        ours = {"kl": variant["kl_mean"], "perplexity": variant["perplexity"], "same": 100 * variant["top1"]}
        agrees = all(abs(ours[name] - value) <= 2 * error for name, (value, error) in theirs.items())
        facts.append({"file": variant["name"], "llama.cpp": theirs, "whinchat": ours, "agrees": agrees})
        cells = [cell for name, digits in (("kl", 5), ("perplexity", 4), ("same", 2))
                 for cell in (f"{theirs[name][0]:.{digits}f} ± {theirs[name][1]:.{digits}f}", f"{ours[name]:.{digits}f}")]
        rows.append([variant["name"], *cells, "yes" if agrees else "NO"])
    base.unlink()
    head = ["file", "mean KL, llama-perplexity", "whinchat", "perplexity, llama-perplexity", "whinchat", "same top %, llama-perplexity", "whinchat", "within twice its error"]
    return facts, receipts.markdown(head, rows)


def said(peer: LlamaCpp, *words) -> str:
    command = [str(word) for word in (peer.folder / "llama-perplexity", *words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr[-2000:]}\n{' '.join(command)}: failed")
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
