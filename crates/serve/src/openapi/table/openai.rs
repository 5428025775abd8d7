//! OpenAI's API.

use answer::Kind as Asked;

use super::Group;
use crate::Kind;
use crate::known;
use crate::openapi::operation::{Answer, CLOSED, COMPUTING, MODEL, delete, events, get, json, post};

const RESPONSE: &[Kind] = &[Kind::ResponseNotFound];
const FILE: &[Kind] = &[Kind::FileNotFound, Kind::Internal];
const BATCH: &[Kind] = &[Kind::BatchNotFound, Kind::Internal];

/// Chats, completions, responses, embeddings and models.
pub(super) const GROUP: Group = Group {
    name: "OpenAI",
    about: "OpenAI's API, with the fields that vLLM, llama.cpp and SGLang have beside it",
    built: true,
    operations: &[
        post("/v1/chat/completions", "Answers a conversation")
            .takes(
                &known::CHAT,
                r#"{ "messages": [{ "role": "user", "content": "Say hello." }], "max_tokens": 32, "stream": true }"#,
            )
            .gives(&[json("ChatCompletion"), events("ChatCompletionChunk")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v1/completions", "Continues a text or tokens")
            .takes(&known::COMPLETIONS, r#"{ "prompt": "Once upon a time", "max_tokens": 32, "stream": true }"#)
            .gives(&[json("Completion"), events("Completion")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v1/embeddings", "Turns texts into vectors")
            .takes(&known::EMBEDDINGS, r#"{ "input": ["a text", "another text"] }"#)
            .gives(&[json("Embeddings")])
            .refuses(&[MODEL, COMPUTING]),
        post(
            "/v1/responses",
            "Answers a conversation, and keeps the answer so that the next request can go on from it",
        )
        .takes(&known::RESPONSES, r#"{ "input": "Say hello.", "max_output_tokens": 32 }"#)
        .gives(&[json("Response"), events("ResponseEvent")])
        .refuses(&[MODEL, COMPUTING, RESPONSE]),
        post("/v1/responses/input_tokens", "Counts the tokens that a response's prompt would have")
            .takes(&known::INPUT_TOKENS, r#"{ "input": "Say hello." }"#)
            .gives(&[json("InputTokens")])
            .refuses(&[MODEL, COMPUTING, RESPONSE]),
        get("/v1/responses/{id}", "Gives a response that is kept, or the events of its stream")
            .asks(&known::RESPONSE)
            .gives(&[json("Response"), events("ResponseEvent")])
            .refuses(&[RESPONSE, TYPES]),
        delete("/v1/responses/{id}", "Forgets a response").gives(&[json("Deleted")]).refuses(&[RESPONSE]),
        post("/v1/responses/{id}/cancel", "Ends a response that is made in the background")
            .gives(&[json("Response")])
            .refuses(&[RESPONSE]),
        get("/v1/responses/{id}/input_items", "Lists the items of a response's request")
            .asks(&known::INPUT_ITEMS)
            .gives(&[json("ResponseItems")])
            .refuses(&[RESPONSE, TYPES]),
        get("/v1/models", "Lists models; in Anthropic's shape with the header anthropic-version")
            .gives(&[json("Models | AnthropicModels")])
            .refuses(&[CLOSED]),
        get("/v1/models/{*id}", "Describes a model; in Anthropic's shape with the header anthropic-version")
            .gives(&[json("Model | AnthropicModel")])
            .refuses(&[CLOSED, &[Kind::ModelNotFound]]),
    ],
    shapes: &[
        ("Error", "{ error: { message: string, type: string, param: string | null, code: string } }"),
        ("Deleted", "{ id: string, object: string, deleted: true }"),
        (
            "ChatCompletion",
            "{ id: string, object: 'chat.completion', created: integer, model: string, system_fingerprint: string, \
             choices: ChatChoice[], usage: Usage, prompt_logprobs?: PromptLogprobs }",
        ),
        (
            "ChatChoice",
            "{ index: integer(0..), logprobs: ChatLogprobs | null, finish_reason: 'stop' | 'length' | 'tool_calls', message: \
             { role: 'assistant', content: string | null, refusal: null, reasoning_content?: string, tool_calls?: ToolCall[] } }",
        ),
        ("ToolCall", "{ id: string, type: 'function', function: { name: string, arguments: string } }"),
        (
            "ChatCompletionChunk",
            "{ id: string, object: 'chat.completion.chunk', created: integer, model: string, system_fingerprint: string, \
             choices: { index: integer(0..), delta: { role?: 'assistant', content?: string | null, reasoning_content?: string, \
             tool_calls?: { index: integer(0..), id?: string, type?: 'function', function: { name?: string, arguments: string } }[] }, \
             logprobs?: ChatLogprobs | null, finish_reason: 'stop' | 'length' | 'tool_calls' | null }[], usage?: Usage | null }",
        ),
        (
            "Completion",
            "{ id: string, object: 'text_completion', created: integer, model: string, system_fingerprint: string, choices: \
             { index: integer(0..), text: string, logprobs: TextLogprobs | null, finish_reason: 'stop' | 'length' | \
             'tool_calls' | null, prompt_logprobs?: PromptLogprobs }[], usage?: Usage | null }",
        ),
        (
            "Usage",
            "{ prompt_tokens: integer(0..), completion_tokens: integer(0..), total_tokens: integer(0..), \
             prompt_tokens_details: { cached_tokens: integer(0..) }, \
             completion_tokens_details?: { accepted_prediction_tokens: integer(0..), rejected_prediction_tokens: integer(0..) } }",
        ),
        ("ChatLogprobs", "{ content: TokenLogprobs[], refusal: null }"),
        ("TokenLogprobs", "{ token: string, logprob: number, bytes: integer(0..255)[], top_logprobs: Logprob[] }"),
        ("Logprob", "{ token: string, logprob: number, bytes: integer(0..255)[] }"),
        (
            "TextLogprobs",
            "{ tokens: string[], token_logprobs: (number | null)[], top_logprobs: ({ [token]: number } | null)[], \
             text_offset: integer(0..)[] }",
        ),
        (
            "PromptLogprobs",
            "({ [id]: { logprob: number, rank: integer(1..) | null, decoded_token: string } } | null)[]",
        ),
        (
            "Embeddings",
            "{ object: 'list', model: string, data: { object: 'embedding', index: integer(0..), embedding: number[] | string }[], \
             usage: { prompt_tokens: integer(0..), total_tokens: integer(0..) }, truncated?: integer(0..)[] }",
        ),
        (
            "Response",
            "{ id: string, object: 'response', created_at: integer, completed_at?: integer, status: 'queued' | 'in_progress' | \
             'completed' | 'incomplete' | 'failed' | 'cancelled', error: { code: string, message: string } | null, \
             incomplete_details: { reason: string } | null, model: string, output: ResponseItem[], usage?: ResponseUsage, \
             background: boolean, store: boolean, instructions: string | null, max_output_tokens: integer | null, \
             previous_response_id: string | null, parallel_tool_calls: boolean, reasoning: { effort: string | null, \
             summary: string | null }, temperature: number | null, top_p: number | null, top_logprobs: integer(0..20), \
             text: object, tool_choice: string | object, tools: object[], truncation: 'disabled', metadata: object, user?: string }",
        ),
        (
            "ResponseItem",
            "{ id: string, type: 'reasoning', status: string, summary: object[], content: { type: 'reasoning_text', text: string }[] } | \
             { id: string, type: 'message', status: string, role: 'assistant', content: { type: 'output_text', text: string, \
             annotations: object[], logprobs: TokenLogprobs[] }[] } | \
             { id: string, type: 'function_call', status: string, call_id: string, name: string, arguments: string }",
        ),
        (
            "ResponseUsage",
            "{ input_tokens: integer(0..), input_tokens_details: { cached_tokens: integer(0..), cache_write_tokens: integer(0..) }, \
             output_tokens: integer(0..), output_tokens_details: { reasoning_tokens: integer(0..) }, total_tokens: integer(0..) }",
        ),
        ("ResponseEvent", "{ type: string, sequence_number: integer(0..) }"),
        (
            "ResponseItems",
            "{ object: 'list', data: { id: string, type: string }[], first_id: string, last_id: string, has_more: boolean }",
        ),
        ("InputTokens", "{ object: 'response.input_tokens', input_tokens: integer(0..) }"),
        ("Models", "{ object: 'list', data: Model[] }"),
        (
            "Model",
            "{ id: string, object: 'model', created: integer, owned_by: string, loaded: boolean, version: string, \
             parent?: string, route?: boolean, context?: integer(0..), chat?: boolean, sampling?: { temperature: number, top_k: integer, top_p: number, min_p: number, \
             repetition_penalty: number } }",
        ),
        // What conversations of requests are made of.
        (
            "ChatMessage",
            "{ role: string, content?: string | \
             { type: 'text' | 'input_text', text: string }[] | null, name?: string | null, tool_calls?: { id?: string, type?: 'function', \
             function: { name: string, arguments?: string | object } }[] | null, tool_call_id?: string | null, \
             reasoning_content?: string | null }",
        ),
        (
            "ChatTool",
            "{ type: 'function', function: { name: string, description?: string | null, parameters?: object | null } }",
        ),
        (
            "ResponseInput",
            "{ type?: 'message' | null, role: string, content: string | { type: 'input_text' | 'output_text' | 'text', text: string }[] } | \
             { type: 'function_call', call_id: string, name: string, arguments?: string } | \
             { type: 'function_call_output', call_id: string, output: string | object[] } | \
             { type: 'reasoning', content?: { type: 'reasoning_text', text: string }[] | null }",
        ),
    ],
    parts: &[],
};

/// What may be wrong with an address.
const TYPES: &[Kind] = &[Kind::Ask(Asked::InvalidType)];

/// Files, and batches of requests.
pub(super) const BATCHES: Group = Group {
    name: "Batches",
    about: "OpenAI's files and batches of requests, in a build with the feature batches, started with --data-dir",
    built: cfg!(feature = "batches"),
    operations: &[
        post("/v1/files", "Keeps a file").takes(&known::FILES, "").gives(&[json("File")]).refuses(&[FILE]),
        get("/v1/files", "Lists files").asks(&known::LIST_FILES).gives(&[json("Files")]).refuses(&[FILE, TYPES]),
        get("/v1/files/{id}", "Describes a file").gives(&[json("File")]).refuses(&[FILE]),
        delete("/v1/files/{id}", "Deletes a file").gives(&[json("Deleted")]).refuses(&[FILE]),
        get("/v1/files/{id}/content", "Gives what is in a file")
            .gives(&[Answer(200, "application/octet-stream", "")])
            .refuses(&[FILE]),
        post("/v1/batches", "Begins to answer the requests of a file")
            .takes(
                &known::BATCHES,
                r#"{ "input_file_id": "file-0", "endpoint": "/v1/chat/completions", "completion_window": "24h" }"#,
            )
            .gives(&[json("Batch")])
            .refuses(&[BATCH, FILE]),
        get("/v1/batches", "Lists batches")
            .asks(&known::LIST_BATCHES)
            .gives(&[json("Batches")])
            .refuses(&[BATCH, TYPES]),
        get("/v1/batches/{id}", "Describes a batch").gives(&[json("Batch")]).refuses(&[BATCH]),
        post("/v1/batches/{id}/cancel", "Ends a batch").gives(&[json("Batch")]).refuses(&[BATCH]),
    ],
    shapes: &[
        (
            "File",
            "{ id: string, object: 'file', bytes: integer(0..), created_at: integer, expires_at?: integer, filename: string, \
             purpose: string, status: 'processed' }",
        ),
        ("Files", "{ object: 'list', data: File[], has_more: boolean, first_id: string, last_id: string }"),
        (
            "Batch",
            "{ id: string, object: 'batch', endpoint: string, errors?: object, input_file_id: string, completion_window: string, \
             status: 'validating' | 'in_progress' | 'finalizing' | 'completed' | 'failed' | 'expired' | 'cancelling' | 'cancelled', \
             output_file_id?: string, error_file_id?: string, created_at: integer, in_progress_at?: integer, expires_at: integer, \
             finalizing_at?: integer, completed_at?: integer, failed_at?: integer, expired_at?: integer, cancelling_at?: integer, \
             cancelled_at?: integer, metadata?: object, \
             request_counts: { total: integer(0..), completed: integer(0..), failed: integer(0..) } }",
        ),
        ("Batches", "{ object: 'list', data: Batch[], has_more: boolean, first_id: string, last_id: string }"),
    ],
    parts: &[],
};
