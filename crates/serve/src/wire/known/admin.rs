//! The requests of `/admin`.

use super::{Request, honoured, ignored};

pub(super) const ALL: &[&Request] =
    &[&LOAD, &CHANGE, &LOAD_ADAPTER, &UNLOAD_ADAPTER, &INJECT, &RELEASES, &RELEASE, &COMMAND, &HISTORY];

const ADMIN: &str = "Administration";

/// `POST /admin/models`.
pub(crate) const LOAD: Request = Request {
    api: ADMIN,
    endpoint: "POST /admin/models",
    groups: &[&[
        honoured("model", "string", "required: a file, a folder or a name"),
        honoured("name", "string", "absent: the model's own"),
        honoured("version", "string", "absent: the next number"),
        honoured("load", "boolean", "true where nothing is said; else it is only known"),
        honoured("keep_alive", "number | string", "how long it stays in memory when nobody uses it"),
        honoured("context", "integer(1..)", ""),
        honoured("kv_tokens", "integer(1..)", ""),
        honoured("max_sequences", "integer(1..)", ""),
        honoured(
            "draft_model",
            "string",
            "a smaller model or an EAGLE-3 head that drafts for it, or `mtp`, its own layer for that; absent: none",
        ),
        honoured("adapters", "object", "LoRA adapters that come with it: names, and folders or files"),
    ]],
};

/// `POST /v1/load_lora_adapter`.
pub(crate) const LOAD_ADAPTER: Request = Request {
    api: ADMIN,
    endpoint: "POST /v1/load_lora_adapter",
    groups: &[&[
        honoured("lora_name", "string", "required: what clients call it"),
        honoured("lora_path", "string", "required: a folder or a file on the server's machine"),
        honoured("load_inplace", "boolean", "whether it may take the place of one of this name"),
        honoured("base_model_name", "string", "absent: the first model"),
        ignored("is_3d_lora_weight", "experts are not adapted"),
    ]],
};

/// `POST /v1/unload_lora_adapter`.
pub(crate) const UNLOAD_ADAPTER: Request = Request {
    api: ADMIN,
    endpoint: "POST /v1/unload_lora_adapter",
    groups: &[&[
        honoured("lora_name", "string", "required: `ADAPTER`, or `MODEL:ADAPTER`"),
        ignored("lora_int_id", "adapters go by their names"),
    ]],
};

/// `PATCH /admin/models/NAME`.
pub(crate) const CHANGE: Request = Request {
    api: ADMIN,
    endpoint: "PATCH /admin/models/NAME",
    groups: &[&[
        honoured("pinned", "string", "the version that the name means; null: the newest"),
        honoured("roll_back", "boolean", "the version before"),
        honoured("aliases", "string | string[]", "all of them"),
        honoured("keep_alive", "number | string", ""),
        honoured("loaded", "boolean", "whether it is in memory"),
        honoured("adapters", "object", "LoRA adapters: a folder or a file loads one, null takes one away, others stay"),
    ]],
};

/// `POST /admin/faults`.
pub(crate) const INJECT: Request = Request {
    api: ADMIN,
    endpoint: "POST /admin/faults",
    groups: &[&[
        honoured(
            "kind",
            "string",
            "required: delay, error, panic, executor_failure, device_loss, slow_executor, memory_shortage, slow_stream, cut_stream",
        ),
        honoured("seconds", "integer(1..86400)", "required: after that it ends"),
        honoured("share", "number(0..1)", "1 where nothing is said"),
        honoured("salt", "string", "chooses the requests of the share"),
        honoured("times", "integer(1..)", "requests that it hits at most"),
        honoured("match", "object", "whom it hits: model, path, key, user, header"),
        honoured("milliseconds", "integer(1..600000)", "of delay, slow_executor and slow_stream"),
        honoured("status", "integer(400..599)", "of error"),
        honoured("message", "string", "of error, executor_failure and device_loss"),
        honoured("retry_after", "integer(1..600)", "of error"),
        honoured("memory_share", "number(0..1)", "of memory_shortage"),
        honoured("after", "integer(0..)", "of cut_stream"),
    ]],
};

/// `GET /admin/releases`.
pub(crate) const RELEASES: Request = Request {
    api: ADMIN,
    endpoint: "GET /admin/releases, in the address",
    groups: &[&[honoured("route", "string", "absent: every route's")]],
};

/// `POST /admin/releases`.
pub(crate) const RELEASE: Request = Request {
    api: ADMIN,
    endpoint: "POST /admin/releases",
    groups: &[&[
        honoured("route", "string", "required: the public name"),
        honoured("candidate", "string", "a model that is served; this or `source`"),
        honoured("source", "string", "what to load; this or `candidate`"),
        honoured("version", "string", "with `source`: absent, the next number"),
        honoured("context", "integer(1..)", "with `source`"),
        honoured("kv_tokens", "integer(1..)", "with `source`"),
        honoured("max_sequences", "integer(1..)", "with `source`"),
        honoured("draft_model", "string", "with `source`"),
        honoured("name", "string", "of the release"),
        honoured("weight_type", "string", "of the candidate, for who looks"),
        honoured("bytes", "integer(0..)", "of the candidate's weights, for who looks"),
        honoured("quality", "object", "scores of evaluations by their names, for who looks"),
        honoured("plan", "object", "stages, margins and limits; absent, the usual ones"),
    ]],
};

/// `POST /admin/releases/ID/COMMAND`.
pub(crate) const COMMAND: Request = Request {
    api: ADMIN,
    endpoint: "POST /admin/releases/ID/COMMAND",
    groups: &[&[honoured("why", "string", "of `abort`")]],
};

/// `GET /admin/releases/ID/history`.
pub(crate) const HISTORY: Request = Request {
    api: ADMIN,
    endpoint: "GET /admin/releases/ID/history, in the address",
    groups: &[&[honoured("all", "boolean", "every entry, not the decisions alone")]],
};
