//! Fields that several APIs have under the same names.

use serde_json::Value;

use super::{Field, honoured, is_true, refused, refused_unless};

/// How tokens are chosen, in the order of the sampler.
pub(super) const SAMPLING: &[Field] = &[
    honoured("allowed_token_ids", ""),
    honoured("bad_words", ""),
    honoured("logit_bias", "of token ids or texts"),
    honoured("repetition_penalty", ""),
    honoured("repeat_penalty", "llama.cpp's name for `repetition_penalty`"),
    honoured("frequency_penalty", ""),
    honoured("presence_penalty", ""),
    honoured(
        "repeat_last_n",
        "penalties look at everything: −1, and 0 which switches them off; another window is refused where there is a penalty",
    ),
    honoured("dry_multiplier", ""),
    honoured("dry_base", "with `dry_multiplier`"),
    honoured("dry_allowed_length", "with `dry_multiplier`"),
    honoured("dry_penalty_last_n", "with `dry_multiplier`"),
    honoured("dry_sequence_breakers", "with `dry_multiplier`"),
    honoured("temperature", ""),
    honoured("min_p", ""),
    honoured("top_k", ""),
    honoured("typical_p", ""),
    honoured("typical", "llama.cpp's name for `typical_p`"),
    honoured("top_p", ""),
    honoured("xtc_probability", ""),
    honoured("xtc_threshold", ""),
    honoured("seed", ""),
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
