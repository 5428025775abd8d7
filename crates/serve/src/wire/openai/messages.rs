//! Messages of a chat, within bounds.

use answer::{Kind, Problem};
use serde_json::Value;

use crate::wire::fields::{Fields, MAX_MESSAGES};

/// The messages of a request, checked and in one form.
pub(super) fn messages(fields: Fields<'_>) -> Result<Value, Problem> {
    fields.required("messages")?;
    let items = fields.list("messages", MAX_MESSAGES)?.map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return Err(Problem::of(Kind::InvalidValue, "messages", "messages is empty. Write at least one message."));
    }
    Ok(text::normalized_messages(&Value::Array(items.to_vec()))?)
}
