//! What a model's plan and an engine's memory are, and how they are changed.

use super::Group;
use crate::Kind;
use crate::known;
use crate::openapi::operation::{CLOSED, delete, get, json, post, put};

/// Why it is not told: asked from elsewhere, or nothing is known.
const READ: &[Kind] = &[Kind::UnknownUrl, Kind::NotLocal, Kind::Internal, Kind::Ask(answer::Kind::InvalidValue)];

/// Why there is no such model, or a field is missing.
const MODEL: &[Kind] =
    &[Kind::ModelNotFound, Kind::NotLoaded, Kind::Ask(answer::Kind::Missing), Kind::Ask(answer::Kind::InvalidType)];

const KERNELS: &str = r#"{ "kernels": "product=held" }"#;

/// Execution plans, kernels, and the levels of memory.
pub(super) const GROUP: Group = Group {
    name: "Plans and memory",
    about: "What a model's graph has become, how long it takes and by which kernels; the levels of an engine's memory. From the server's \
            own machine, or with a key of the role admin; what changes something needs --admin",
    built: true,
    operations: &[
        get("/plan", "Gives a model's execution plan: operators, values, fusion, costs and times")
            .asks(&known::PLAN)
            .gives(&[json("Plan")])
            .refuses(&[READ, CLOSED, MODEL]),
        post("/plan/check", "Says whether a plan computes what the model computes, by the reference interpreter")
            .takes(&known::PLAN_CHECK, r#"{ "plan": {} }"#)
            .gives(&[json("{ object: 'plan.check', model: string, valid: boolean, why: string | null }")])
            .refuses(&[READ, CLOSED, MODEL]),
        post("/plan/profile", "Measures the plan by operator and shape, and keeps the profile")
            .takes(&known::PLAN_PROFILE, r#"{ "rows": [1] }"#)
            .gives(&[json("Profile")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/plan/profiles", "Lists the profiles that are kept, the newest first")
            .asks(&known::PLAN_OF)
            .gives(&[json("{ object: 'list', data: object[] }")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/plan/compare", "Compares two profiles operator by operator")
            .asks(&known::PLAN_COMPARE)
            .gives(&[json("{ object: 'comparison', before: object, after: object, operators: object[] }")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/plan/kernels", "Lists the kernels that operators have, and those that are used")
            .asks(&known::PLAN_OF)
            .gives(&[json("Kernels")])
            .refuses(&[READ, CLOSED, MODEL]),
        put("/plan/kernels", "Chooses kernels, from the next step on")
            .takes(&known::PLAN_KERNELS, KERNELS)
            .gives(&[json("Kernels")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/plan/trial", "Says how the trial of kernels stands")
            .asks(&known::PLAN_OF)
            .gives(&[json("KernelTrial")])
            .refuses(&[READ, CLOSED, MODEL]),
        post("/plan/trial", "Tries kernels on a share of the steps, and takes them if they are faster")
            .takes(&known::PLAN_TRIAL, KERNELS)
            .gives(&[json("KernelTrial")])
            .refuses(&[READ, CLOSED, MODEL]),
        delete("/plan/trial", "Ends the trial of kernels")
            .asks(&known::PLAN_OF)
            .gives(&[json("KernelTrial")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/memory/plan", "Gives the levels of an engine's memory: sizes, rules and what they hold")
            .asks(&known::MEMORY)
            .gives(&[json("MemoryPlan")])
            .refuses(&[READ, CLOSED, MODEL]),
        put("/memory/plan", "Changes rules and sizes")
            .takes(&known::MEMORY_PLAN, r#"{ "eviction": "lfu" }"#)
            .gives(&[json("MemoryPlan")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/memory/usage", "Says what is used by level, by sequence, by prefix and by service")
            .asks(&known::MEMORY_USAGE)
            .gives(&[json("MemoryUsage")])
            .refuses(&[READ, CLOSED, MODEL]),
        post("/memory/evict", "Evicts blocks, entries or a prefix that nobody uses")
            .takes(&known::MEMORY_EVICT, r#"{ "count": 1 }"#)
            .gives(&[json("MemoryDone")])
            .refuses(&[READ, CLOSED, MODEL]),
        post("/memory/pin", "Holds a prefix in the KV cache, or lets it go")
            .takes(&known::MEMORY_PIN, r#"{ "prefix": "00", "pinned": false }"#)
            .gives(&[json("MemoryDone")])
            .refuses(&[READ, CLOSED, MODEL]),
        post("/memory/flush", "Empties a level into the one below it")
            .takes(&known::MEMORY_FLUSH, r#"{ "tier": "device" }"#)
            .gives(&[json("MemoryDone")])
            .refuses(&[READ, CLOSED, MODEL]),
        get("/memory/policy", "Says who is asked what to evict, and what came of it")
            .asks(&known::MEMORY)
            .gives(&[json("MemoryPolicy")])
            .refuses(&[READ, CLOSED, MODEL]),
        put("/memory/policy", "Asks somebody else which prefixes to evict, ahead of need and with a deadline")
            .takes(&known::MEMORY_POLICY, r#"{ "url": "http://127.0.0.1:9000/victims" }"#)
            .gives(&[json("MemoryPolicy")])
            .refuses(&[READ, CLOSED, MODEL]),
        delete("/memory/policy", "Asks nobody any more: the rule decides alone")
            .asks(&known::MEMORY)
            .gives(&[json("{ object: 'memory.policy', model: string, deleted: boolean }")])
            .refuses(&[READ, CLOSED, MODEL]),
    ],
    shapes: &[
        (
            "Plan",
            "{ object: 'plan', version: integer, model: string, source: string, isa: string, threads: integer(1..), shape: object, \
             machine: object | null, limits: object, fusion: object[], operators: object[], values: object[], memory: object[], \
             weights: object[], output: object, arena_bytes: integer(0..), total: object }",
        ),
        (
            "Profile",
            "{ object: 'profile', id: integer | null, model: string, isa: string, threads: integer(1..), machine: object, \
             context: integer(0..), repeats: integer(1..), kernels: string[], steps: object[], operators: object[] }",
        ),
        ("Kernels", "{ object: 'kernels', model: string, chosen: string[], operators: object[] }"),
        (
            "KernelTrial",
            "{ object: 'kernels.trial', model: string, state: 'none' | 'running' | 'taken' | 'refused' | 'ended', kernels: string[], share: number, \
             alpha: number, pairs: integer(0..), faster: integer(0..), slower: integer(0..), evidence: object | null }",
        ),
        (
            "MemoryTier",
            "{ tier: string, rule: string, limit_bytes: integer(0..) | null, used_bytes: integer(0..) | null, entries: integer(0..) }",
        ),
        ("MemoryPlan", "{ object: 'memory.plan', model: string, tiers: MemoryTier[] }"),
        (
            "MemoryUsage",
            "{ object: 'memory.usage', model: string, tiers?: MemoryTier[], sequences?: object[], prefixes?: object[], services?: object }",
        ),
        ("MemoryDone", "{ object: 'memory.done', model: string, done: integer(0..), tiers: MemoryTier[] }"),
        (
            "MemoryPolicy",
            "{ object: 'memory.policy', model: string, url: string | null, deadline_ms?: integer(1..), victims?: integer(1..), \
             asked?: integer(0..), answered?: integer(0..), failed?: integer(0..), advised?: integer(0..), last_error?: string | null }",
        ),
    ],
    parts: &[],
};
