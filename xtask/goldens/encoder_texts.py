#!/usr/bin/env python3
"""Vectors of texts and scores of pairs by sentence-transformers, of tiny random encoders with a WordPiece vocabulary.

Writes tests/data/encoder and tests/data/reranker: the models, and expected.json beside them.
"""
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from architectures_encoders import BASE, JUDGE, saved_shapes
from _models import numbers, values

DATA = Path(__file__).parents[2] / "tests/data"
TEXTS = ["The whinchat is a small bird.", "1 2 3 4", "", "Übermäßig schön: 鸟!", "It flies south over the sea, and it eats insects. " * 3]
PAIRS = [["Where do birds fly?", "It flies south over the sea."], ["Where do birds fly?", "1 2 3 4"],
         ["birds", "It flies south over the sea, and it eats insects. " * 3]]
PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] the is a it and over sea south small bird birds flies fly eats do where ##s ##in ##chat w ##h".split()
MOST = 24


def main():
    pieces = PIECES + list("bcdefghijklmnopqrstuvxyz0123456789.,?!:鸟") + [f"##{c}" for c in "abcdefgijklmnopqrtuvwxyz0123456789"]
    pieces = list(dict.fromkeys(pieces))
    for name, saved, more in (("encoder", "BertModel", {}), ("reranker", "BertForSequenceClassification", JUDGE)):
        folder = DATA / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "1_Pooling").mkdir(parents=True)
        config = BASE | more | {"model_type": "bert", "architectures": [saved], "vocab_size": len(pieces)}
        (folder / "config.json").write_text(json.dumps(config))
        made = {n: torch.tensor(values(n, s, *numbers(config, n, s))) for n, s in saved_shapes(config).items()}
        made = {n: d.bfloat16() if d.ndim > 1 else d for n, d in made.items()}
        save_file(made, folder / "model.safetensors", {"format": "pt"})
        tokenizer(pieces).save(str(folder / "tokenizer.json"))
        roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        own = roles | {"tokenizer_class": "BertTokenizer", "model_max_length": MOST}
        (folder / "tokenizer_config.json").write_text(json.dumps(own))
        if name == "encoder":
            described(folder)
            model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
            found = {"texts": TEXTS, "vectors": model.encode(TEXTS, normalize_embeddings=True).tolist()}
        else:
            (folder / "1_Pooling").rmdir()
            (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": MOST, "do_lower_case": False}))
            model = CrossEncoder(str(folder), device="cpu", max_length=MOST, model_kwargs={"dtype": torch.float32})
            found = {"pairs": PAIRS, "scores": model.predict(PAIRS).tolist()}
        (folder / "expected.json").write_text(json.dumps(found) + "\n")


def tokenizer(pieces):
    made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", pieces.index("[CLS]")), ("[SEP]", pieces.index("[SEP]"))]
    )
    return made


def described(folder):
    """How sentence-transformers makes vectors of it."""
    kind = "sentence_transformers.models."
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{kind}Transformer"},
               {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": MOST, "do_lower_case": False}))
    pooling = {"word_embedding_dimension": BASE["hidden_size"], "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))


if __name__ == "__main__":
    main()
