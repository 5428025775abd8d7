//! Names that the engine and the graph give to choices: their lists are the only ones.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident($of:ty) from $all:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub $of);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.name())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let name = String::deserialize(deserializer)?;
                let found = $all.into_iter().find(|one| one.name() == name);
                found.map($name).ok_or_else(|| de::Error::custom(format!("there is no {name}")))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": $all.into_iter().map(|one| one.name()).collect::<Vec<_>>() })
            }
        }
    };
}

named! {
    /// Who runs first.
    Policy(engine::PolicyName) from engine::PolicyName::ALL
}

named! {
    /// Which of what is kept is forgotten first.
    Eviction(engine::Eviction) from engine::Eviction::ALL
}

named! {
    /// Which block of the host's memory gives way.
    HostEviction(engine::LevelRule) from engine::LevelRule::ALL
}

named! {
    /// When what is found in the file comes back into memory.
    Promotion(engine::Promotion) from engine::Promotion::ALL
}

named! {
    /// How keys and values are stored.
    KvType(graph::KvType) from graph::KvType::all()
}
