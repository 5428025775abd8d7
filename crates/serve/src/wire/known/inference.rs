//! The requests that vLLM, llama.cpp, Jina and Cohere have beside OpenAI's, and this server's own.

use super::openai::CHATS;
use super::{Field, Request, honoured, ignored, refused};

pub(super) const ALL: &[&Request] = &[&TOKENIZE, &DETOKENIZE, &APPLY_TEMPLATE, &RERANK, &SCORE, &SESSIONS];

const OTHERS: &str = "Texts, tokens, scores and sessions";

/// `POST /tokenize`.
pub(in crate::wire) const TOKENIZE: Request = Request {
    api: OTHERS,
    endpoint: "POST /tokenize",
    groups: &[
        &[
            honoured("prompt", "vLLM's; this, `content` or `messages` is required"),
            honoured("content", "llama.cpp's"),
            honoured("add_special_tokens", "vLLM's; true where nothing is said, with `prompt`"),
            honoured("add_special", "llama.cpp's; false where nothing is said, with `content`"),
            honoured("parse_special", ""),
            honoured("with_pieces", ""),
            honoured("return_token_strs", ""),
        ],
        CHATS,
    ],
};

/// `POST /detokenize`.
pub(in crate::wire) const DETOKENIZE: Request = Request {
    api: OTHERS,
    endpoint: "POST /detokenize",
    groups: &[&[honoured("model", "absent, empty or `default`: the first one"), honoured("tokens", "required")]],
};

/// `POST /apply_template`.
pub(in crate::wire) const APPLY_TEMPLATE: Request =
    Request { api: OTHERS, endpoint: "POST /apply_template", groups: &[CHATS] };

/// `POST /v1/rerank`.
pub(in crate::wire) const RERANK: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/rerank",
    groups: &[
        &[
            honoured("query", "required"),
            honoured("documents", "required: texts, or objects with a `text`"),
            honoured("top_n", "0 is all"),
            honoured("return_documents", "true where nothing is said"),
            refused("rank_fields", ""),
            refused("max_chunks_per_doc", ""),
            refused("max_tokens_per_doc", ""),
        ],
        JUDGED,
    ],
};

/// `POST /v1/score`.
pub(in crate::wire) const SCORE: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/score",
    groups: &[
        &[
            honoured("text_1", "required"),
            honoured("text_2", "required"),
            honoured("queries", "another name for `text_1`"),
            honoured("documents", "another name for `text_2`"),
        ],
        JUDGED,
    ],
};

const JUDGED: &[Field] = &[
    honoured("model", "absent, empty or `default`: the first one"),
    honoured("instruction", "for models that take one"),
    refused("truncate_prompt_tokens", ""),
    ignored("user", "texts are judged in the order in which they are asked for"),
    ignored("priority", "texts are judged in the order in which they are asked for"),
];

/// `POST /v1/sessions`.
pub(in crate::wire) const SESSIONS: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/sessions",
    groups: &[
        &[
            honoured("name", "required"),
            honoured("prompt", "this or `messages` is required"),
            honoured("cache_salt", ""),
        ],
        CHATS,
    ],
};
