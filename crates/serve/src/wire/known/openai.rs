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

/// `POST /v1/chat/completions`.
pub(in crate::wire) const CHAT: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/chat/completions",
    groups: &[
        CHATS,
        &[
            honoured("logprobs", ""),
            honoured("top_logprobs", "with `logprobs`"),
            honoured("modalities", "`text` alone"),
            refused("audio", ""),
            refused("functions", "write `tools`"),
            refused_unless("function_call", |value| *value == "none" || *value == "auto", "unless `none` or `auto`"),
            refused("web_search_options", ""),
            refused("moderation", ""),
            ignored("prediction", "it would be faster at most"),
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
pub(in crate::wire) const COMPLETIONS: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/completions",
    groups: &[
        &[
            honoured("model", "absent, empty or `default`: the first one"),
            honoured("prompt", "required"),
            honoured("suffix", "by the model's own tokens for a gap; a model without them refuses it"),
            honoured("echo", ""),
            honoured("parse_special", ""),
            honoured("logprobs", ""),
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

/// A conversation as chats have it.
pub(super) const CHATS: &[Field] = &[
    honoured("model", "absent, empty or `default`: the first one"),
    honoured("messages", "required; parts of content other than text are refused"),
    honoured("tools", ""),
    honoured("tool_choice", "`auto`, `none`, `required` and a function by its name"),
    honoured("parallel_tool_calls", ""),
    honoured("chat_template_kwargs", "variables of the template"),
    honoured("reasoning_effort", "the template's variable `reasoning_effort`"),
    honoured("verbosity", "the template's variable `verbosity`"),
    honoured("add_generation_prompt", ""),
    honoured("continue_final_message", ""),
    refused("chat_template", "the server has one: `serve --chat-template`"),
    refused("documents", ""),
];

/// How long answers are, how many, and how they come.
const ANSWERS: &[Field] = &[
    honoured("n", ""),
    honoured("best_of", "as many as `n`; others are refused"),
    honoured("max_completion_tokens", ""),
    honoured("max_tokens", ""),
    honoured("n_predict", "llama.cpp's name for `max_tokens`"),
    honoured("min_tokens", ""),
    honoured("stop", ""),
    honoured("stop_token_ids", ""),
    honoured("include_stop_str_in_output", ""),
    honoured("ignore_eos", ""),
    honoured("skip_special_tokens", ""),
    honoured("prompt_logprobs", "of whole answers"),
    honoured("stream", ""),
    honoured("stream_options", "with `stream`"),
    honoured("stream_options.include_usage", ""),
    ignored("stream_options.include_obfuscation", "nothing is added"),
];

/// What answers have to fit: at most one of these.
const CONSTRAINTS: &[Field] = &[
    honoured("response_format", "`text`, `json_object`, `json_schema` and `structural_tag`"),
    honoured("structured_outputs", "vLLM's: `json`, `regex`, `choice`, `grammar`, `json_object` or `structural_tag`"),
    honoured("guided_json", ""),
    honoured("guided_regex", ""),
    honoured("guided_choice", ""),
    honoured("guided_grammar", ""),
    honoured("grammar", "llama.cpp's"),
    honoured("json_schema", "llama.cpp's"),
];

/// How a request is served among others.
const SERVICE: &[Field] = &[
    honoured("priority", "a word, or an integer as vLLM has them"),
    honoured("deadline_ms", ""),
    honoured("user", "on whose behalf it is asked, for `serve --policy fair-share`"),
    honoured("cache_salt", ""),
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
pub(in crate::wire) const RESPONSES: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/responses",
    groups: &[
        CONVERSATION,
        &[
            honoured("store", "true where nothing is said"),
            honoured("background", ""),
            honoured("stream", ""),
            ignored("stream_options", "nothing is added"),
            ignored("stream_options.include_obfuscation", "nothing is added"),
            honoured("max_output_tokens", "reasoning and answer together"),
            honoured("top_logprobs", ""),
            honoured("include", "`message.output_text.logprobs`; there is nothing of the others"),
            honoured("metadata", "given back"),
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
pub(in crate::wire) const INPUT_TOKENS: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/responses/input_tokens",
    groups: &[CONVERSATION, &[refused("personality", "")]],
};

/// A conversation as responses have it.
const CONVERSATION: &[Field] = &[
    honoured("model", "absent, empty or `default`: the first one"),
    honoured("input", "required; images, files and calls of tools that OpenAI runs are refused"),
    honoured("instructions", ""),
    honoured("previous_response_id", ""),
    honoured("tools", "of type `function`; others are refused"),
    honoured("tool_choice", "`auto`, `none`, `required` and a function by its name"),
    honoured("parallel_tool_calls", ""),
    honoured("text", ""),
    honoured("text.format", "`text`, `json_object` and `json_schema`"),
    honoured("text.verbosity", "the template's variable `verbosity`"),
    honoured("reasoning", ""),
    honoured("reasoning.effort", "the template's variable `reasoning_effort`"),
    ignored("reasoning.summary", "reasoning is told as it is"),
    ignored("reasoning.generate_summary", "reasoning is told as it is"),
    ignored("reasoning.context", "the template knows which reasoning it shows"),
    ignored("reasoning.mode", ""),
    honoured("chat_template_kwargs", "variables of the template; not OpenAI's"),
    refused("conversation", "`previous_response_id` goes on from a response"),
    ignored("truncation", "a conversation that is too long is refused"),
];

/// `GET /v1/responses/ID`.
const RESPONSE: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/responses/ID, in the address",
    groups: &[&[
        honoured("stream", "the events of a response that was begun with `background` and `stream`"),
        honoured("starting_after", "with `stream`: only the events after the one of this number"),
        ignored("include", "everything is told"),
        ignored("include_obfuscation", "nothing is added"),
    ]],
};

/// `GET /v1/responses/ID/input_items`.
const INPUT_ITEMS: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/responses/ID/input_items, in the address",
    groups: &[&[
        honoured("limit", "1 to 100; 20"),
        honoured("order", "`asc` or `desc`, the last first"),
        honoured("after", ""),
        ignored("include", "everything is told"),
    ]],
};

/// `POST /v1/embeddings`.
pub(in crate::wire) const EMBEDDINGS: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/embeddings",
    groups: &[&[
        honoured("model", "absent, empty or `default`: the first one"),
        honoured("input", "required"),
        honoured("dimensions", "the first numbers of each vector, scaled to length 1"),
        honoured("encoding_format", "`float` or `base64`"),
        honoured("pooling", "`mean`, `cls` or `last`; not OpenAI's"),
        honoured("truncate_prompt_tokens", "vLLM's"),
        ignored("user", "vectors are made in the order in which they are asked for"),
        ignored("priority", "vectors are made in the order in which they are asked for"),
    ]],
};

/// `POST /v1/files`.
const FILES: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/files, a form",
    groups: &[&[
        honoured("purpose", "required; one of OpenAI's, and only `batch` is read by anything"),
        honoured("file", "required"),
        honoured("expires_after", "without it a file stays until it is deleted"),
        honoured("expires_after.anchor", "`created_at`"),
        honoured("expires_after.seconds", "3600 to 2592000"),
    ]],
};

/// `GET /v1/files`.
const LIST_FILES: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/files, in the address",
    groups: &[&[
        honoured("purpose", ""),
        honoured("limit", "1 to 10000; 10000"),
        honoured("order", "`asc` or `desc`"),
        honoured("after", ""),
    ]],
};

/// `POST /v1/batches`.
pub(in crate::wire) const BATCHES: Request = Request {
    api: OPENAI,
    endpoint: "POST /v1/batches",
    groups: &[&[
        honoured("input_file_id", "required"),
        honoured(
            "endpoint",
            "required: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` or `/v1/responses`",
        ),
        honoured("completion_window", "required: hours, `1h` to `8760h`"),
        honoured("metadata", "up to 16 pairs of strings, given back"),
        honoured("output_expires_after", "without it the files of answers stay until they are deleted"),
        honoured("output_expires_after.anchor", "`created_at`, which is when the file is written"),
        honoured("output_expires_after.seconds", "3600 to 2592000"),
    ]],
};

/// `GET /v1/batches`.
const LIST_BATCHES: Request = Request {
    api: OPENAI,
    endpoint: "GET /v1/batches, in the address",
    groups: &[&[honoured("limit", "1 to 10000; 20"), honoured("after", "")]],
};
