//! What a configuration that is wrong is answered, to the letter.

use config::{File, Sources, resolve};

/// The problems of a file.
#[track_caller]
fn check(text: &str, wanted: &str) {
    let file = Some(File { name: "w.yaml", text });
    let problems = resolve(&Sources { file, ..Sources::default() }).expect_err("it is wrong").to_string();
    assert_eq!(problems, wanted.trim_matches('\n'), "\n{problems}");
}

/// The problems of variables.
#[track_caller]
fn check_variables(variables: &[(&str, &str)], wanted: &str) {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let problems =
        resolve(&Sources { variables: &variables, ..Sources::default() }).expect_err("it is wrong").to_string();
    assert_eq!(problems, wanted.trim_matches('\n'), "\n{problems}");
}

#[test]
fn names_that_are_none() {
    check(
        "engine:\n  max_sequence: 8\n",
        "
w.yaml:2:3: engine.max_sequence: there is no such setting; did you mean max_sequences?
  2 |   max_sequence: 8
    |   ^^^^^^^^^^^^",
    );
    check(
        "max_sequences: 8",
        "
w.yaml:1:1: max_sequences: there is no such setting; did you mean engine.max_sequences?
  1 | max_sequences: 8
    | ^^^^^^^^^^^^^",
    );
    check(
        "# first\n\nengine: {no_prefix_cache: true}",
        "
w.yaml:3:10: engine.no_prefix_cache: there is no such setting; did you mean cache.prefixes?
  3 | engine: {no_prefix_cache: true}
    |          ^^^^^^^^^^^^^^^",
    );
    check(
        "kubernetes:\n  replicas: 3",
        "
w.yaml:1:1: kubernetes: there is no such setting
  1 | kubernetes:
    | ^^^^^^^^^^",
    );
    check(
        "models:\n  - name: a\n    sauce: org/a\n",
        "
w.yaml:3:5: models.0.sauce: there is no such setting; did you mean source?
  3 |     sauce: org/a
    |     ^^^^^",
    );
}

#[test]
fn values_that_cannot_be() {
    check(
        "engine:\n  max_sequences: 5000\n",
        "
w.yaml:2:18: engine.max_sequences: expected a whole number from 1 to 4096
  2 |   max_sequences: 5000
    |                  ^^^^",
    );
    check(
        "engine:\n  max_sequences:\n",
        "
w.yaml:2:16: engine.max_sequences: expected a whole number from 1 to 4096
  2 |   max_sequences:
    |                ^",
    );
    check(
        "engine:\n  policy: fair_share\n",
        "
w.yaml:2:11: engine.policy: expected first-come, priority, deadline, shortest-prefill or fair-share; did you mean fair-share?
  2 |   policy: fair_share
    |           ^^^^^^^^^^",
    );
    check(
        "network:\n  grace: 30\n  admin: yes\n",
        "
w.yaml:2:10: network.grace: expected a time with its unit, such as 500ms, 30s or 5m, at most 7d
  2 |   grace: 30
    |          ^^
w.yaml:3:10: network.admin: expected true or false
  3 |   admin: yes
    |          ^^^",
    );
    check(
        "limits:\n  max_body: 32\n  idle_timeout: 0s\n",
        "
w.yaml:2:13: limits.max_body: expected a size with its unit, such as 64KiB, 32MiB or 8GiB
  2 |   max_body: 32
    |             ^^
w.yaml:3:17: limits.idle_timeout: expected more than 0s
  3 |   idle_timeout: 0s
    |                 ^^",
    );
    check(
        "network:\n  listen: [\"127.0.0.1:80\", 81]\n",
        "
w.yaml:2:28: network.listen.1: expected text
  2 |   listen: [\"127.0.0.1:80\", 81]
    |                            ^^",
    );
    check(
        "models:\n  - source: org/a\n  - {name: b, source: org/b, context: 0}\n",
        "
w.yaml:2:5: models.0: it needs name
  2 |   - source: org/a
    |     ^",
    );
    check(
        "models:\n  - {name: b, source: org/b, context: 0}\n",
        "
w.yaml:2:39: models.0.context: expected a whole number from 1 to 16777216
  2 |   - {name: b, source: org/b, context: 0}
    |                                       ^",
    );
    check(
        "model:\n  draft_model: 3\n",
        "
w.yaml:2:16: model.draft_model: expected text that is not empty
  2 |   draft_model: 3
    |                ^",
    );
    check(
        "model:\n  lora:\n    - {name: \"a:b\", path: adapters/a}\n",
        "
w.yaml:3:14: model.lora.0.name: expected a name without : and @
  3 |     - {name: \"a:b\", path: adapters/a}
    |              ^^^^^",
    );
    check(
        "models:\n  - {name: b, source: org/b, lora: [{name: tone}]}\n",
        "
w.yaml:2:37: models.0.lora.0: it needs path
  2 |   - {name: b, source: org/b, lora: [{name: tone}]}
    |                                     ^",
    );
    check(
        "engine: 8",
        "
w.yaml:1:9: engine: expected a block with threads, pin, max_sequences, max_batch_tokens, max_queue, max_queue_tokens, policy, max_step_ms, draft_tokens, kernels, plan, services
  1 | engine: 8
    |         ^",
    );
}

#[test]
fn json_is_read_too() {
    check(
        "{\"engine\": {\"pin\": 1}}",
        "
w.yaml:1:20: engine.pin: expected true or false
  1 | {\"engine\": {\"pin\": 1}}
    |                    ^",
    );
}

#[test]
fn what_contradicts_itself() {
    check(
        "model: {context: 4096}\ncache:\n  kv_tokens: 1024\n",
        "
w.yaml:3:14: cache.kv_tokens: the KV cache holds at least one sequence: it must not be less than model.context
  3 |   kv_tokens: 1024
    |              ^^^^",
    );
    check(
        "profile: production\n",
        "
w.yaml:1:10: model.source: production needs a model: the built-in one is to try things out
  1 | profile: production
    |          ^^^^^^^^^^",
    );
    check(
        "cache:\n  prefixes: false\n  spill: /fast\n",
        "
w.yaml:3:10: cache.spill: nothing is kept while cache.prefixes is false; leave this out, or set that to true
  3 |   spill: /fast
    |          ^^^^^",
    );
    check(
        "network: {hand_over: /run/w}\nstorage: {data_dir: /data}\n",
        "
w.yaml:1:22: network.hand_over: the database in storage.data_dir is open in one server at a time, so none can take over from another: leave one out
  1 | network: {hand_over: /run/w}
    |                      ^^^^^^",
    );
}

#[test]
fn variables_are_named() {
    check_variables(
        &[("WHINCHAT_MAX_SEQUENCES", "many"), ("WHINCHAT_POLICY", "priorty")],
        "
WHINCHAT_MAX_SEQUENCES: engine.max_sequences: \"many\": expected a whole number from 1 to 4096
WHINCHAT_POLICY: engine.policy: \"priorty\": expected first-come, priority, deadline, shortest-prefill or fair-share; did you mean priority?",
    );
}
