//! The requests of `/plan` and `/memory`.

use super::{Field, Request, honoured};

pub(super) const ALL: &[&Request] = &[
    &PLAN,
    &PLAN_CHECK,
    &PLAN_PROFILE,
    &PLAN_OF,
    &PLAN_COMPARE,
    &PLAN_KERNELS,
    &PLAN_TRIAL,
    &MEMORY,
    &MEMORY_PLAN,
    &MEMORY_USAGE,
    &MEMORY_EVICT,
    &MEMORY_PIN,
    &MEMORY_FLUSH,
    &MEMORY_POLICY,
];

const API: &str = "Plans and memory";

/// Whose it is.
const MODEL: Field = honoured("model", "string", "absent: the first model");

/// `GET /plan`.
pub(crate) const PLAN: Request = Request {
    api: API,
    endpoint: "GET /plan, in the address",
    groups: &[&[
        MODEL,
        honoured("rows", "integer(1..1048576)", "of the step that costs are given for; absent: 1"),
        honoured("context", "integer(0..)", "positions before them; absent: 512"),
    ]],
};

/// `POST /plan/check`.
pub(crate) const PLAN_CHECK: Request = Request {
    api: API,
    endpoint: "POST /plan/check",
    groups: &[&[MODEL, honoured("plan", "object", "required: as GET /plan gives it")]],
};

/// `POST /plan/profile`.
pub(crate) const PLAN_PROFILE: Request = Request {
    api: API,
    endpoint: "POST /plan/profile",
    groups: &[&[
        MODEL,
        honoured("rows", "integer[]", "of each step; up to 32 are sequences that decode; absent: 1, 8, 128"),
        honoured("context", "integer(0..)", "positions before them; absent: 128"),
        honoured("repeats", "integer(1..1000)", "steps of which the median is taken; absent: 5"),
        honoured("kernels", "string | string[]", "as --kernel takes them"),
        honoured("note", "string", "what is measured, in words"),
    ]],
};

/// What is asked of a model's plan in the address alone.
pub(crate) const PLAN_OF: Request = Request {
    api: API,
    endpoint: "GET /plan/profiles, GET /plan/kernels, GET and DELETE /plan/trial, in the address",
    groups: &[&[MODEL]],
};

/// `GET /plan/compare`.
pub(crate) const PLAN_COMPARE: Request = Request {
    api: API,
    endpoint: "GET /plan/compare, in the address",
    groups: &[&[
        MODEL,
        honoured("before", "string", "required: a profile's number"),
        honoured("after", "string", "required: another one's"),
    ]],
};

/// `PUT /plan/kernels`.
pub(crate) const PLAN_KERNELS: Request = Request {
    api: API,
    endpoint: "PUT /plan/kernels",
    groups: &[&[
        MODEL,
        honoured("kernels", "string | string[]", "required: such as product=held; an empty list: those at the start"),
    ]],
};

/// `POST /plan/trial`.
pub(crate) const PLAN_TRIAL: Request = Request {
    api: API,
    endpoint: "POST /plan/trial",
    groups: &[&[
        MODEL,
        honoured("kernels", "string | string[]", "required: such as product=held"),
        honoured("share", "number(0.01..0.99)", "of the steps; absent: 0.5"),
        honoured("alpha", "number(0..0.5)", "the chance of taking kernels that are not faster; absent: 0.01"),
    ]],
};

/// `GET /memory/plan` and the like.
pub(crate) const MEMORY: Request = Request {
    api: API,
    endpoint: "GET /memory/plan, GET and DELETE /memory/policy, in the address",
    groups: &[&[MODEL]],
};

/// `PUT /memory/plan`.
pub(crate) const MEMORY_PLAN: Request = Request {
    api: API,
    endpoint: "PUT /memory/plan",
    groups: &[&[
        MODEL,
        honoured("eviction", "string", "the rule of the KV cache: lru, lfu, s3-fifo, cost"),
        honoured("keep_positions", "integer(0..)", "positions that are kept though nobody uses them"),
        honoured("host_bytes", "integer(0..)", "the size of the host's level"),
        honoured("host_eviction", "string", "its rule: lru, lfu, fifo"),
        honoured("file_bytes", "integer(0..)", "the size of the file"),
        honoured("promotion", "string", "from the file into memory: always, second, never"),
    ]],
};

/// `GET /memory/usage`.
pub(crate) const MEMORY_USAGE: Request = Request {
    api: API,
    endpoint: "GET /memory/usage, in the address",
    groups: &[&[
        MODEL,
        honoured("by", "'tier' | 'sequence' | 'prefix' | 'service'", "absent: all"),
        honoured("limit", "integer(0..)", "prefixes at most; absent: 100"),
    ]],
};

/// `POST /memory/evict`.
pub(crate) const MEMORY_EVICT: Request = Request {
    api: API,
    endpoint: "POST /memory/evict",
    groups: &[&[
        MODEL,
        honoured("tier", "string", "device, host or file; absent: device"),
        honoured("count", "integer(1..)", "blocks or entries; absent: 1"),
        honoured("prefix", "string", "a prefix's name, in place of both"),
    ]],
};

/// `POST /memory/pin`.
pub(crate) const MEMORY_PIN: Request = Request {
    api: API,
    endpoint: "POST /memory/pin",
    groups: &[&[
        MODEL,
        honoured("prefix", "string", "required: a prefix's name"),
        honoured("pinned", "boolean", "false lets it go; absent: true"),
    ]],
};

/// `POST /memory/flush`.
pub(crate) const MEMORY_FLUSH: Request = Request {
    api: API,
    endpoint: "POST /memory/flush",
    groups: &[&[MODEL, honoured("tier", "string", "device, host or file; absent: device")]],
};

/// `PUT /memory/policy`.
pub(crate) const MEMORY_POLICY: Request = Request {
    api: API,
    endpoint: "PUT /memory/policy",
    groups: &[&[
        MODEL,
        honoured("url", "string", "required: who is asked for victims"),
        honoured("deadline_ms", "integer(1..60000)", "after which the rule decides; absent: 100"),
        honoured("victims", "integer(1..)", "asked for at once; absent: 16"),
    ]],
};
