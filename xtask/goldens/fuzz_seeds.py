# Writes the seeds of the fuzz targets that are no plain text: small model files and tokenizers, made with the packages
# gguf, safetensors and tokenizers.
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = Path(__file__).resolve().parents[2] / "fuzz/corpus"
RNG = np.random.default_rng(1)
TEXT = ["hello world", "hello  there, wörld 123", "the cat sat on the mat\n"] * 3
PIECES = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(4)] + ["▁", "a", "b", "▁a", "ab", "<|im_end|>"]


def path(target, name):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def rand(*shape):
    return RNG.standard_normal(shape).astype(np.float32) * 0.1


def llama(writer):
    """One layer of a llama with 2 heads of 4, in GGUF's names."""
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(4)
    shapes = {"attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8)}
    shapes |= {"ffn_gate": (32, 8), "ffn_up": (32, 8), "attn_norm": (8,), "ffn_norm": (8,)}
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", rand(*shape))
    down = gguf.quants.quantize(rand(8, 32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("blk.0.ffn_down.weight", down, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("token_embd.weight", rand(len(PIECES), 8).astype(np.float16))
    writer.add_tensor("output_norm.weight", rand(8))


def vocabulary(writer):
    writer.add_tokenizer_model("llama")
    writer.add_token_list(PIECES)
    writer.add_token_scores([-float(i) for i in range(len(PIECES))])
    writer.add_token_types([2, 3, 3, 6, 6, 6, 6] + [1] * 5 + [3])
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")


def kinds(writer):
    writer.add_uint8("k.u8", 1)
    writer.add_int64("k.i64", -1)
    writer.add_float64("k.f64", 0.5)
    writer.add_bool("k.bool", True)
    writer.add_array("k.list", [1, 2, 3])
    writer.add_uint32("general.alignment", 64)
    writer.data_alignment = 64
    writer.add_tensor("odd", RNG.integers(0, 9, (2, 66)).astype(np.uint8), raw_dtype=gguf.GGMLQuantizationType.IQ2_XXS)


def write_gguf(name, *parts):
    writer = gguf.GGUFWriter(path("gguf", name), "llama")
    for part in parts:
        part(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors():
    names = {"self_attn.q_proj": (8, 8), "self_attn.k_proj": (4, 8), "self_attn.v_proj": (4, 8)}
    names |= {"self_attn.o_proj": (8, 8), "mlp.gate_proj": (8, 8), "mlp.up_proj": (8, 8), "mlp.down_proj": (8, 8)}
    names |= {"input_layernorm": (8,), "post_attention_layernorm": (8,)}
    tensors = {f"model.layers.0.{name}.weight": rand(*shape) for name, shape in names.items()}
    tensors |= {"model.embed_tokens.weight": rand(11, 8), "model.norm.weight": rand(8), "lm_head.weight": rand(11, 8)}
    config = dict(model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=8, num_hidden_layers=1)
    config |= dict(num_attention_heads=2, num_key_value_heads=1, intermediate_size=8, vocab_size=11)
    config |= dict(max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu", eos_token_id=[2])
    config |= dict(tie_word_embeddings=False)
    path("safetensors", "llama").write_bytes(json.dumps(config).encode() + b"\n" + save(tensors))
    odd = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": np.zeros((0, 4), np.float16), "c": np.float64([1])}
    path("safetensors", "types").write_bytes(save(odd, metadata={"format": "np"}))


def write_tokenizer(name, model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for part, value in parts.items():
        setattr(tokenizer, part, value)
    tokenizer.train_from_iterator(TEXT, trainer)
    path("tokenizer_json", name).write_text(tokenizer.to_str(pretty=False))


def write_tokenizers():
    special = ["<s>", "</s>"]
    write_tokenizer(
        "bpe",
        models.BPE(),
        trainers.BpeTrainer(vocab_size=60, special_tokens=special, show_progress=False),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
        post_processor=processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)]),
    )
    write_tokenizer(
        "unigram",
        models.Unigram(),
        trainers.UnigramTrainer(vocab_size=40, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False),
        normalizer=normalizers.NFKC(),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        decoder=decoders.Metaspace(),
    )
    write_tokenizer(
        "wordpiece",
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=50, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False),
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


write_gguf("llama", llama, vocabulary)
write_gguf("vocabulary", vocabulary)
write_gguf("kinds", kinds)
write_safetensors()
write_tokenizers()
