//! What an answer has to fit, under OpenAI's, vLLM's and llama.cpp's names.

use answer::{Constrained, Constraint, Kind, Problem};
use serde_json::Value;

use crate::wire::fields::{Fields, unsupported, within, wrong_type};

/// What the request asks for; at most one of the fields may.
pub(super) fn constrained(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    let found = [response_format(fields)?, structured_outputs(fields)?, own(fields)?];
    let mut all = found.into_iter().flatten();
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        (Some(first), Some(second)) => Err(contradiction(&first.param, &second.param)),
        (None, Some(_)) => Ok(None),
    }
}

/// OpenAI's, with `schema` beside `json_object` as llama.cpp has it, and `structural_tag` as vLLM has it.
fn response_format(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    let Some(format) = fields.object("response_format")? else { return Ok(None) };
    let inside = |e| within("response_format", e);
    let of = |name: &str, constraint| Ok(Some(named(format!("response_format{name}"), constraint)));
    match Fields::new(format).string("type").map_err(inside)? {
        None | Some("text") => Ok(None),
        Some("json_object") => match Fields::new(format).get("schema") {
            None => of("", Constraint::json_object()),
            Some(schema) => of(".schema", Constraint::JsonSchema(schema.clone())),
        },
        Some("json_schema") => {
            let Some(inner) = Fields::new(format).object("json_schema").map_err(inside)? else {
                return Err(within("response_format", missing("json_schema")));
            };
            let inside = |e| within("response_format.json_schema", e);
            // Strict or not, an answer fits the schema: less would help nobody.
            Fields::new(inner).bool("strict").map_err(inside)?;
            let schema = Fields::new(inner).required("schema").map_err(inside)?;
            of(".json_schema.schema", Constraint::JsonSchema(schema.clone()))
        }
        Some("structural_tag") => of("", Constraint::StructuralTag(Value::Object(format.clone()))),
        Some(kind) => Err(unsupported("response_format", &format!("of type {kind}"))),
    }
}

/// vLLM's.
fn structured_outputs(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    let Some(map) = fields.object("structured_outputs")? else { return Ok(None) };
    let found = one_of(Fields::new(map), &["json", "regex", "choice", "grammar", "json_object", "structural_tag"]);
    let found = found.map_err(|e| within("structured_outputs", e))?;
    Ok(found.map(|found| Constrained { param: format!("structured_outputs.{}", found.param), ..found }))
}

/// vLLM's former names, and llama.cpp's.
fn own(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    one_of(fields, &["guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar", "json_schema"])
}

fn one_of(fields: Fields<'_>, names: &[&str]) -> Result<Option<Constrained>, Problem> {
    let mut found = None;
    for name in names {
        let Some(constraint) = constraint(fields, name)? else { continue };
        if let Some(Constrained { param, .. }) = found.replace(named(*name, constraint)) {
            return Err(contradiction(&param, name));
        }
    }
    Ok(found)
}

/// The value of a field, by what its name ends with.
fn constraint(fields: Fields<'_>, name: &str) -> Result<Option<Constraint>, Problem> {
    let text = |make: fn(String) -> Constraint| {
        Ok(fields.string(name)?.filter(|text| !text.is_empty()).map(|text| make(text.to_owned())))
    };
    match name.trim_start_matches("guided_") {
        "regex" => text(Constraint::Regex),
        "grammar" => text(Constraint::grammar),
        "json_object" => Ok(fields.bool(name)?.filter(|wanted| *wanted).map(|_| Constraint::json_object())),
        "choice" => fields.array(name)?.map(|items| choices(name, items)).transpose(),
        "structural_tag" => Ok(value(fields, name)?.map(Constraint::StructuralTag)),
        _ => Ok(value(fields, name)?.map(Constraint::JsonSchema)),
    }
}

/// A value, which may be written as JSON in a string.
fn value(fields: Fields<'_>, name: &str) -> Result<Option<Value>, Problem> {
    let Some(Value::String(text)) = fields.get(name) else { return Ok(fields.get(name).cloned()) };
    let wrong = |e| Problem::of(Kind::InvalidValue, name, format!("{name} is not valid JSON: {e}."));
    serde_json::from_str(text).map(Some).map_err(wrong)
}

fn choices(name: &str, items: &[Value]) -> Result<Constraint, Problem> {
    let text = |(i, item): (usize, &Value)| {
        item.as_str().map(str::to_owned).ok_or_else(|| wrong_type(&format!("{name}[{i}]"), "a string", item))
    };
    items.iter().enumerate().map(text).collect::<Result<_, _>>().map(Constraint::Choice)
}

fn named(param: impl Into<String>, constraint: Constraint) -> Constrained {
    Constrained { constraint, param: param.into() }
}

fn missing(name: &str) -> Problem {
    Problem::of(Kind::Missing, name, format!("{name} is missing."))
}

fn contradiction(first: &str, second: &str) -> Problem {
    let message = format!("{second} contradicts {first}: an answer can be made to fit one of them. Leave one out.");
    Problem::of(Kind::InvalidValue, second, message)
}
