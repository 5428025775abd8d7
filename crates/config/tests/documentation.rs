//! docs/configuration.md and docs/configuration.schema.json are what the settings say of themselves.

use std::path::Path;

const HEAD: &str = "# Configuration

What `whinchat serve` does is said in three places: a file (`whinchat serve --config whinchat.yaml`), environment variables, and flags.
A flag goes before a variable, a variable before the file, the file before the defaults. A list is replaced as a whole. This page is
written by `cargo xtask docs` from the one description of the settings in `crates/config`; a test compares.

```yaml
profile: production
model:
  source: org/large
  name: large
models:
  - name: small
    source: org/small
engine:
  max_sequences: 64
network:
  listen: [\"0.0.0.0:8000\"]
  allowed_hosts: [api.example.com]
limits:
  idle_timeout: 75s
  max_body: 64MiB
```

The file is YAML, or JSON, which is YAML. Its keys are strict: what is no setting is an error that says where, and what was perhaps meant.
Times and sizes have their unit, as `30s` and `64MiB`. Paths are relative to the folder in which the server is started.

- `whinchat config check whinchat.yaml` says everything that is wrong with a file.
- `whinchat config show --config whinchat.yaml` shows every setting with its value and where it comes from; it takes the flags of
  `serve`. Secrets are hidden.
- `whinchat config schema` prints the JSON Schema, which is [configuration.schema.json](configuration.schema.json) too. Editors that know the
  YAML language server read it where the file begins with `# yaml-language-server: $schema=whinchat.schema.json`.

## While the server runs

The file is read again when it changes, and at SIGHUP. If it is invalid nothing changes: the log says what is wrong, `GET /health` has
`configuration.status` `invalid`, and the metric `whinchat_config_invalid` is 1. Else what changes `live` in the tables below holds from
then on: time limits for connections that begin, everything else for the next request. The rest waits for a restart; the log,
`/health` (`configuration.restart`) and `whinchat_config_waiting` say so. Variables and flags are those of the start.

## Settings

";

fn compare(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    if std::env::var_os("WHINCHAT_WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).expect("writable");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "docs/{file} is not what the settings say; cargo xtask docs writes it");
}

#[test]
fn the_page_of_settings_is_what_the_code_says() {
    compare("configuration.md", &(HEAD.to_owned() + &config::markdown()));
    let schema = serde_json::to_string_pretty(config::schema()).expect("JSON");
    compare("configuration.schema.json", &(schema + "\n"));
}

/// The example at its top is one.
#[test]
fn the_example_is_valid() {
    let example = HEAD.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let file = Some(config::File { name: "example", text: example });
    let resolved = config::resolve(&config::Sources { file, ..Default::default() });
    assert_eq!(resolved.map(|resolved| resolved.given()).map_err(|problems| problems.to_string()), Ok(9));
}
