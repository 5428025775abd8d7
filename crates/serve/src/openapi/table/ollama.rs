//! Ollama's API.

use super::Group;
use crate::known;
use crate::openapi::operation::{CLOSED, COMPUTING, MODEL, get, json, lines, post};

/// Chats, completions, vectors, and what is said of models.
pub(super) const GROUP: Group = Group {
    name: "Ollama",
    about: "Ollama's API",
    built: true,
    operations: &[
        post("/api/chat", "Answers a conversation")
            .takes(
                &known::OLLAMA_CHAT,
                r#"{ "messages": [{ "role": "user", "content": "Say hello." }], "options": { "num_predict": 32 } }"#,
            )
            .gives(&[json("OllamaChat"), lines("OllamaChat")])
            .refuses(&[MODEL, COMPUTING]),
        post("/api/generate", "Answers a text")
            .takes(&known::GENERATE, r#"{ "prompt": "Say hello.", "options": { "num_predict": 32 } }"#)
            .gives(&[json("OllamaGenerate"), lines("OllamaGenerate")])
            .refuses(&[MODEL, COMPUTING]),
        get("/api/tags", "Lists models").gives(&[json("{ models: OllamaModel[] }")]).refuses(&[CLOSED]),
        get("/api/ps", "Lists models that are in memory")
            .gives(&[json("{ models: OllamaRunning[] }")])
            .refuses(&[CLOSED]),
        post("/api/show", "Describes a model")
            .takes(&known::SHOW, "{}")
            .gives(&[json("OllamaShown")])
            .refuses(&[MODEL]),
        get("/api/version", "Says which version of Ollama's API this is").gives(&[json("{ version: string }")]),
        post("/api/embed", "Turns texts into vectors")
            .takes(&known::EMBED, r#"{ "input": ["a text", "another text"] }"#)
            .gives(&[json("OllamaVectors")])
            .refuses(&[MODEL, COMPUTING]),
        post("/api/embeddings", "Turns a text into a vector")
            .takes(&known::OLLAMA_EMBEDDINGS, r#"{ "prompt": "a text" }"#)
            .gives(&[json("{ embedding: number[] }")])
            .refuses(&[MODEL, COMPUTING]),
    ],
    shapes: &[
        ("OllamaError", "{ error: string }"),
        (
            "OllamaChat",
            "{ model: string, created_at: string, message: { role: 'assistant', content: string, thinking?: string, \
             tool_calls?: OllamaCall[] }, logprobs?: TokenLogprobs[], done: boolean, done_reason?: string, \
             total_duration?: integer(0..), load_duration?: integer(0..), prompt_eval_count?: integer(0..), \
             prompt_eval_cached_count?: integer(0..), prompt_eval_duration?: integer(0..), eval_count?: integer(0..), \
             eval_duration?: integer(0..) }",
        ),
        (
            "OllamaGenerate",
            "{ model: string, created_at: string, response: string, thinking?: string, tool_calls?: OllamaCall[], \
             logprobs?: TokenLogprobs[], done: boolean, done_reason?: string, total_duration?: integer(0..), \
             load_duration?: integer(0..), prompt_eval_count?: integer(0..), prompt_eval_cached_count?: integer(0..), \
             prompt_eval_duration?: integer(0..), eval_count?: integer(0..), eval_duration?: integer(0..) }",
        ),
        ("OllamaCall", "{ id: string, function: { index: integer(0..), name: string, arguments: object } }"),
        (
            "OllamaModel",
            "{ name: string, model: string, modified_at: string, size: integer(0..), digest: string, details: OllamaDetails }",
        ),
        (
            "OllamaRunning",
            "{ name: string, model: string, size: integer(0..), digest: string, details: OllamaDetails, expires_at: string, \
             size_vram: integer(0..), context_length: integer(0..) }",
        ),
        (
            "OllamaDetails",
            "{ parent_model: string, format: string, family: string, families: string[], parameter_size: string, \
             quantization_level: string }",
        ),
        (
            "OllamaShown",
            "{ modelfile: string, parameters: string, template: string, details: OllamaDetails, model_info: object, \
             capabilities: string[], modified_at: string }",
        ),
        (
            "OllamaVectors",
            "{ model: string, embeddings: number[][], total_duration: integer(0..), load_duration: integer(0..), \
             prompt_eval_count: integer(0..) }",
        ),
    ],
    parts: &[("OllamaMessage", &known::MESSAGE), ("OllamaOptions", &known::OPTIONS)],
};
