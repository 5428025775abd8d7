//! What changes the server while it runs.

use super::Group;
use crate::Kind;
use crate::known;
use crate::openapi::operation::{Answer, CLOSED, delete, events, get, json, patch, post};

/// Why administration is not done: it is off, asked from elsewhere, or fails.
const ADMIN: &[Kind] = &[Kind::UnknownUrl, Kind::NotLocal, Kind::Internal];

/// Why faults are not injected.
const FAULTS: &[Kind] = &[Kind::FaultsOff, Kind::NotLocal];

/// Why there is no such route or release, or it cannot do this now.
const RELEASE: &[Kind] = &[Kind::RouteNotFound, Kind::ReleaseNotFound, Kind::ReleaseConflict];

/// Models that come and go, and faults on purpose.
pub(super) const GROUP: Group = Group {
    name: "Administration",
    about: "What changes the server while it runs, with --admin, from its own machine or with a key of the role admin",
    built: true,
    operations: &[
        get("/admin/models", "Lists models, with their versions and what they do")
            .gives(&[json("{ object: 'list', data: AdminModel[] }")])
            .refuses(&[ADMIN, CLOSED]),
        post("/admin/models", "Loads a model; one of the same name is replaced as soon as it is there")
            .takes(&known::LOAD, r#"{ "model": "whinchat-demo", "load": false }"#)
            .gives(&[json("LoadedModel")])
            .refuses(&[ADMIN, CLOSED, MODEL]),
        patch("/admin/models/{*name}", "Changes which version a name means, its aliases, and whether it is in memory")
            .takes(&known::CHANGE, r#"{ "keep_alive": "5m" }"#)
            .gives(&[json("{ object: 'model', model: AdminModel | null }")])
            .refuses(&[ADMIN, CLOSED, MODEL]),
        delete("/admin/models/{*name}", "Takes a model away, or a version of it")
            .gives(&[json("Deleted")])
            .refuses(&[ADMIN, CLOSED, MODEL]),
        post("/v1/load_lora_adapter", "Loads a LoRA adapter beside a model, as vLLM's API has it")
            .takes(&known::LOAD_ADAPTER, r#"{ "lora_name": "tone", "lora_path": "adapters/tone" }"#)
            .gives(&[Answer(200, "text/plain", "")])
            .refuses(&[ADMIN, CLOSED, MODEL]),
        post("/v1/unload_lora_adapter", "Takes a LoRA adapter away; what runs on it finishes")
            .takes(&known::UNLOAD_ADAPTER, r#"{ "lora_name": "tone" }"#)
            .gives(&[Answer(200, "text/plain", "")])
            .refuses(&[ADMIN, CLOSED, MODEL]),
        get("/admin/faults", "Lists the faults on purpose that last, with --allow-faults")
            .gives(&[json("{ object: 'list', data: Fault[] }")])
            .refuses(&[FAULTS]),
        post("/admin/faults", "Injects a fault from now on, for a time")
            .takes(&known::INJECT, r#"{ "kind": "delay", "milliseconds": 200, "share": 0.1, "seconds": 60 }"#)
            .gives(&[json("Fault")])
            .refuses(&[FAULTS]),
        delete("/admin/faults", "Ends every fault on purpose")
            .gives(&[json("{ object: 'list', deleted: string[] }")])
            .refuses(&[FAULTS]),
        get("/admin/faults/{id}", "A fault on purpose that lasts, and how often it has hit")
            .gives(&[json("Fault")])
            .refuses(&[FAULTS, &[Kind::FaultNotFound]]),
        delete("/admin/faults/{id}", "Ends a fault on purpose")
            .gives(&[json("Deleted")])
            .refuses(&[FAULTS, &[Kind::FaultNotFound]]),
        get("/admin/routes", "Lists routes: public names, and who answers them")
            .gives(&[json("{ object: 'list', data: Route[] }")])
            .refuses(&[ADMIN, CLOSED]),
        get("/admin/routes/{*name}", "Describes a route").gives(&[json("Route")]).refuses(&[ADMIN, CLOSED, RELEASE]),
        get("/admin/releases", "Lists releases, the newest first")
            .asks(&known::RELEASES)
            .gives(&[json("{ object: 'list', data: Release[] }")])
            .refuses(&[ADMIN, CLOSED]),
        post("/admin/releases", "Begins a release of a candidate on a route")
            .takes(&known::RELEASE, r#"{ "route": "chat", "candidate": "whinchat-demo" }"#)
            .gives(&[json("Release")])
            .refuses(&[ADMIN, CLOSED, MODEL, RELEASE]),
        get("/admin/releases/{id}", "Describes a release").gives(&[json("Release")]).refuses(&[ADMIN, CLOSED, RELEASE]),
        get("/admin/releases/{id}/watch", "Tells how a release stands and what it decides, until it has ended")
            .gives(&[events("object")])
            .refuses(&[ADMIN, CLOSED, RELEASE]),
        get("/admin/releases/{id}/history", "Tells what a release has decided, from its journal")
            .asks(&known::JOURNAL)
            .gives(&[json("{ object: 'list', data: object[] }")])
            .refuses(&[ADMIN, CLOSED, RELEASE]),
        get("/admin/releases/{id}/explain", "Replays a release's journal, and says why it decided so")
            .gives(&[json(
                "{ object: 'explanation', id: string, replayed: boolean, entries: integer(0..), lines: any[] }",
            )])
            .refuses(&[ADMIN, CLOSED, RELEASE]),
        get("/admin/releases/{id}/baseline", "Gives the baseline that a release has left")
            .gives(&[json("object")])
            .refuses(&[ADMIN, CLOSED, RELEASE]),
        post("/admin/releases/{id}/{command}", "Pauses, resumes, promotes or aborts a release")
            .takes(&known::COMMAND, "{}")
            .gives(&[json("Release")])
            .refuses(&[ADMIN, CLOSED, MODEL, RELEASE]),
    ],
    shapes: &[
        ("Route", "{ object: 'route', name: string, policy: string, variants: object[] }"),
        (
            "Release",
            "{ object: 'release', id: string, name: string | null, route: string, stable: string, candidate: string, known: object, \
             state: 'loading' | 'shadow' | 'running' | 'paused' | 'ended', verdict: string | null, why: string | null, stage: integer(0..), share: number, \
             waits_for: string[], sentence: string, plan: object }",
        ),
        (
            "Fault",
            "{ id: string, object: 'fault', kind: string, share: number(0..1), salt: string, times: integer(1..) | null, \
             match: object, hits: integer(0..), ends_in: number(0..), milliseconds?: integer(1..), status?: integer(400..599), \
             message?: string | null, retry_after?: integer(1..) | null, memory_share?: number(0..1), after?: integer(0..) }",
        ),
        (
            "LoadedModel",
            "{ object: 'model', model: AdminModel | null, version?: string, replaced: boolean, load_ms?: integer(0..) }",
        ),
        (
            "AdminModel",
            "{ id: string, pinned: any, aliases: string[], versions: AdminVersion[], version?: string, loaded?: boolean, \
             created?: integer, context?: integer(0..), max_sequences?: integer(0..), running?: integer(0..), waiting?: integer(0..), \
             kv_blocks?: { total: integer(0..), used: integer(0..), kept: integer(0..) }, \
             states?: { total: integer(0..), used: integer(0..), kept: integer(0..) } }",
        ),
        (
            "AdminVersion",
            "{ version: string, source: string | null, adapters: { [name]: string }, loaded: boolean, loading: boolean, keep_alive: number | null, \
             expires_in: number | null, created?: integer, context?: integer(0..), max_sequences?: integer(0..), \
             running?: integer(0..), waiting?: integer(0..) }",
        ),
    ],
    parts: &[],
};

/// Why there is no such model, or it does not come.
const MODEL: &[Kind] =
    &[Kind::ModelNotFound, Kind::NotLoaded, Kind::Ask(answer::Kind::TimeLimit), Kind::Ask(answer::Kind::Missing)];
