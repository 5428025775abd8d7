//! Values with their units: times and sizes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a time looks like.
pub(crate) const TIME: &str = "a time with its unit, such as 500ms, 30s or 5m, at most 7d";

/// What a size looks like.
pub(crate) const SIZE: &str = "a size with its unit, such as 64KiB, 32MiB or 8GiB";

/// The longest time: nothing that a server waits for takes a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A time, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// What a time to stay looks like.
const STAY: &str = "a time such as 5m or 1h30m, a number of seconds, 0, or -1 for ever";

/// How long something stays, as Ollama's clients write it: a time, or a number of seconds; below zero for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stay(pub String);

impl<'de> Deserialize<'de> for Stay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stay, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(serde_json::Number),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(seconds) => Ok(Stay(seconds.to_string())),
            Written::Text(text) => Ok(Stay(text)),
        }
    }
}

impl JsonSchema for Stay {
    fn schema_name() -> Cow<'static, str> {
        "Stay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "x-value": "DURATION", "x-expected": STAY })
    }
}

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }
}

impl Size {
    /// So many MiB.
    pub const fn mebibytes(count: u64) -> Size {
        Size(count << 20)
    }

    /// As the size of something in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let period = humantime::parse_duration(text).ok().filter(|_| text.ends_with(char::is_alphabetic));
        period.filter(|period| *period <= LONGEST).map(Period).ok_or_else(|| format!("expected {TIME}"))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let size = text.parse::<ByteSize>().ok().filter(|_| text.ends_with(['B', 'b']));
        size.map(|size| Size(size.as_u64())).ok_or_else(|| format!("expected {SIZE}"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for Size {
    /// By the largest unit of which it is a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let whole = units.into_iter().find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        let (unit, shift) = whole.unwrap_or(("B", 0));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

/// Text in the file, in the schema and in what is shown.
macro_rules! textual {
    ($name:ident, $form:literal, $expected:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "x-value": $form, "x-expected": $expected })
            }
        }
    };
}

textual!(Period, "TIME", TIME);
textual!(Size, "SIZE", SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let check = |text: &str, shown: Option<&str>| {
            let parsed = text.parse::<Period>();
            assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), shown, "{text}");
            let again = parsed.clone().map(|period| period.to_string().parse());
            assert!(parsed.is_err() || again == Ok(parsed), "{text}");
        };
        check("30s", Some("30s"));
        check("500ms", Some("500ms"));
        check("90s", Some("1m 30s"));
        check("0s", Some("0s"));
        check("7d", Some("7days"));
        for wrong in ["", "30", "0", "s", "-1s", "1e3s", "8d", "99999999999999999999s", "1 fortnight", "∞"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes_have_units() {
        let check = |text: &str, shown: Option<&str>| {
            let parsed = text.parse::<Size>();
            assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), shown, "{text}");
            let again = parsed.clone().map(|size| size.to_string().parse());
            assert!(parsed.is_err() || again == Ok(parsed), "{text}");
        };
        check("64MiB", Some("64MiB"));
        check("1024MiB", Some("1GiB"));
        check("64MB", Some("62500KiB"));
        check("1B", Some("1B"));
        check("0B", Some("0B"));
        check("0.5GiB", Some("512MiB"));
        for wrong in ["", "64", "MiB", "-1MiB", "64Mi", "64 parsecs", "nan", "1e9"] {
            check(wrong, None);
        }
    }
}
