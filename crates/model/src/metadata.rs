//! Key-value metadata: GGUF's own, or config.json under the same interface.

/// A metadata value. GGUF's integer types are widened; config.json's numbers become `Int` or `Float`, `null` is absent.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// true or false.
    Bool(bool),
    /// Any integer.
    Int(i128),
    /// Any floating point number.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    List(List),
    /// A nested object (config.json only).
    Map(Metadata),
}

/// A list of values of one kind, kept flat: vocabularies are long.
#[derive(Clone, Debug, PartialEq)]
pub enum List {
    /// Integers and booleans.
    Int(Vec<i64>),
    /// Floating point numbers.
    Float(Vec<f64>),
    /// Texts; GGUF does not promise UTF-8 (token pieces), so bytes.
    Bytes(Vec<Vec<u8>>),
    /// Anything else (lists of lists, objects).
    Mixed(Vec<Value>),
}

/// Ordered keys with values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

impl Metadata {
    /// Appends an entry.
    pub fn insert(&mut self, key: String, value: Value) {
        self.entries.push((key, value));
    }

    /// All entries in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }
}
