//! What vLLM, llama.cpp, Jina and Cohere have beside OpenAI's API, and this server's own.

use answer::Kind as Asked;

use super::Group;
use crate::Kind;
use crate::known;
use crate::openapi::operation::{COMPUTING, MODEL, delete, get, json, post};

const SESSION: &[Kind] = &[Kind::UnknownUrl, Kind::ResponseNotFound, Kind::Internal];

const TOKENIZE: &str = r#"{ "prompt": "Say hello." }"#;
const TEMPLATE: &str = r#"{ "messages": [{ "role": "user", "content": "Say hello." }] }"#;
const RERANK: &str = r#"{ "query": "Which animal sings?", "documents": ["A bird.", "A stone."] }"#;
const SCORE: &str = r#"{ "text_1": "Which animal sings?", "text_2": ["A bird.", "A stone."] }"#;

/// Texts, tokens, scores and sessions.
pub(super) const GROUP: Group = Group {
    name: "Texts, tokens, scores and sessions",
    about: "What vLLM, llama.cpp, Jina and Cohere have beside OpenAI's API, and this server's own",
    built: true,
    operations: &[
        post("/tokenize", "Turns a text or a conversation into tokens")
            .takes(&known::TOKENIZE, TOKENIZE)
            .gives(&[json("Tokenized")])
            .refuses(&[MODEL, COMPUTING]),
        post("/detokenize", "Turns tokens into a text")
            .takes(&known::DETOKENIZE, r#"{ "tokens": [72, 105] }"#)
            .gives(&[json("{ prompt: string, content: string }")])
            .refuses(&[MODEL]),
        post("/apply_template", "Writes a conversation as the prompt that the model's template makes of it")
            .takes(&known::APPLY_TEMPLATE, TEMPLATE)
            .gives(&[json("{ prompt: string }")])
            .refuses(&[MODEL, COMPUTING]),
        post("/apply-template", "The same, under llama.cpp's name")
            .takes(&known::APPLY_TEMPLATE, TEMPLATE)
            .gives(&[json("{ prompt: string }")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v1/rerank", "Orders documents by how well they answer a query")
            .takes(&known::RERANK, RERANK)
            .gives(&[json("Ranking")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v2/rerank", "The same, under Cohere's name")
            .takes(&known::RERANK, RERANK)
            .gives(&[json("Ranking")])
            .refuses(&[MODEL, COMPUTING]),
        post("/rerank", "The same, under vLLM's name")
            .takes(&known::RERANK, RERANK)
            .gives(&[json("Ranking")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v1/score", "Scores how well texts answer texts")
            .takes(&known::SCORE, SCORE)
            .gives(&[json("Scores")])
            .refuses(&[MODEL, COMPUTING]),
        post("/score", "The same, under vLLM's name")
            .takes(&known::SCORE, SCORE)
            .gives(&[json("Scores")])
            .refuses(&[MODEL, COMPUTING]),
        post("/v1/feedback", "Says how good an answer was")
            .takes(&known::FEEDBACK, r#"{ "id": "chatcmpl-0", "score": 1 }"#)
            .gives(&[json("Feedback")])
            .refuses(&[MODEL, &[Kind::RequestNotFound, Kind::ReleaseConflict]]),
        get("/v1/scheduler", "Says who runs and who waits")
            .asks(&known::SCHEDULER)
            .gives(&[json("Scheduler")])
            .refuses(&[MODEL]),
        get("/v1/sessions", "Lists sessions")
            .gives(&[json("{ object: 'list', data: SessionFile[] }")])
            .refuses(&[SESSION]),
        post("/v1/sessions", "Saves what the KV cache has of a conversation")
            .takes(
                &known::SESSIONS,
                r#"{ "name": "hello", "messages": [{ "role": "user", "content": "Say hello." }] }"#,
            )
            .gives(&[json("SavedSession")])
            .refuses(&[MODEL, COMPUTING, SESSION]),
        post("/v1/sessions/{name}/restore", "Puts a session back into the KV cache")
            .asks(&known::RESTORE)
            .gives(&[json("RestoredSession")])
            .refuses(&[MODEL, COMPUTING, SESSION, &[Kind::Ask(Asked::Unsupported)]]),
        delete("/v1/sessions/{name}", "Deletes a session")
            .asks(&known::FORGET)
            .gives(&[json("{ object: 'session', name: string, deleted: true }")])
            .refuses(&[SESSION]),
    ],
    shapes: &[
        (
            "Feedback",
            "{ object: 'feedback', id: string, score: number(0..1), model: any, variant: any, release: any, counted: boolean }",
        ),
        (
            "Tokenized",
            "{ count: integer(0..), max_model_len: integer(0..), tokens: (integer(0..) | { id: integer(0..), piece: string | \
             integer(0..255)[] })[], token_strs: string[] | null }",
        ),
        (
            "Ranking",
            "{ id: string, model: string, usage: { prompt_tokens: integer(0..), total_tokens: integer(0..) }, results: \
             { index: integer(0..), relevance_score: number, document?: { text: string } }[], truncated?: integer(0..)[] }",
        ),
        (
            "Scores",
            "{ id: string, object: 'list', created: integer, model: string, usage: { prompt_tokens: integer(0..), \
             completion_tokens: integer(0..), total_tokens: integer(0..) }, data: { index: integer(0..), object: 'score', \
             score: number }[], truncated?: integer(0..)[] }",
        ),
        (
            "Scheduler",
            "{ object: 'scheduler', model: string, max_sequences: integer(0..), kv_blocks: { total: integer(0..), free: integer(0..), \
             positions: integer(0..) }, states: { total: integer(0..), used: integer(0..), kept: integer(0..) }, predictions: \
             { requests: integer(0..), first_token_error: number | null, inside_90: number | null }, running: Sequence[], waiting: Sequence[], \
             scheduler_type: string, active_workers: integer(0..), queued_tasks: integer(0..), available_capacity: integer(0..), \
             total_capacity: integer(0..) }",
        ),
        (
            "Sequence",
            "{ request: integer(0..), priority: 'high' | 'normal' | 'low', age_ms: number, continuations: integer(0..), \
             prompt_tokens: integer(0..), generated_tokens: integer(0..), cached_tokens: integer(0..), kv_blocks: integer(0..), \
             complete_within_ms: number | null }",
        ),
        (
            "SessionFile",
            "{ object: 'session', name: string, bytes: integer(0..), saved: integer | null, owner?: string }",
        ),
        (
            "SavedSession",
            "{ object: 'session', name: string, model: string, tokens: integer(0..), bytes: integer(0..) }",
        ),
        ("RestoredSession", "{ object: 'session', name: string, model: string, restored_tokens: integer(0..) }"),
    ],
    parts: &[],
};
