# The model's own byte-level BPE vocabulary, learned from the corpus, and the chat template that makes text of messages.
import json
from pathlib import Path

import jinja2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus

VOCABULARY = 2048
SPECIAL = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"]
# Tokens of their own that stay visible in the text.
VISIBLE = ["<tool_call>", "</tool_call>"]
# Qwen2's pre-tokenizer: words with the space before them, each digit alone.
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def template():
    """`render(messages, tools)` by the chat template that the model file carries."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json
    compiled = environment.from_string((Path(__file__).parents[1] / "chat_template.jinja").read_text())
    return lambda messages, tools: compiled.render(messages=messages, tools=tools)


def to_json(value):
    return json.dumps(value, ensure_ascii=False)


def learn(conversations):
    """The tokenizer of the first `conversations` conversations."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    added = SPECIAL + VISIBLE
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - len(added), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator((m["content"] for seed in range(conversations) for m in corpus.conversation(seed)[0]), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in VISIBLE])
    return tokenizer
