# The codebooks of the IQ types: crates/tensor/src/codec/grids.rs, from the PyPI package gguf, which has them from ggml.

import pathlib

from gguf import quants

OUT = pathlib.Path(__file__).parents[2] / "crates/tensor/src/codec/grids.rs"
DIGITS = 112

HEAD = """//! The entries of the codebooks of the IQ types, in hexadecimal. They are ggml's (MIT licence, copyright 2023-2026 the ggml authors),
//! packed as in its Python package `gguf`. `cargo xtask goldens codebooks` writes this file.
"""


def main():
    books = [("IQ1", quants.IQ1_S)]
    books += [(name, getattr(quants, name)) for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")]
    OUT.write_text(HEAD + "".join(table(name, kind.grid_hex.decode()) for name, kind in books))


def table(name, digits):
    lines = [digits[i : i + DIGITS] for i in range(0, len(digits), DIGITS)]
    text = "\\\n    ".join(lines)
    return f'\npub(super) const {name}: &[u8] = b"\\\n    {text}";\n'


main()
