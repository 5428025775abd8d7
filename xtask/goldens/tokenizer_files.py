# Encodes texts with SentencePiece and tiktoken and writes hashes of the ids: crates/text/tests/text/fixtures/tokenizers.json.
# Vocabularies and texts stay where they are (shared assets); a few hostile texts are carried in the fixture.
import hashlib
import json
import struct
from pathlib import Path

import sentencepiece
import tiktoken
from tiktoken.load import load_tiktoken_bpe

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT.parent / "shared" / "assets"
OUT = ROOT / "crates" / "text" / "tests" / "text" / "fixtures" / "tokenizers.json"
LONGEST = 150_000

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?",
)
LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k_base": "|".join([*CASED, r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", LINES]),
    "llama3": "|".join([CONTRACTIONS, r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", LINES]),
}

CARRIED = [
    "",
    " ",
    "  leading and trailing  ",
    "\n\n\t tabs\tand\r\nlines \n \n",
    "it's IT'S we'Ll 'ſ don’t",
    "12345 3.14 ½ ٣٤",
    "</s><s>[INST] [REFERENCE_DOC_7] x [REFERENCE_DOC_7] <|endoftext|><|eot_id|>",
    "▁▁escaped▁spaces ▁",
    "e\u0301\u0301 \u200b\ufeff\u00a0x\u3000y 👍🏽👨‍👩‍👧 𝔘𝔫𝔦",
    "a" * 400 + " " * 400 + "é" * 100,
]


def texts():
    yield from ((f"carried {i}", text) for i, text in enumerate(CARRIED))
    names = ["wiki.test.raw", "code.hpp.txt", "tinyshakespeare.txt"]
    names += sorted(f"lipsum/{path.name}" for path in (ASSETS / "text" / "lipsum").iterdir())
    for name in names:
        text = (ASSETS / "text" / name).read_bytes().decode("utf-8")
        yield name, text[:LONGEST]


def digest(ids):
    return hashlib.sha256(b"".join(struct.pack("<I", id) for id in ids)).hexdigest()[:32]


def encoders():
    for path in sorted((ASSETS / "tokenizers" / "sentencepiece").iterdir()):
        yield f"sentencepiece/{path.name}", sentencepiece.SentencePieceProcessor(model_file=str(path)).encode
    for path in sorted((ASSETS / "tokenizers" / "tiktoken").iterdir()):
        name = path.name.removesuffix(".tiktoken")
        ranks = load_tiktoken_bpe(str(path))
        encoding = tiktoken.Encoding(name, pat_str=PATTERNS[name], mergeable_ranks=ranks, special_tokens={})
        yield f"tiktoken/{path.name}", encoding.encode_ordinary


def main():
    found = {name: {title: digest(encode(text)) for title, text in texts()} for name, encode in encoders()}
    OUT.write_text(json.dumps({"longest": LONGEST, "carried": CARRIED, "hashes": found}, indent=1) + "\n")


main()
