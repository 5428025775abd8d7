# The trained network as a Hugging Face folder: config, weights, tokenizer, template. `whinchat convert` makes the GGUF of it.
import json
from pathlib import Path

from safetensors.torch import save_file

from .tokenizer import SPECIAL


def export(network, tokenizer, folder):
    """Writes the folder that `transformers` and Whinchat read."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": parameter.detach().float().cpu().contiguous() for name, parameter in network.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (Path(__file__).parents[1] / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template)
    write(folder / "config.json", config(network.s, tokenizer))
    write(folder / "generation_config.json", {"do_sample": True, "temperature": 0.3, "top_p": 0.95, **ends(tokenizer)})
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": SPECIAL[0], "add_bos_token": False, "model_max_length": network.s.context,
        "clean_up_tokenization_spaces": False,
    })


def config(s, tokenizer):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "_name_or_path": "whinchat-demo", "vocab_size": s.vocabulary, "hidden_size": s.hidden,
        "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads, "head_dim": s.head, "intermediate_size": s.feed_forward,
        "max_position_embeddings": s.context, "rope_theta": s.theta, "rms_norm_eps": s.epsilon, "hidden_act": "silu", "tie_word_embeddings": True,
        "attention_bias": False, "mlp_bias": False, "torch_dtype": "float32", **ends(tokenizer),
    }


def ends(tokenizer):
    return {"eos_token_id": tokenizer.token_to_id("<|end|>"), "pad_token_id": tokenizer.token_to_id(SPECIAL[0])}


def write(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")
