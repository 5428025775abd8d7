//! Whether a written file is read as the model it was made from.

use std::path::Path;

use graph::Rope;

use crate::{Checkpoint, Model, ModelError, ModelSpec, RecurrentSpec};

/// # Errors
/// If the file `written` says another model than `model`, or another layer that predicts `ahead`: GGUF has no keys for some things.
pub(super) fn same(model: &Model, ahead: Option<&Model>, written: &Path) -> Result<(), ModelError> {
    let again = Checkpoint::open(written)?;
    let unsaid = |own: &str, other: &str| {
        let problem = format!("GGUF has no key for this model's `{own}` (a file would mean `{other}`); ");
        model.checkpoint().unsupported("config.json", problem + "run it from its safetensors files")
    };
    let same = |own: &Model, other: &Model| match difference(own.spec(), other.spec()) {
        None => Ok(()),
        Some((own, other)) => Err(unsaid(&own, &other)),
    };
    same(model, &again.bind(None)?)?;
    let Some(ahead) = ahead else { return Ok(()) };
    let other = again.bind_mtp(None)?.ok_or_else(|| unsaid("layer that predicts ahead", "none"))?;
    same(ahead, &other)
}

/// The first number that differs, as both have it. Those that were rounded to F32 on the way may differ by that, and a rope
/// may turn other rows.
fn difference(own: &ModelSpec, other: &ModelSpec) -> Option<(String, String)> {
    let mut other = other.clone();
    other.architecture = own.architecture;
    for (x, y) in [(own.scales.logits, &mut other.scales.logits), (own.scales.embed, &mut other.scales.embed)] {
        if close(x, *y) {
            *y = x;
        }
    }
    if let (Some(encoder), Some(again)) = (own.encoder, &mut other.encoder) {
        // It makes no logits, and its table of positions is written without the rows before the first one.
        other.output.tied = own.output.tied;
        if let (Some(positions), Some(again)) = (encoder.positions, &mut again.positions) {
            again.first = positions.first;
        }
    }
    for (own, other) in own.blocks.iter().zip(&mut other.blocks) {
        // Heads of values change places, and with them all that is theirs.
        if let (Some(RecurrentSpec::Delta(own)), Some(RecurrentSpec::Delta(other))) =
            (&own.recurrent, &mut other.recurrent)
        {
            other.order = own.order;
        }
        if let (Some(own), Some(other)) = (&own.attention, &mut other.attention)
            && close(own.scale, other.scale)
        {
            other.scale = own.scale;
        }
        if let (Some(own), Some(other)) = (&own.attention, &mut other.attention)
            && let (Some(own), Some(other)) = (&own.rope, &mut other.rope)
            && same_rope(own, other)
        {
            *other = own.clone();
        }
    }
    let (own, other) = (format!("{own:#?}"), format!("{other:#?}"));
    let mut lines = own.lines().zip(other.lines());
    lines
        .find(|(a, b)| a != b)
        .map(|(a, b)| (a.trim().trim_end_matches(',').into(), b.trim().trim_end_matches(',').into()))
}

fn same_rope(own: &Rope, other: &Rope) -> bool {
    let freqs = own.freqs.iter().zip(other.freqs.iter()).all(|(a, b)| close(*a, *b));
    own.freqs.len() == other.freqs.len()
        && freqs
        && own.head_dim == other.head_dim
        && close(own.magnitude, other.magnitude)
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 * a.abs()
}
