//! A file of YAML (or JSON, which is YAML) as a tree that knows where each part stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

/// The longest file: a slip, such as the name of a model's file, is not read to its end.
const LONGEST: usize = 1 << 20;

/// Where something stands in a text: counted from one; how many characters it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) place: Place,
}

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

/// Reads a text.
///
/// # Errors
/// Where it is no YAML, and why.
pub(crate) fn read(text: &str) -> Result<Node, (Place, String)> {
    if text.len() > LONGEST {
        return Err((
            Place::default(),
            format!("{} bytes are too many: a configuration has at most {LONGEST}", text.len()),
        ));
    }
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node { content: Content::Scalar(Value::Null), place: Place::default() });
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        budget: serde_saphyr::budget! { max_depth: 64 },
    };
    let read = serde_saphyr::from_str_with_options::<Spanned<Content>>(text, options);
    read.map(Node::from).map_err(|error| {
        let message = UserMessageFormatter.format_message(error.without_snippet()).escape_debug().to_string();
        let place = error.location().map(|location| Place { width: 1, ..Place::from(location) });
        (place.unwrap_or_default(), message.replace("\\'", "'").replace("\\\"", "\""))
    })
}

impl Node {
    /// Without the places.
    pub(crate) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::value).collect(),
            Content::Map(entries) => {
                entries.iter().map(|(key, node)| (key.name.clone(), node.value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// Where the part stands to which these keys and indices lead, or the last before it that is there.
    pub(crate) fn place_of(&self, at: &[String]) -> Place {
        let Some((first, rest)) = at.split_first() else { return self.place };
        let below = match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => first.parse().ok().and_then(|index: usize| items.get(index)),
            Content::Map(entries) => entries.iter().find(|(key, _)| key.name == *first).map(|(_, node)| node),
        };
        below.map_or(self.place, |node| node.place_of(rest))
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Place {
        let number = |number: u64| usize::try_from(number).unwrap_or_default();
        Place { line: number(location.line()), column: number(location.column()), width: number(location.span().len()) }
    }
}

impl From<Spanned<Content>> for Node {
    fn from(spanned: Spanned<Content>) -> Node {
        Node { content: spanned.value, place: spanned.referenced.into() }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(Contents)
    }
}

struct Contents;

impl<'de> Visitor<'de> for Contents {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("expected a number that is finite"))?;
        Ok(Content::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Content>>()? {
            list.push(item.into());
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut map: Vec<(Key, Node)> = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let key = Key { place: key.referenced.into(), name: key.value };
            if map.iter().any(|(known, _)| known.name == key.name) {
                return Err(A::Error::custom(format!("{} is there twice", key.name)));
            }
            map.push((key, entries.next_value::<Spanned<Content>>()?.into()));
        }
        Ok(Content::Map(map))
    }
}
