//! Architectures that Whinchat does not run, and what they need that it does not have.

/// Names in GGUF files and config.json, and what is missing.
pub(crate) const REFUSED: &[(&[&str], &str)] = &[
    (&["mamba", "falcon_mamba", "jamba", "plamo2", "zamba"], "the selective scan of the first Mamba"),
    (&["bloom", "mpt", "refact", "jais", "jina-bert-v2"], "positions as a bias of scores (ALiBi)"),
    (
        &["gpt2", "gpt_bigcode", "starcoder", "opt", "gpt_neo", "openai-gpt", "biogpt", "xglm"],
        "embeddings of positions, or other attention from before Llama",
    ),
    (&["gptj", "codegen", "persimmon", "openelm", "deci", "plamo"], "names and layouts that no row describes"),
    (&["rwkv", "rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"], "the recurrence of RWKV"),
    (&["recurrent_gemma", "xlstm", "zamba2", "olmo_hybrid", "qwen4_exp", "qwen4exp"], "a recurrence of its own"),
    (&["minimax", "minimax-01", "bailing_hybrid", "bailingmoe3", "kimi-k3"], "linear attention of its own"),
    (&["llama4", "llama4_text"], "attention in chunks of positions"),
    (
        &[
            "deepseek_v32",
            "deepseek32",
            "deepseek_v4",
            "deepseek4",
            "glm_moe_dsa",
            "glm-dsa",
            "minimax_m3_vl_text",
            "minimax-m3",
        ],
        "attention to the positions that an indexer picks",
    ),
    (&["mimo_v2_flash", "mimo2", "step35"], "values of another width than keys, not latent"),
    (&["phimoe"], "a router that masks experts by their distance from the best"),
    (&["kolibri1"], "a router that picks before its sigmoid and weighs after it"),
    (&["dbrx", "grok"], "bounds on queries, keys and values, or on the router's scores"),
    (&["longcat_flash"], "experts that compute nothing"),
    (&["arctic", "smallthinker", "grovemoe"], "experts beside or before attention"),
    (&["bitnet"], "norms within attention and feed-forward parts, beside ternary weights"),
    (&["nanbeige", "dory", "hrm_text", "hrm-text"], "layers that run several times"),
    (&["dream", "llada", "llada-moe", "rnd1"], "text that is not written from left to right (diffusion)"),
    (&["gemma4-assistant", "gemma4_assistant", "eagle3", "dflash"], "another model that they draft for"),
    (&["mllama", "cogvlm", "chameleon", "emu3"], "images"),
    (
        &["t5", "t5encoder", "bart", "whisper"],
        "attention of one text to another, or positions as a bias that is learned",
    ),
];

/// What an architecture of that name needs that Whinchat does not have, if that is known.
pub(super) fn missing(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(names, _)| names.contains(&name)).map(|(_, missing)| *missing)
}
