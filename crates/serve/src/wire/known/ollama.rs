//! Ollama's requests.

use super::shared::{OTHER_SAMPLING, SAMPLING};
use super::{Field, Request, honoured, ignored, refused};

pub(super) const ALL: &[&Request] = &[&CHAT, &MESSAGE, &GENERATE, &OPTIONS, &EMBED, &EMBEDDINGS, &SHOW];

const OLLAMA: &str = "Ollama";

/// `POST /api/chat`.
pub(in crate::wire) const CHAT: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/chat",
    groups: &[
        COMMON,
        &[honoured("messages", "without any nothing is generated"), honoured("tools", ""), refused("template", "")],
    ],
};

/// What is in `messages`.
pub(in crate::wire) const MESSAGE: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/chat, in `messages`",
    groups: &[&[
        honoured("role", "required"),
        honoured("content", ""),
        honoured("thinking", ""),
        honoured("tool_calls", "each a `function` with a `name` and `arguments`, an object"),
        honoured("tool_name", "of a result"),
        honoured("name", "what `tool_name` was before"),
        honoured("tool_call_id", "of a result"),
        refused("images", ""),
    ]],
};

/// `POST /api/generate`.
pub(in crate::wire) const GENERATE: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/generate",
    groups: &[
        COMMON,
        &[
            honoured("prompt", "without it nothing is generated"),
            honoured("suffix", "by the model's own tokens for a gap; a model without them refuses it"),
            honoured("system", "not with `raw`"),
            honoured("raw", ""),
            refused("context", "`/api/chat` goes on from messages"),
            refused("images", ""),
            refused("template", ""),
            refused("width", ""),
            refused("height", ""),
            refused("steps", ""),
        ],
    ],
};

const COMMON: &[Field] = &[
    honoured("model", "absent or empty: the first one"),
    honoured("stream", "true where nothing is said"),
    honoured("think", ""),
    honoured("format", "`json` or a schema"),
    honoured("logprobs", ""),
    honoured("top_logprobs", "with `logprobs`"),
    honoured("keep_alive", "how long the model stays in memory"),
    honoured("options", ""),
    ignored("truncate", "a conversation that is too long is refused"),
    ignored("shift", "a context is never shifted"),
];

/// What is in `options`.
pub(in crate::wire) const OPTIONS: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/chat and POST /api/generate, in `options`",
    groups: &[
        &[honoured("num_predict", "−1 and −2: what the context leaves"), honoured("stop", "")],
        SAMPLING,
        OTHER_SAMPLING,
        &[
            ignored("mirostat_tau", "with `mirostat`"),
            ignored("mirostat_eta", "with `mirostat`"),
            ignored("num_ctx", "`serve --context` bounds every sequence; memory is taken as sequences grow"),
            ignored("num_keep", "a context is never shifted"),
            ignored("num_batch", ""),
            ignored("num_gpu", ""),
            ignored("main_gpu", ""),
            ignored("num_thread", "no answer depends on it: `serve --threads`"),
            ignored("numa", ""),
            ignored("low_vram", ""),
            ignored("f16_kv", ""),
            ignored("logits_all", ""),
            ignored("vocab_only", ""),
            ignored("use_mmap", ""),
            ignored("use_mlock", ""),
            ignored("embedding_only", ""),
        ],
    ],
};

/// `POST /api/embed`.
pub(in crate::wire) const EMBED: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/embed",
    groups: &[
        &[
            honoured("model", "absent or empty: the first one"),
            honoured("input", "required"),
            honoured("truncate", "true where nothing is said"),
            honoured("dimensions", ""),
        ],
        VECTORS,
    ],
};

/// `POST /api/embeddings`.
pub(in crate::wire) const EMBEDDINGS: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/embeddings",
    groups: &[
        &[
            honoured("model", "absent or empty: the first one"),
            honoured("prompt", "required"),
            honoured("dimensions", ""),
        ],
        VECTORS,
    ],
};

const VECTORS: &[Field] = &[
    honoured("pooling", "`mean`, `cls` or `last`; not Ollama's"),
    ignored("options", "none of them changes a vector"),
    honoured("keep_alive", "how long the model stays in memory"),
];

/// `POST /api/show`.
pub(in crate::wire) const SHOW: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/show",
    groups: &[&[
        honoured("model", "absent or empty: the first one"),
        honoured("name", "what `model` was before"),
        refused("system", ""),
        refused("template", ""),
        ignored("options", ""),
        ignored("verbose", "lists of tokens are never told"),
    ]],
};
