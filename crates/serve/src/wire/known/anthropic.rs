//! Anthropic's requests.

use super::shared::{OTHER_SAMPLING, SAMPLING};
use super::{Field, Request, honoured, ignored, refused};

pub(super) const ALL: &[&Request] = &[&MESSAGES, &COUNT_TOKENS];

/// `POST /v1/messages`.
pub(in crate::wire) const MESSAGES: Request = Request {
    api: "Anthropic",
    endpoint: "POST /v1/messages",
    groups: &[
        CONVERSATION,
        &[
            honoured("max_tokens", "required"),
            honoured("output_config.format", "of type `json_schema`"),
            honoured("output_format", "what `output_config.format` was before"),
            honoured("stop_sequences", ""),
            honoured("stream", ""),
            ignored("metadata", ""),
            ignored("service_tier", ""),
            ignored("inference_geo", ""),
            ignored("billing_policy", ""),
            ignored("diagnostics", ""),
        ],
        SAMPLING,
        OTHER_SAMPLING,
    ],
};

/// `POST /v1/messages/count_tokens`.
pub(in crate::wire) const COUNT_TOKENS: Request = Request {
    api: "Anthropic",
    endpoint: "POST /v1/messages/count_tokens",
    groups: &[
        CONVERSATION,
        &[
            ignored("output_config.format", "it is not part of the prompt"),
            ignored("output_format", "it is not part of the prompt"),
        ],
    ],
};

const CONVERSATION: &[Field] = &[
    honoured("model", "absent, empty or `default`: the first one"),
    honoured("messages", "required; blocks of text, thinking, calls of tools and their results, others are refused"),
    honoured("system", "a string or blocks of text"),
    honoured("tools", "tools that Anthropic runs or defines are refused"),
    honoured("tool_choice", "`auto`, `any`, `tool` and `none`, with `disable_parallel_tool_use`"),
    honoured("thinking", "off where nothing is said"),
    honoured("thinking.type", "`enabled`, `adaptive` or `disabled`"),
    honoured("thinking.display", "with `omitted` it is not shown"),
    ignored("thinking.budget_tokens", "models have no budget; `max_tokens` bounds thinking and answer together"),
    honoured("output_config", ""),
    honoured("output_config.effort", "the template's variable `reasoning_effort`"),
    refused("compaction", ""),
    refused("container", ""),
    refused("context_management", ""),
    refused("fallbacks", ""),
    refused("fallback_credit_token", ""),
    refused("mcp_servers", ""),
    refused("thread", ""),
    ignored("cache_control", "every prompt is kept as long as there is room"),
    ignored("speed", ""),
    ignored("user_profile_id", ""),
    ignored("workspace_id", ""),
];
