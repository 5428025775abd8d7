//! Anthropic's requests.

use super::shared::{OTHER_SAMPLING, SAMPLING};
use super::{Field, Request, honoured, ignored, refused};

pub(super) const ALL: &[&Request] = &[&MESSAGES, &COUNT_TOKENS];

/// `POST /v1/messages`.
pub(crate) const MESSAGES: Request = Request {
    api: "Anthropic",
    endpoint: "POST /v1/messages",
    groups: &[
        CONVERSATION,
        &[
            honoured("max_tokens", "integer(1..)", "required"),
            honoured("output_config.format", "{ type: 'json_schema', schema: object }", "of type `json_schema`"),
            honoured(
                "output_format",
                "{ type: 'json_schema', schema: object }",
                "what `output_config.format` was before",
            ),
            honoured("stop_sequences", "string | string[]", ""),
            honoured("stream", "boolean", ""),
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
pub(crate) const COUNT_TOKENS: Request = Request {
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
    honoured("model", "string", "absent, empty or `default`: the first one"),
    honoured(
        "messages",
        "AnthropicMessage[]",
        "required; blocks of text, thinking, calls of tools and their results, others are refused",
    ),
    honoured("system", "string | { type: 'text', text: string }[]", "a string or blocks of text"),
    honoured("tools", "AnthropicTool[]", "tools that Anthropic runs or defines are refused"),
    honoured(
        "tool_choice",
        "{ type: 'auto' | 'any' | 'none' | 'tool', name?: string, disable_parallel_tool_use?: boolean | null }",
        "`auto`, `any`, `tool` and `none`, with `disable_parallel_tool_use`",
    ),
    honoured("thinking", "object", "off where nothing is said"),
    honoured("thinking.type", "'enabled' | 'adaptive' | 'disabled'", "`enabled`, `adaptive` or `disabled`"),
    honoured("thinking.display", "string", "with `omitted` it is not shown"),
    ignored("thinking.budget_tokens", "models have no budget; `max_tokens` bounds thinking and answer together"),
    honoured("output_config", "object", ""),
    honoured("output_config.effort", "string", "the template's variable `reasoning_effort`"),
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
