//! How tokens are chosen: the fields that every API has under the same names.

use std::ops::Bound;

use answer::{Kind, Problem, Sampling};

use super::fields::{Fields, MAX_TOKEN_IDS, check_length};

/// What a request, or a part of it, says of sampling.
pub(super) fn sampling(fields: Fields<'_>) -> Result<Sampling, Problem> {
    let share = 0.0..=1.0;
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0..)?,
        top_k: fields.integer("top_k", -1..)?.map(|k| usize::try_from(k).unwrap_or(0)),
        top_p: fields.number("top_p", share.clone())?,
        min_p: fields.number("min_p", 0.0..=1.0)?,
        typical_p: fields.number(fields.alias("typical_p", "typical"), share)?,
        repetition_penalty: fields
            .number(fields.alias("repetition_penalty", "repeat_penalty"), (Bound::Excluded(0.0), Bound::Unbounded))?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        logit_bias: logit_bias(fields)?,
        seed: fields.seed()?,
    })
}

fn logit_bias(fields: Fields<'_>) -> Result<Vec<(u32, f32)>, Problem> {
    let Some(map) = fields.object("logit_bias")? else { return Ok(Vec::new()) };
    check_length("logit_bias", map.len(), MAX_TOKEN_IDS)?;
    let read = |id: &String| {
        let token = id.parse().map_err(|_| {
            let message = format!("logit_bias: `{id}` is not a token id. Its keys are token ids, its values biases.");
            Problem::of(Kind::InvalidValue, "logit_bias", message)
        })?;
        let in_field = |e: Problem| Problem::of(e.kind, "logit_bias", format!("logit_bias: {}", e.message));
        let bias = Fields(map).number(id, -100.0..=100.0).map_err(in_field)?;
        Ok((token, bias.unwrap_or(0.0)))
    };
    map.keys().map(read).collect()
}
