#!/usr/bin/env python3
"""Vectors and scores as the makers of Qwen3-Embedding and Qwen3-Reranker compute them with transformers, of tiny random models with a
vocabulary of Qwen's kind.

Writes tests/data/qwen3-embedding, qwen3-reranker and qwen3-reranker-seq-cls (the reranker with a head of one label, as
sentence-transformers' users save it): the models, and expected.json beside them; and qwen3-embedding.gguf and qwen3-reranker.gguf, the
same models as llama.cpp's converter writes them, the vocabulary by the same package.
"""
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from _models import numbers, saved_shapes, values

DATA = Path(__file__).parents[2] / "tests/data"
TASK = "Given a web search query, retrieve relevant passages that answer the query"
OTHER = "Find what contradicts the query"
PREFIX = ('<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the '
          'answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n')
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
LONG = "It flies south over the sea, and it eats insects. " * 40
TEXTS = ["The whinchat is a small bird.", f"Instruct: {TASK}\nQuery:Where do birds fly?", "1 2 3 4", "A bird.\n", LONG]
PAIRS = [("Where do birds fly?", "It flies south over the sea."), ("Where do birds fly?", "1 2 3 4\n"), ("birds", ""),
         ("yes or no?", "Hello, world! How are you today? "), ("birds", LONG)]
# Qwen's pre-tokenizer.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CONTROL, ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["<think>", "</think>"]
# A prompt for ranking, of a conversation whose messages are named by what they are.
TEMPLATE = (
    "{%- set instruct = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first | default('" + TASK + "') -%}\n"
    "{%- set query = messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first -%}\n"
    "{%- set document = messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first -%}\n"
    + PREFIX + "<Instruct>: {{ instruct }}\n<Query>: {{ query }}\n<Document>: {{ document }}" + SUFFIX + "\n"
)
MOST = 224
BASE = {"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": MOST, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}, "hidden_act": "silu"}


def tokenizer(ends):
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    text = [PREFIX, f"<Instruct>: {TASK}\n<Query>: \n<Document>: ", "yes no " * 9, "yes\nno\n" * 9, *TEXTS[:-1], LONG[:50]]
    for word in CONTROL + ADDED:
        text = [line.replace(word, "\n") for line in text]
    made.train_from_iterator(text * 2, trainers.BpeTrainer(vocab_size=440, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    made.add_special_tokens(CONTROL)
    made.add_tokens(ADDED)
    plain = processors.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)
    end = [("<|endoftext|>", made.token_to_id("<|endoftext|>"))]
    after = processors.TemplateProcessing("$A <|endoftext|>", "$A <|endoftext|> $B:1 <|endoftext|>:1", end)
    made.post_processor = processors.Sequence([plain, after]) if ends else plain
    return made


def save(name, saved, prefix, tok, more):
    """The files of a model, but for what says how it is used."""
    folder = DATA / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    roles = {f"{role}_token_id": tok.token_to_id("<|endoftext|>") for role in ("bos", "eos", "pad")}
    config = BASE | more | roles | {"architectures": [saved], "vocab_size": tok.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config))
    made = weights(config, tok)
    files = {n if prefix else n.removeprefix("model."): torch.tensor(d).bfloat16() for n, d in made.items()}
    save_file(files, folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tok.save(str(folder / "tokenizer.json"))
    roles = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    own = roles | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MOST, "padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    return folder, config, made


def weights(config, tok):
    shapes = saved_shapes({k: v for k, v in config.items() if k != "num_labels"})
    made = {n: values(n, s, *numbers(config, n, s)) for n, s in shapes.items()}
    # So that rows depend on what was before, and no score is quite 0 or 1.
    made["model.embed_tokens.weight"] *= np.float32(0.25)
    if config["architectures"][0].endswith("SequenceClassification"):
        yes, no = (tok.token_to_id(word) for word in ("yes", "no"))
        made["score.weight"] = made["model.embed_tokens.weight"][[yes]] - made["model.embed_tokens.weight"][[no]]
    return {n: torch.tensor(d).bfloat16().float().numpy() for n, d in made.items()}


def embedding():
    tok = tokenizer(True)
    folder, config, made = save("qwen3-embedding", "Qwen3ForCausalLM", False, tok, {})
    (folder / "1_Pooling").mkdir()
    modes = {"cls_token": False, "mean_tokens": False, "max_tokens": False, "lasttoken": True}
    pooling = {"word_embedding_dimension": BASE["hidden_size"]} | {f"pooling_mode_{k}": v for k, v in modes.items()} | {"include_prompt": True}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    prompts = {"prompts": {"query": f"Instruct: {TASK}\nQuery:", "document": ""}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts | {"similarity_fn_name": "cosine"}))
    found = {"texts": TEXTS} | vectors(folder)
    (folder / "expected.json").write_text(json.dumps(found) + "\n")
    write("qwen3-embedding", folder, (config, made), lambda writer: writer.add_pooling_type(gguf.PoolingType.LAST))


@torch.no_grad()
def vectors(folder):
    tok, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    out = {"tokens": [], "vectors": [], "first8": []}
    for text in TEXTS:
        batch = tok([text], padding=True, truncation=True, max_length=MOST, return_tensors="pt")
        assert batch["input_ids"][0, -1] == tok.convert_tokens_to_ids("<|endoftext|>")
        last = model(**batch).last_hidden_state[:, -1]
        out["tokens"].append(batch["input_ids"].shape[1])
        out["vectors"].append(F.normalize(last, p=2, dim=1)[0].tolist())
        out["first8"].append(F.normalize(last[:, :8], p=2, dim=1)[0].tolist())
    apart = F.cosine_similarity(*(torch.tensor(out["vectors"])[[0, 2]]), dim=0)
    assert apart < 0.98, apart
    return out


def reranker():
    tok = tokenizer(False)
    folder, config, made = save("qwen3-reranker", "Qwen3ForCausalLM", True, tok, {})
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    yes, no = tok.token_to_id("yes"), tok.token_to_id("no")

    def score(ids):
        last = model(ids).logits[:, -1, :]
        return F.log_softmax(torch.stack([last[:, no], last[:, yes]], dim=1), dim=1)[0, 1].exp().item()

    judged(folder, score)

    def rank(writer):
        writer.add_pooling_type(gguf.PoolingType.RANK)
        writer.add_classifier_output_labels(["yes", "no"])
        prompt = PREFIX + f"<Instruct>: {TASK}\n<Query>: {{query}}\n<Document>: {{document}}" + SUFFIX
        writer.add_chat_template([{"name": "rerank", "template": prompt}])
        rows = made["model.embed_tokens.weight"][[yes, no]]
        writer.add_tensor("cls.output.weight", rows)

    write("qwen3-reranker", folder, (config, made), rank)
    head = {"num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    folder, *_ = save("qwen3-reranker-seq-cls", "Qwen3ForSequenceClassification", True, tok, head)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    judged(folder, lambda ids: torch.sigmoid(classifier(ids).logits[0, 0]).item())


@torch.no_grad()
def judged(folder, score):
    tok = AutoTokenizer.from_pretrained(folder)
    prefix, suffix = (tok.encode(text, add_special_tokens=False) for text in (PREFIX, SUFFIX))

    def one(pair, task):
        text = f"<Instruct>: {task}\n<Query>: {pair[0]}\n<Document>: {pair[1]}"
        cut = tok([text], truncation="longest_first", return_attention_mask=False, max_length=MOST - len(prefix) - len(suffix))
        ids = prefix + cut["input_ids"][0] + suffix
        return len(ids), score(torch.tensor([ids]))

    counts, scores = zip(*(one(pair, TASK) for pair in PAIRS))
    other = one(PAIRS[0], OTHER)[1]
    assert counts[-1] == MOST > max(counts[:-1]) and 0.02 < min(scores) and max(scores) < 0.98, (counts, scores)
    assert np.std(scores) > 0.05 and abs(other - scores[0]) > 0.02, (scores, other)
    found = {"pairs": PAIRS, "tokens": counts, "scores": scores, "instruction": OTHER, "instructed": other}
    (folder / "expected.json").write_text(json.dumps(found) + "\n")


def write(name, folder, model, more):
    """As llama.cpp's converter."""
    config, made = model
    writer = gguf.GGUFWriter(DATA / f"{name}.gguf", "qwen3")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(MOST)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    vocabulary(writer, folder)
    more(writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for tensor, data in made.items():
        writer.add_tensor(names.get_name(tensor, try_suffixes=(".weight",)), data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary(writer, folder):
    tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pieces = [tok.id_to_token(i) for i in range(tok.get_vocab_size())]
    kind = {word: gguf.TokenType.CONTROL for word in CONTROL} | {word: gguf.TokenType.USER_DEFINED for word in ADDED}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(pieces)
    writer.add_token_types([kind.get(piece, gguf.TokenType.NORMAL) for piece in pieces])
    gguf.SpecialVocab(folder, load_merges=True).add_to_gguf(writer)


if __name__ == "__main__":
    embedding()
    reranker()
