# Goldens of DRY and XTC by llama.cpp itself: crates/engine/tests/fixtures/repetition.json. Needs a build of llama.cpp, as
# WHINCHAT_LLAMA=…/libllama.so; without it the script writes nothing.
#
# DRY: histories of tokens with settings, and what is taken off the logits of tokens 0 to 15. XTC: logits with a threshold, and
# the tokens that stay.
import ctypes
import json
import os
import pathlib
import random

OUT = pathlib.Path(__file__).parents[2] / "crates/engine/tests/fixtures/repetition.json"


class Token(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float)]


class Tokens(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.POINTER(Token)),
        ("size", ctypes.c_size_t),
        ("selected", ctypes.c_int64),
        ("sorted", ctypes.c_bool),
    ]


def applied(llama, sampler, logits):
    data = (Token * len(logits))(*[Token(id, logit, 0.0) for id, logit in enumerate(logits)])
    tokens = Tokens(data, len(logits), -1, False)
    llama.llama_sampler_apply(sampler, ctypes.byref(tokens))
    return {tokens.data[i].id: tokens.data[i].logit for i in range(tokens.size)}


def dry(llama):
    for _ in range(60):
        history = random.choices(range(random.choice([2, 3, 6, 16])), k=random.randint(1, 60))
        multiplier, base = round(random.uniform(0.1, 2), 2), random.choice([1.0, 1.2, 1.75, 3.0])
        length, last = random.randint(0, 5), random.choice([5, 20, 1000])
        sampler = llama.llama_sampler_init_dry(None, multiplier, base, length, last, None, 0)
        for token in history:
            llama.llama_sampler_accept(sampler, token)
        penalties = sorted((id, -logit) for id, logit in applied(llama, sampler, [0.0] * 16).items() if logit)
        yield {
            "history": history, "multiplier": multiplier, "base": base, "allowed_length": length, "last": last,
            "penalties": [[id, float(f"{penalty:.7g}")] for id, penalty in penalties],
        }


def xtc(llama):
    for _ in range(60):
        logits = [round(random.uniform(-4, 4), 2) for _ in range(random.randint(1, 12))]
        threshold = round(random.uniform(0.01, 0.6), 3)
        sampler = llama.llama_sampler_init_xtc(1.0, threshold, 0, 1)
        yield {"logits": logits, "threshold": threshold, "kept": sorted(applied(llama, sampler, logits))}


def main():
    library = os.environ.get("WHINCHAT_LLAMA")
    if not library:
        return print("repetition: WHINCHAT_LLAMA names no libllama, nothing is written")
    llama = ctypes.CDLL(library)
    number, count = ctypes.c_float, ctypes.c_int32
    llama.llama_sampler_init_dry.argtypes = [ctypes.c_void_p, number, number, count, count, ctypes.c_void_p, ctypes.c_size_t]
    llama.llama_sampler_init_xtc.argtypes = [number, number, ctypes.c_size_t, ctypes.c_uint32]
    for init in [llama.llama_sampler_init_dry, llama.llama_sampler_init_xtc]:
        init.restype = ctypes.c_void_p
    llama.llama_sampler_accept.argtypes = [ctypes.c_void_p, count]
    llama.llama_sampler_apply.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    random.seed(5)
    rows = {name: ",\n".join(json.dumps(case) for case in cases(llama)) for name, cases in [("dry", dry), ("xtc", xtc)]}
    OUT.write_text(f'{{"dry": [\n{rows["dry"]}\n],\n"xtc": [\n{rows["xtc"]}\n]}}\n')


main()
