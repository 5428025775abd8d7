//! Fields that several APIs have under the same names.

use serde_json::Value;

use super::{Field, honoured, is_true, refused, refused_unless};

/// How tokens are chosen, in the order of the sampler.
pub(super) const SAMPLING: &[Field] = &[
    honoured("allowed_token_ids", "integer(0..4294967295)[]", ""),
    honoured("bad_words", "string | string[]", ""),
    honoured("logit_bias", "{ [token]: number(-100..100) | false } | any[][]", "of token ids or texts"),
    honoured("repetition_penalty", "number(0..)", ""),
    honoured("repeat_penalty", "number(0..)", "llama.cpp's name for `repetition_penalty`"),
    honoured("frequency_penalty", "number(-2..2)", ""),
    honoured("presence_penalty", "number(-2..2)", ""),
    honoured(
        "repeat_last_n",
        "integer(-1..)",
        "penalties look at everything: −1, and 0 which switches them off; another window is refused where there is a penalty",
    ),
    honoured("dry_multiplier", "number(0..)", ""),
    honoured("dry_base", "number(0..)", "with `dry_multiplier`"),
    honoured("dry_allowed_length", "integer(0..)", "with `dry_multiplier`"),
    honoured("dry_penalty_last_n", "integer(-1..)", "with `dry_multiplier`"),
    honoured("dry_sequence_breakers", "string | string[]", "with `dry_multiplier`"),
    honoured("temperature", "number(0..)", ""),
    honoured("min_p", "number(0..1)", ""),
    honoured("top_k", "integer(-1..)", ""),
    honoured("typical_p", "number(0..1)", ""),
    honoured("typical", "number(0..1)", "llama.cpp's name for `typical_p`"),
    honoured("top_p", "number(0..1)", ""),
    honoured("xtc_probability", "number(0..1)", ""),
    honoured("xtc_threshold", "number(0..1)", ""),
    honoured("seed", "integer", ""),
];

/// How other servers choose tokens, and this one does not.
pub(super) const OTHER_SAMPLING: &[Field] = &[
    refused("mirostat", ""),
    refused_unless("tfs_z", |value| value.as_f64().is_some_and(|z| z == 0.0 || z == 1.0), "unless 0 or 1"),
    refused("dynatemp_range", ""),
    refused("top_a", ""),
    refused_unless("top_n_sigma", |value| value.as_f64().is_some_and(|n| n <= 0.0), "unless 0 or less"),
    refused_unless("penalize_newline", is_true, "unless true"),
];

/// Whether a number means no limit.
pub(super) fn is_unlimited(value: &Value) -> bool {
    value.as_f64().is_some_and(|limit| limit <= 0.0)
}
