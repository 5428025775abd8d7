//! `docs/fields.md`: the table as people read it.

use std::fmt::Write;

use super::{Field, Request, Use, requests};

const HEAD: &str = "# Fields of requests

Every field that a request of each API may have, and what the server does with it. This page is written by `cargo xtask docs` from the table
that the parsers read through (`crates/serve/src/wire/known`). Tests compare it, send every field, and look up OpenAI's specification and
the official Python clients for fields that are missing.

- **honoured**: it does what its API says, or what stands beside it. What cannot be done of it is refused by name.
- **refused**: the request is an error that names the field (`unsupported_parameter`), since ignoring it would give another answer than was
  asked for. A value that asks for nothing is not refused: null, false, 0, an empty text, array or object, or what stands beside it.
- **ignored**: it changes no answer here, whatever it says.

A field that is not in the table is unknown, and is ignored. `null` is as good as nothing. What the fields mean, their ranges and
defaults: [http.md](http.md#parameters), [responses.md](responses.md), [batches.md](batches.md), [anthropic.md](anthropic.md),
[ollama.md](ollama.md).
";

/// The page.
pub fn page() -> String {
    let (mut page, mut api) = (HEAD.to_owned(), "");
    for request in requests() {
        if api != request.api {
            api = request.api;
            let _ = write!(page, "\n## {api}\n");
        }
        section(&mut page, request);
    }
    page
}

/// A string takes whatever is written to it.
fn section(page: &mut String, request: &Request) {
    let _ = write!(page, "\n### {}\n\n| field | | |\n|---|---|---|\n", request.endpoint);
    for Field { name, usage, note, .. } in request.fields() {
        let usage = match usage {
            Use::Honoured => "honoured",
            Use::Refused(_) => "refused",
            Use::Ignored => "ignored",
        };
        let _ = writeln!(page, "| `{name}` | {usage} | {note} |");
    }
}
