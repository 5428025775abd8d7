//! How tokens are chosen: the fields that every API has under the same names.

use std::ops::Bound;

use answer::{DrySettings, Guards, Kind, Problem, Sampling, Steering, Xtc};
use serde_json::{Map, Value};

use super::fields::{Fields, MAX_STOPS, MAX_TOKEN_IDS, check_length, token, unsupported, wrong_type};

/// What a request, or a part of it, says of sampling.
///
/// Penalties look at everything: a window matters, and is refused, where there is a penalty.
pub(super) fn sampling(fields: Fields<'_>) -> Result<Sampling, Problem> {
    let sampling = stated(fields)?;
    let on = |penalty: Option<f32>, off: f32| penalty.is_some_and(|penalty| penalty != off);
    let penalties = on(sampling.repetition_penalty, 1.0)
        || on(sampling.presence_penalty, 0.0)
        || on(sampling.frequency_penalty, 0.0);
    match fields.integer("repeat_last_n", -1..)? {
        Some(0) => Ok(Sampling {
            repetition_penalty: Some(1.0),
            presence_penalty: Some(0.0),
            frequency_penalty: Some(0.0),
            ..sampling
        }),
        Some(1..) if penalties => Err(unsupported("repeat_last_n", "other than -1 and 0, where there is a penalty,")),
        _ => Ok(sampling),
    }
}

fn stated(fields: Fields<'_>) -> Result<Sampling, Problem> {
    let share = 0.0..=1.0;
    let (logit_bias, steering) = steering(fields)?;
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
        logit_bias,
        steering,
        guards: Guards { dry: dry(fields)?, xtc: xtc(fields)? },
        seed: fields.seed()?,
    })
}

/// Tokens and texts that are biased, allowed or left out.
fn steering(fields: Fields<'_>) -> Result<(Vec<(u32, f32)>, Steering), Problem> {
    let (mut tokens, mut biased) = (Vec::new(), Vec::new());
    for (what, bias) in biases(fields)? {
        match what {
            Biased::Token(id) => tokens.push((id, bias)),
            Biased::Text(text) => biased.push((text, bias)),
        }
    }
    let allowed = fields.list("allowed_token_ids", MAX_ALLOWED)?.filter(|ids| !ids.is_empty());
    let id = |(i, id)| token(&format!("allowed_token_ids[{i}]"), id);
    let allowed = allowed.map(|ids| ids.iter().enumerate().map(id).collect()).transpose()?;
    Ok((tokens, Steering { biased, allowed, bad_words: fields.strings("bad_words", MAX_BAD_WORDS)? }))
}

/// Ids in `allowed_token_ids` at most: more than any vocabulary has.
const MAX_ALLOWED: usize = 1 << 20;

/// Texts in `bad_words` at most.
const MAX_BAD_WORDS: usize = 1024;

/// What a bias is of.
enum Biased {
    Token(u32),
    Text(String),
}

/// OpenAI's object of token ids and biases; llama.cpp takes texts in it too, and arrays of pairs, where false is never.
fn biases(fields: Fields<'_>) -> Result<Vec<(Biased, f32)>, Problem> {
    match fields.get("logit_bias") {
        None => Ok(Vec::new()),
        Some(Value::Object(map)) => {
            check_length("logit_bias", map.len(), MAX_TOKEN_IDS)?;
            let read = |key: &String| {
                let of = key.parse().map_or_else(|_| Biased::Text(key.clone()), Biased::Token);
                Ok((of, bias(map, key, &format!("logit_bias.{key}"))?))
            };
            map.keys().map(read).collect()
        }
        Some(Value::Array(pairs)) => {
            check_length("logit_bias", pairs.len(), MAX_TOKEN_IDS)?;
            pairs.iter().enumerate().map(|(i, pair)| self::pair(&format!("logit_bias[{i}]"), pair)).collect()
        }
        Some(other) => Err(wrong_type("logit_bias", "an object or an array of pairs", other)),
    }
}

fn pair(name: &str, pair: &Value) -> Result<(Biased, f32), Problem> {
    let Some([of, value]) = pair.as_array().map(Vec::as_slice) else {
        return Err(wrong_type(name, "a token id or a text, and its bias", pair));
    };
    let of = match of {
        Value::String(text) => Biased::Text(text.clone()),
        id => Biased::Token(token(&format!("{name}[0]"), id)?),
    };
    let map = Map::from_iter([("bias".to_owned(), value.clone())]);
    Ok((of, bias(&map, "bias", &format!("{name}[1]"))?))
}

/// A number within OpenAI's range; false rules out.
fn bias(map: &Map<String, Value>, key: &str, name: &str) -> Result<f32, Problem> {
    if map.get(key) == Some(&Value::Bool(false)) {
        return Ok(f32::NEG_INFINITY);
    }
    let told = |e: Problem| Problem::of(e.kind, "logit_bias", e.message.replacen(key, name, 1));
    Ok(Fields::new(map).number(key, -100.0..=100.0).map_err(told)?.unwrap_or(0.0))
}

/// DRY, by llama.cpp's names.
fn dry(fields: Fields<'_>) -> Result<Option<DrySettings>, Problem> {
    let (multiplier, base) = (fields.number("dry_multiplier", 0.0..)?, fields.number("dry_base", 0.0..)?);
    let allowed_length = fields.count("dry_allowed_length", 0)?;
    let last = fields.integer("dry_penalty_last_n", -1..)?;
    let breakers = match fields.get("dry_sequence_breakers") {
        None => None,
        Some(_) => Some(fields.strings("dry_sequence_breakers", MAX_STOPS)?),
    };
    if let Some(long) = breakers.iter().flatten().find(|breaker| breaker.len() > MAX_BREAKER) {
        let message = format!("dry_sequence_breakers: {long:?} is longer than {MAX_BREAKER} bytes.");
        return Err(Problem::of(Kind::InvalidValue, "dry_sequence_breakers", message));
    }
    // Without it the others are checked all the same.
    let Some(multiplier) = multiplier else { return Ok(None) };
    Ok(Some(DrySettings {
        // To look at nothing is to be off.
        multiplier: if last == Some(0) { 0.0 } else { multiplier },
        base,
        allowed_length,
        last: last.and_then(|last| usize::try_from(last).ok()),
        breakers,
    }))
}

/// Bytes in a breaker at most.
const MAX_BREAKER: usize = 40;

/// XTC, by llama.cpp's names and with its threshold.
fn xtc(fields: Fields<'_>) -> Result<Option<Xtc>, Problem> {
    let threshold = fields.number("xtc_threshold", 0.0..=1.0)?.unwrap_or(0.1);
    let probability = fields.number("xtc_probability", 0.0..=1.0)?;
    Ok(probability.map(|probability| Xtc { probability, threshold }))
}
