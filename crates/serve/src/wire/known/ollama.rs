//! Ollama's requests.

use super::shared::{OTHER_SAMPLING, SAMPLING};
use super::{Field, Request, honoured, ignored, refused};

pub(super) const ALL: &[&Request] = &[&CHAT, &MESSAGE, &GENERATE, &OPTIONS, &EMBED, &EMBEDDINGS, &SHOW];

const OLLAMA: &str = "Ollama";

/// `POST /api/chat`.
pub(crate) const CHAT: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/chat",
    groups: &[
        COMMON,
        &[
            honoured("messages", "OllamaMessage[]", "without any nothing is generated"),
            honoured("tools", "any[]", ""),
            refused("template", ""),
        ],
    ],
};

/// What is in `messages`.
pub(crate) const MESSAGE: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/chat, in `messages`",
    groups: &[&[
        honoured("role", "string", "required"),
        honoured("content", "string", ""),
        honoured("thinking", "string", ""),
        honoured(
            "tool_calls",
            "{ id?: string, function: { name: string, arguments?: object } }[]",
            "each a `function` with a `name` and `arguments`, an object",
        ),
        honoured("tool_name", "string", "of a result"),
        honoured("name", "string", "what `tool_name` was before"),
        honoured("tool_call_id", "string", "of a result"),
        refused("images", ""),
    ]],
};

/// `POST /api/generate`.
pub(crate) const GENERATE: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/generate",
    groups: &[
        COMMON,
        &[
            honoured("prompt", "string", "without it nothing is generated"),
            honoured("suffix", "string", "by the model's own tokens for a gap; a model without them refuses it"),
            honoured("system", "string", "not with `raw`"),
            honoured("raw", "boolean", ""),
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
    honoured("model", "string", "absent or empty: the first one"),
    honoured("stream", "boolean", "true where nothing is said"),
    honoured("think", "boolean | string", ""),
    honoured("format", "'json' | '' | object", "`json` or a schema"),
    honoured("logprobs", "boolean", ""),
    honoured("top_logprobs", "integer(0..20)", "with `logprobs`"),
    honoured("keep_alive", "number | string", "how long the model stays in memory"),
    honoured("options", "OllamaOptions", ""),
    ignored("truncate", "a conversation that is too long is refused"),
    ignored("shift", "a context is never shifted"),
];

/// What is in `options`.
pub(crate) const OPTIONS: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/chat and POST /api/generate, in `options`",
    groups: &[
        &[
            honoured("num_predict", "integer(-2..)", "−1 and −2: what the context leaves"),
            honoured("stop", "string | string[]", ""),
        ],
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
pub(crate) const EMBED: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/embed",
    groups: &[
        &[
            honoured("model", "string", "absent or empty: the first one"),
            honoured("input", "string | (string | integer(0..)[] | integer(0..))[]", "required"),
            honoured("truncate", "boolean", "true where nothing is said"),
            honoured("dimensions", "integer(1..)", ""),
        ],
        VECTORS,
    ],
};

/// `POST /api/embeddings`.
pub(crate) const EMBEDDINGS: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/embeddings",
    groups: &[
        &[
            honoured("model", "string", "absent or empty: the first one"),
            honoured("prompt", "string | (string | integer(0..)[] | integer(0..))[]", "required"),
            honoured("dimensions", "integer(1..)", ""),
        ],
        VECTORS,
    ],
};

const VECTORS: &[Field] = &[
    honoured("pooling", "'mean' | 'cls' | 'last'", "`mean`, `cls` or `last`; not Ollama's"),
    ignored("options", "none of them changes a vector"),
    honoured("keep_alive", "number | string", "how long the model stays in memory"),
];

/// `POST /api/show`.
pub(crate) const SHOW: Request = Request {
    api: OLLAMA,
    endpoint: "POST /api/show",
    groups: &[&[
        honoured("model", "string", "absent or empty: the first one"),
        honoured("name", "string", "what `model` was before"),
        refused("system", ""),
        refused("template", ""),
        ignored("options", ""),
        ignored("verbose", "lists of tokens are never told"),
    ]],
};
