//! A cache of four blocks of two positions, and what becomes of them.

use serde_json::{Value, json};

use crate::services::Example;

pub(super) fn examples() -> Vec<Example> {
    life().into_iter().chain(mistakes()).collect()
}

fn life() -> Vec<Example> {
    let open = json!({ "session": "example", "blocks": 4, "block_len": 2, "eviction": "lru" });
    let opened = json!({ "session": "example", "version": 0, "eviction": "lru" });
    let apply = |about: &str, version: u64, ops: Value, (answers, kept, warm): (Value, usize, usize)| {
        let request = json!({ "session": "example", "version": version, "ops": ops });
        let answer = json!({ "version": version + 1, "answers": answers, "kept": kept, "warm": warm });
        Example::new(about, "/apply", request, answer)
    };
    vec![
        Example::new("The blocks of one engine", "/open", open, opened),
        apply(
            "A sequence of five tokens takes three blocks",
            0,
            json!([{ "op": "allocate", "count": 3 }]),
            (json!([[0, 1, 2]]), 0, 0),
        ),
        apply(
            "Two of them are full: others can find them now",
            1,
            json!([{ "op": "share", "parent": null, "salt": null, "blocks": [0, 1], "tokens": [7, 8, 9, 10] }]),
            (json!([[0, 1]]), 0, 0),
        ),
        apply(
            "The sequence ends: what can be found is kept, what cannot is free",
            2,
            json!([{ "op": "let_go", "blocks": [2, 1, 0] }]),
            (json!([]), 2, 1),
        ),
        apply(
            "Another one begins with the same four tokens, and need not compute them",
            3,
            json!([
                { "op": "tick", "steps": 1 },
                { "op": "find", "parent": null, "salt": null, "tokens": [7, 8, 9, 10, 11, 12] },
            ]),
            (json!([[0, 1]]), 0, 1),
        ),
        apply(
            "With another salt nothing is found",
            4,
            json!([{ "op": "find", "parent": null, "salt": "me", "tokens": [7, 8] }]),
            (json!([[]]), 0, 1),
        ),
        apply(
            "It ends too, and a long one needs all blocks: the last block of the prefix is forgotten first",
            5,
            json!([{ "op": "hit", "blocks": [0, 1] }, { "op": "let_go", "blocks": [0, 1] }, { "op": "allocate", "count": 3 }]),
            (json!([[2, 3, 1]]), 1, 0),
        ),
        apply(
            "There is one block left, and two are wanted",
            6,
            json!([{ "op": "allocate", "count": 2 }]),
            (json!([[0]]), 0, 0),
        ),
    ]
}

/// Of the session after that.
fn mistakes() -> Vec<Example> {
    let broken = |about: &str, version: u64, ops: Value, why: (u16, &str)| {
        let request = json!({ "session": "example", "version": version, "ops": ops });
        Example::refused(about, "/apply", request, why)
    };
    vec![
        broken("What has happened to a version that is over", 3, json!([]), (409, "version_differs")),
        broken("A block that is not there", 7, json!([{ "op": "let_go", "blocks": [9] }]), (409, "version_differs")),
        broken("After a mistake the session is over", 8, json!([]), (409, "version_differs")),
        Example::refused(
            "A rule that there is not",
            "/open",
            json!({ "session": "example", "blocks": 4, "block_len": 2, "eviction": "random" }),
            (400, "invalid_value"),
        ),
    ]
}
