//! When files are forgotten: `expires_after` of a file, `output_expires_after` of a batch.

use answer::{Kind, Problem};
use serde_json::{Map, Value};

use crate::wire::fields::{Fields, within};

/// Seconds that a file may be asked to stay, as OpenAI has it: an hour to 30 days.
const SECONDS: std::ops::RangeInclusive<i64> = 3600..=2_592_000;

/// After how many seconds, counted from when the file is written; `None` if it stays.
pub(super) fn seconds(name: &str, policy: Option<&Map<String, Value>>) -> Result<Option<i64>, Problem> {
    let Some(policy) = policy.map(Fields::new) else { return Ok(None) };
    let inside = |e| within(name, e);
    let anchor = policy.required("anchor").and_then(|_| policy.string("anchor")).map_err(inside)?;
    if anchor != Some("created_at") {
        let message = format!("{name}.anchor must be created_at, but it is `{}`.", anchor.unwrap_or_default());
        return Err(Problem::of(Kind::InvalidValue, format!("{name}.anchor"), message));
    }
    policy.required("seconds").and_then(|_| policy.integer("seconds", SECONDS)).map_err(inside)
}
