//! The requests that vLLM, llama.cpp, Jina and Cohere have beside OpenAI's, and this server's own.

use super::openai::{CHATS, SAID};
use super::{Field, Request, honoured, ignored, refused};

pub(super) const ALL: &[&Request] =
    &[&TOKENIZE, &DETOKENIZE, &APPLY_TEMPLATE, &RERANK, &SCORE, &SESSIONS, &RESTORE, &FORGET, &SCHEDULER, &FEEDBACK];

const OTHERS: &str = "Texts, tokens, scores and sessions";

/// `POST /tokenize`.
pub(crate) const TOKENIZE: Request = Request {
    api: OTHERS,
    endpoint: "POST /tokenize",
    groups: &[
        &[
            honoured("prompt", "string", "vLLM's; this, `content` or `messages` is required"),
            honoured("content", "string", "llama.cpp's"),
            honoured("messages", "ChatMessage[]", "a conversation; parts of content other than text are refused"),
            honoured("add_special_tokens", "boolean", "vLLM's; true where nothing is said, with `prompt`"),
            honoured("add_special", "boolean", "llama.cpp's; false where nothing is said, with `content`"),
            honoured("parse_special", "boolean", ""),
            honoured("with_pieces", "boolean", ""),
            honoured("return_token_strs", "boolean", ""),
        ],
        CHATS,
    ],
};

/// `POST /detokenize`.
pub(crate) const DETOKENIZE: Request = Request {
    api: OTHERS,
    endpoint: "POST /detokenize",
    groups: &[&[
        honoured("model", "string", "absent, empty or `default`: the first one"),
        honoured("tokens", "integer(0..)[]", "required"),
    ]],
};

/// `POST /apply_template`.
pub(crate) const APPLY_TEMPLATE: Request =
    Request { api: OTHERS, endpoint: "POST /apply_template", groups: &[SAID, CHATS] };

/// `POST /v1/rerank`.
pub(crate) const RERANK: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/rerank",
    groups: &[
        &[
            honoured("query", "string", "required"),
            honoured("documents", "(string | { text: string })[]", "required: texts, or objects with a `text`"),
            honoured("top_n", "integer(0..)", "0 is all"),
            honoured("return_documents", "boolean", "true where nothing is said"),
            refused("rank_fields", ""),
            refused("max_chunks_per_doc", ""),
            refused("max_tokens_per_doc", ""),
        ],
        JUDGED,
    ],
};

/// `POST /v1/score`.
pub(crate) const SCORE: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/score",
    groups: &[
        &[
            honoured("text_1", "string | string[]", "required"),
            honoured("text_2", "string | string[]", "required"),
            honoured("queries", "string | string[]", "another name for `text_1`"),
            honoured("documents", "string | string[]", "another name for `text_2`"),
        ],
        JUDGED,
    ],
};

const JUDGED: &[Field] = &[
    honoured("model", "string", "absent, empty or `default`: the first one"),
    honoured("instruction", "string", "for models that take one"),
    refused("truncate_prompt_tokens", ""),
    ignored("user", "texts are judged in the order in which they are asked for"),
    ignored("priority", "texts are judged in the order in which they are asked for"),
];

/// `POST /v1/sessions`.
pub(crate) const SESSIONS: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/sessions",
    groups: &[
        &[
            honoured("name", "string", "required"),
            honoured("prompt", "string", "this or `messages` is required"),
            honoured("messages", "ChatMessage[]", "parts of content other than text are refused"),
            honoured("cache_salt", "string", ""),
        ],
        CHATS,
    ],
};

/// `POST /v1/sessions/NAME/restore`.
pub(crate) const RESTORE: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/sessions/NAME/restore, in the address",
    groups: &[&[honoured("model", "string", "absent, empty or `default`: the first one")], WHOSE],
};

/// `DELETE /v1/sessions/NAME`.
pub(crate) const FORGET: Request =
    Request { api: OTHERS, endpoint: "DELETE /v1/sessions/NAME, in the address", groups: &[WHOSE] };

const WHOSE: &[Field] =
    &[honoured("owner", "string", "for keys of the role admin: whose session it is; nobody's if it is empty")];

/// `GET /v1/scheduler`.
pub(crate) const SCHEDULER: Request = Request {
    api: OTHERS,
    endpoint: "GET /v1/scheduler, in the address",
    groups: &[&[honoured("model", "string", "absent, empty or `default`: the first one")]],
};

/// `POST /v1/feedback`.
pub(crate) const FEEDBACK: Request = Request {
    api: OTHERS,
    endpoint: "POST /v1/feedback",
    groups: &[&[
        honoured("id", "string", "required: the answer's, or its `x-request-id`"),
        honoured("score", "number(0..1)", "required: from useless to right"),
    ]],
};
