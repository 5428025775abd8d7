//! Anthropic's API.

use super::Group;
use crate::known;
use crate::openapi::operation::{COMPUTING, MODEL, events, json, post};

/// Messages, and the count of their tokens.
pub(super) const GROUP: Group = Group {
    name: "Anthropic",
    about: "Anthropic's API",
    built: true,
    operations: &[
        post("/v1/messages", "Answers a conversation")
            .takes(
                &known::MESSAGES,
                r#"{ "messages": [{ "role": "user", "content": "Say hello." }], "max_tokens": 32, "stream": true }"#,
            )
            .gives(&[json("Message"), events("MessageEvent")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v1/messages/count_tokens", "Counts the tokens of a conversation")
            .takes(&known::COUNT_TOKENS, r#"{ "messages": [{ "role": "user", "content": "Say hello." }] }"#)
            .gives(&[json("{ input_tokens: integer(0..) }")])
            .refuses(&[MODEL, COMPUTING]),
    ],
    shapes: &[
        ("AnthropicError", "{ type: 'error', error: { type: string, message: string } }"),
        (
            "Message",
            "{ id: string, type: 'message', role: 'assistant', model: string, content: ContentBlock[], stop_reason: 'end_turn' | \
             'stop_sequence' | 'max_tokens' | 'tool_use' | null, stop_sequence: string | null, usage: { input_tokens: integer(0..), \
             cache_creation_input_tokens: integer(0..), cache_read_input_tokens: integer(0..), output_tokens: integer(0..) } }",
        ),
        (
            "ContentBlock",
            "{ type: 'text', text: string } | { type: 'thinking', thinking: string, signature: string } | \
             { type: 'tool_use', id: string, name: string, input: object }",
        ),
        ("MessageEvent", "{ type: string }"),
        (
            "AnthropicModels",
            "{ data: AnthropicModel[], first_id: string | null, last_id: string | null, has_more: boolean }",
        ),
        (
            "AnthropicModel",
            "{ type: 'model', id: string, display_name: string, created_at: string, lifecycle: string, \
             max_input_tokens: integer | null, max_tokens: integer | null }",
        ),
        // What conversations of requests are made of.
        ("AnthropicMessage", "{ role: 'user' | 'assistant', content: string | AnthropicBlock[] }"),
        (
            "AnthropicBlock",
            "{ type: 'text', text: string } | { type: 'thinking', thinking: string } | { type: 'redacted_thinking' } | \
             { type: 'tool_use', id: string, name: string, input: object } | \
             { type: 'tool_result', tool_use_id: string, content?: string | { type: 'text', text: string }[] | null, is_error?: boolean | null }",
        ),
        (
            "AnthropicTool",
            "{ type?: 'custom' | null, name: string, description?: string | null, input_schema?: object | null }",
        ),
    ],
    parts: &[],
};
