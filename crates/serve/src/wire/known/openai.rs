//! OpenAI's requests, with the fields that vLLM, llama.cpp and SGLang have beside OpenAI's.

use serde_json::Value;

use super::shared::{OTHER_SAMPLING, SAMPLING, is_unlimited};
use super::{Field, Request, honoured, ignored, is_true, refused, refused_unless};

pub(super) const ALL: &[&Request] = &[
    &CHAT,
    &COMPLETIONS,
    &RESPONSES,
    &INPUT_TOKENS,
    &RESPONSE,
    &INPUT_ITEMS,
    &EMBEDDINGS,
    &FILES,
    &LIST_FILES,
    &BATCHES,
    &LIST_BATCHES,
];

const OPENAI: &str = "OpenAI";

/// What an answer is likely to be.
const PREDICTION: Field = honoured(
    "prediction",
    "{ type: 'content', content: string | { type: 'text', text: string }[] }",
    "what comes as predicted comes faster",
);

/// `POST /v1/chat/completions`.
pub(crate) const CHAT: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/chat/completions",
    groups: &[
        SAID,
        CHATS,
        &[
            honoured("logprobs", "boolean", ""),
            honoured("top_logprobs", "integer(0..20)", "with `logprobs`"),
            honoured("modalities", "'text'[]", "`text` alone"),
            refused("audio", ""),
            refused("functions", "write `tools`"),
            refused_unless("function_call", |value| *value == "none" || *value == "auto", "unless `none` or `auto`"),
            refused("web_search_options", ""),
            refused("moderation", ""),
            PREDICTION,
            ignored("metadata", "nothing is kept of a chat"),
            ignored("store", "nothing is kept of a chat; [responses](responses.md) are"),
            refused("echo", ""),
            refused("add_special_tokens", "the template has them"),
            refused("truncate_prompt_tokens", ""),
        ],
        ANSWERS,
        SAMPLING,
        CONSTRAINTS,
        SERVICE,
        HOSTED,
        OTHER_SAMPLING,
        OTHERS,
    ],
};

/// `POST /v1/completions`.
pub(crate) const COMPLETIONS: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/completions",
    groups: &[
        &[
            PREDICTION,
            honoured("model", "string", "absent, empty or `default`: the first one"),
            honoured("prompt", "string | (string | integer(0..)[] | integer(0..))[]", "required"),
            honoured("suffix", "string", "by the model's own tokens for a gap; a model without them refuses it"),
            honoured("echo", "boolean", ""),
            honoured("parse_special", "boolean", ""),
            honoured("logprobs", "integer(0..20)", ""),
            refused_unless("add_special_tokens", is_true, "unless true"),
            refused("truncate_prompt_tokens", ""),
            refused("prompt_embeds", ""),
            refused("n_probs", "write `logprobs`"),
            refused("audio", ""),
            refused("functions", ""),
            refused("web_search_options", ""),
            refused("documents", "write them into the prompt"),
        ],
        ANSWERS,
        SAMPLING,
        CONSTRAINTS,
        SERVICE,
        OTHER_SAMPLING,
        OTHERS,
    ],
};

/// The messages of a conversation.
pub(super) const SAID: &[Field] =
    &[honoured("messages", "ChatMessage[]", "required; parts of content other than text are refused")];

/// A conversation as chats have it, without its messages.
pub(super) const CHATS: &[Field] = &[
    honoured("model", "string", "absent, empty or `default`: the first one"),
    honoured("tools", "ChatTool[]", ""),
    honoured(
        "tool_choice",
        "'auto' | 'none' | 'required' | { type: 'function', function: { name: string } }",
        "`auto`, `none`, `required` and a function by its name",
    ),
    honoured("parallel_tool_calls", "boolean", ""),
    honoured("chat_template_kwargs", "object", "variables of the template"),
    honoured("reasoning_effort", "string", "the template's variable `reasoning_effort`"),
    honoured("verbosity", "string", "the template's variable `verbosity`"),
    honoured("add_generation_prompt", "boolean", ""),
    honoured("continue_final_message", "boolean", ""),
    refused("chat_template", "the server has one: `serve --chat-template`"),
    refused("documents", ""),
];

/// How long answers are, how many, and how they come.
const ANSWERS: &[Field] = &[
    honoured("n", "integer(1..128)", ""),
    honoured("best_of", "integer(0..)", "as many as `n`; others are refused"),
    honoured("max_completion_tokens", "integer(-1..)", ""),
    honoured("max_tokens", "integer(-1..)", ""),
    honoured("n_predict", "integer(-1..)", "llama.cpp's name for `max_tokens`"),
    honoured("min_tokens", "integer(0..)", ""),
    honoured("stop", "string | string[]", ""),
    honoured("stop_token_ids", "integer(0..)[]", ""),
    honoured("include_stop_str_in_output", "boolean", ""),
    honoured("ignore_eos", "boolean", ""),
    honoured("skip_special_tokens", "boolean", ""),
    honoured("prompt_logprobs", "integer(0..20)", "of whole answers"),
    honoured("stream", "boolean", ""),
    honoured("stream_options", "object", "with `stream`"),
    honoured("stream_options.include_usage", "boolean", ""),
    ignored("stream_options.include_obfuscation", "nothing is added"),
];

/// What answers have to fit: at most one of these.
const CONSTRAINTS: &[Field] = &[
    honoured(
        "response_format",
        "{ type?: 'text' | 'json_object' | 'json_schema' | 'structural_tag', json_schema?: { name?: string, schema: object, strict?: boolean | null } }",
        "`text`, `json_object`, `json_schema` and `structural_tag`",
    ),
    honoured(
        "structured_outputs",
        "object",
        "vLLM's: `json`, `regex`, `choice`, `grammar`, `json_object` or `structural_tag`",
    ),
    honoured("guided_json", "object | string", ""),
    honoured("guided_regex", "string", ""),
    honoured("guided_choice", "string[]", ""),
    honoured("guided_grammar", "string", ""),
    honoured("grammar", "string", "llama.cpp's"),
    honoured("json_schema", "object | string", "llama.cpp's"),
];

/// How a request is served among others.
const SERVICE: &[Field] = &[
    honoured("priority", "string | integer", "a word, or an integer as vLLM has them"),
    honoured("deadline_ms", "integer(1..)", ""),
    honoured("user", "string", "on whose behalf it is asked, for `serve --policy fair-share`"),
    honoured("cache_salt", "string", ""),
];

/// What only who serves many customers can do, or does by itself here.
const HOSTED: &[Field] = &[
    ignored("service_tier", "`priority` says it"),
    ignored("safety_identifier", ""),
    ignored("prompt_cache_key", "prompts are found by what is in them"),
    ignored("prompt_cache_options", "every prompt is kept as long as there is room"),
    ignored("prompt_cache_retention", "every prompt is kept as long as there is room"),
];

/// What other servers take that would change the answer, and what changes nothing.
const OTHERS: &[Field] = &[
    refused("use_beam_search", ""),
    refused("ebnf", "write `guided_grammar`"),
    refused("regex", "write `guided_regex`"),
    refused("format", "write `response_format`"),
    refused("guided_whitespace_pattern", ""),
    refused("logits_processors", ""),
    refused("custom_logit_processor", ""),
    refused("stop_regex", ""),
    refused("samplers", "the order is fixed"),
    refused("lora", ""),
    refused_unless("t_max_predict_ms", is_unlimited, "write `deadline_ms`"),
    refused("thinking_token_budget", ""),
    refused_unless("detokenize", is_true, "unless true"),
    refused("return_token_ids", ""),
    refused("return_tokens_as_token_ids", ""),
    refused_unless("reasoning_format", is_separate, "unless `auto` or `deepseek`: reasoning is `reasoning_content`"),
    ignored("length_penalty", "of beams, and there are none"),
    ignored("early_stopping", "of beams, and there are none"),
    ignored("guided_decoding_backend", "there is one"),
    ignored("cache_prompt", "every prompt is kept as long as there is room"),
    ignored("id_slot", "any sequence finds every prompt"),
    ignored("n_keep", "a context is never shifted"),
];

fn is_separate(format: &Value) -> bool {
    matches!(format.as_str(), Some("" | "auto" | "deepseek"))
}

/// `POST /v1/responses`.
pub(crate) const RESPONSES: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/responses",
    groups: &[
        CONVERSATION,
        &[
            honoured("store", "boolean", "true where nothing is said"),
            honoured("background", "boolean", ""),
            honoured("stream", "boolean", ""),
            ignored("stream_options", "nothing is added"),
            ignored("stream_options.include_obfuscation", "nothing is added"),
            honoured("max_output_tokens", "integer(1..)", "reasoning and answer together"),
            honoured("top_logprobs", "integer(0..20)", ""),
            honoured("include", "string[]", "`message.output_text.logprobs`; there is nothing of the others"),
            honoured("metadata", "object", "given back"),
            refused("context_management", ""),
            ignored("max_tool_calls", "of tools that OpenAI runs, and there are none"),
            refused("moderation", ""),
            refused("prompt", "the server keeps no prompts"),
            refused("access_programs", ""),
            refused("image", ""),
        ],
        SAMPLING,
        SERVICE,
        HOSTED,
        OTHER_SAMPLING,
    ],
};

/// `POST /v1/responses/input_tokens`.
pub(crate) const INPUT_TOKENS: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/responses/input_tokens",
    groups: &[CONVERSATION, &[refused("personality", "")]],
};

/// A conversation as responses have it.
const CONVERSATION: &[Field] = &[
    honoured("model", "string", "absent, empty or `default`: the first one"),
    honoured(
        "input",
        "string | ResponseInput[]",
        "required; images, files and calls of tools that OpenAI runs are refused",
    ),
    honoured("instructions", "string", ""),
    honoured("previous_response_id", "string", ""),
    honoured(
        "tools",
        "{ type: 'function', name: string, description?: string | null, parameters?: object | null, strict?: boolean | null }[]",
        "of type `function`; others are refused",
    ),
    honoured(
        "tool_choice",
        "'auto' | 'none' | 'required' | { type: 'function', name: string }",
        "`auto`, `none`, `required` and a function by its name",
    ),
    honoured("parallel_tool_calls", "boolean", ""),
    honoured("text", "object", ""),
    honoured(
        "text.format",
        "{ type?: 'text' | 'json_object' | 'json_schema', name?: string, schema?: object }",
        "`text`, `json_object` and `json_schema`",
    ),
    honoured("text.verbosity", "string", "the template's variable `verbosity`"),
    honoured("reasoning", "object", ""),
    honoured("reasoning.effort", "string", "the template's variable `reasoning_effort`"),
    ignored("reasoning.summary", "reasoning is told as it is"),
    ignored("reasoning.generate_summary", "reasoning is told as it is"),
    ignored("reasoning.context", "the template knows which reasoning it shows"),
    ignored("reasoning.mode", ""),
    honoured("chat_template_kwargs", "object", "variables of the template; not OpenAI's"),
    refused("conversation", "`previous_response_id` goes on from a response"),
    ignored("truncation", "a conversation that is too long is refused"),
];

/// `GET /v1/responses/ID`.
pub(crate) const RESPONSE: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/responses/ID, in the address",
    groups: &[&[
        honoured("stream", "boolean", "the events of a response that was begun with `background` and `stream`"),
        honoured("starting_after", "integer(0..)", "with `stream`: only the events after the one of this number"),
        ignored("include", "everything is told"),
        ignored("include_obfuscation", "nothing is added"),
    ]],
};

/// `GET /v1/responses/ID/input_items`.
pub(crate) const INPUT_ITEMS: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/responses/ID/input_items, in the address",
    groups: &[&[
        honoured("limit", "integer(1..100)", "1 to 100; 20"),
        honoured("order", "'asc' | 'desc'", "`asc` or `desc`, the last first"),
        honoured("after", "string", ""),
        ignored("include", "everything is told"),
    ]],
};

/// `POST /v1/embeddings`.
pub(crate) const EMBEDDINGS: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/embeddings",
    groups: &[&[
        honoured("model", "string", "absent, empty or `default`: the first one"),
        honoured("input", "string | (string | integer(0..)[] | integer(0..))[]", "required"),
        honoured("dimensions", "integer(1..)", "the first numbers of each vector, scaled to length 1"),
        honoured("encoding_format", "'float' | 'base64'", "`float` or `base64`"),
        honoured("pooling", "'mean' | 'cls' | 'last'", "`mean`, `cls` or `last`; not OpenAI's"),
        honoured("truncate_prompt_tokens", "integer(-1..)", "vLLM's"),
        ignored("user", "vectors are made in the order in which they are asked for"),
        ignored("priority", "vectors are made in the order in which they are asked for"),
    ]],
};

/// `POST /v1/files`.
pub(crate) const FILES: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/files, a form",
    groups: &[&[
        honoured(
            "purpose",
            "'batch' | 'assistants' | 'fine-tune' | 'vision' | 'user_data' | 'evals'",
            "required; one of OpenAI's, and only `batch` is read by anything",
        ),
        honoured("file", "binary", "required"),
        honoured("expires_after", "object", "without it a file stays until it is deleted"),
        honoured("expires_after.anchor", "'created_at'", "`created_at`"),
        honoured("expires_after.seconds", "integer(3600..2592000)", "3600 to 2592000"),
    ]],
};

/// `GET /v1/files`.
pub(crate) const LIST_FILES: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/files, in the address",
    groups: &[&[
        honoured("purpose", "string", ""),
        honoured("limit", "integer(1..10000)", "1 to 10000; 10000"),
        honoured("order", "'asc' | 'desc'", "`asc` or `desc`"),
        honoured("after", "string", ""),
    ]],
};

/// `POST /v1/batches`.
pub(crate) const BATCHES: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/batches",
    groups: &[&[
        honoured("input_file_id", "string", "required"),
        honoured(
            "endpoint",
            "'/v1/chat/completions' | '/v1/completions' | '/v1/embeddings' | '/v1/responses'",
            "required: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` or `/v1/responses`",
        ),
        honoured("completion_window", "string", "required: hours, `1h` to `8760h`"),
        honoured("metadata", "object", "up to 16 pairs of strings, given back"),
        honoured("output_expires_after", "object", "without it the files of answers stay until they are deleted"),
        honoured("output_expires_after.anchor", "'created_at'", "`created_at`, which is when the file is written"),
        honoured("output_expires_after.seconds", "integer(3600..2592000)", "3600 to 2592000"),
    ]],
};

/// `GET /v1/batches`.
pub(crate) const LIST_BATCHES: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/batches, in the address",
    groups: &[&[honoured("limit", "integer(1..10000)", "1 to 10000; 20"), honoured("after", "string", "")]],
};
