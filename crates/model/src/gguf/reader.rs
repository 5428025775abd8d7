//! A cursor over the bytes of a GGUF file that knows their end, and the reading of metadata values.

use std::path::Path;

use crate::metadata::List;
use crate::{ModelError, Value};

/// Longest key or tensor name, as GGUF's specification has it for keys.
const MAX_NAME: usize = 65535;
/// Lists in lists deeper than this are refused; no known writer makes any.
const MAX_DEPTH: usize = 4;

/// Most elements of a list and most bytes of a text: some 50 times what the largest vocabularies need. Without them one
/// flipped bit in a length could turn gigabytes of weights into a list.
const MAX_LIST: usize = 1 << 24;
const MAX_TEXT: usize = 1 << 26;

/// The numbers of value types.
pub(super) mod kind {
    pub(in crate::gguf) const U8: u32 = 0;
    pub(in crate::gguf) const I8: u32 = 1;
    pub(in crate::gguf) const U16: u32 = 2;
    pub(in crate::gguf) const I16: u32 = 3;
    pub(in crate::gguf) const U32: u32 = 4;
    pub(in crate::gguf) const I32: u32 = 5;
    pub(in crate::gguf) const F32: u32 = 6;
    pub(in crate::gguf) const BOOL: u32 = 7;
    pub(in crate::gguf) const STRING: u32 = 8;
    pub(in crate::gguf) const ARRAY: u32 = 9;
    pub(in crate::gguf) const U64: u32 = 10;
    pub(in crate::gguf) const I64: u32 = 11;
    pub(in crate::gguf) const F64: u32 = 12;
}

pub(super) struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Reader<'a> {
        Reader { path, bytes, at: 0 }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn invalid(&self, field: &str, problem: impl Into<String>) -> ModelError {
        ModelError::invalid(self.path, field, problem)
    }

    pub(super) fn unsupported(&self, field: &str, problem: impl Into<String>) -> ModelError {
        ModelError::unsupported(self.path, field, problem)
    }

    /// The next `n` bytes, which belong to `field`.
    pub(super) fn take(&mut self, n: usize, field: &str) -> Result<&'a [u8], ModelError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..n) else {
            let (at, end) = (self.at, self.bytes.len());
            let problem = format!(
                "needs {n} bytes at byte {at}, but the file ends at byte {end}; the download was cut short or the file \
                 is damaged, fetch it again"
            );
            return Err(self.invalid(field, problem));
        };
        self.at += n;
        Ok(taken)
    }

    pub(super) fn u32(&mut self, field: &str) -> Result<u32, ModelError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &str) -> Result<u64, ModelError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A number of things of which each takes `min_bytes` or more in what follows.
    pub(super) fn count(&mut self, min_bytes: usize, field: &str) -> Result<usize, ModelError> {
        let count = self.u64(field)?;
        let most = (self.bytes.len() - self.at) / min_bytes;
        usize::try_from(count).ok().filter(|&n| n <= most).ok_or_else(|| {
            let problem = format!("{count} entries cannot fit in the rest of the file (at most {most} can)");
            self.invalid(field, problem + "; the download was cut short or the file is damaged, fetch it again")
        })
    }

    /// A key or a tensor's name.
    pub(super) fn name(&mut self, field: &str) -> Result<String, ModelError> {
        let bytes = self.string(field)?;
        if bytes.len() > MAX_NAME {
            let problem = format!("is {} bytes long; names have at most {MAX_NAME}, the file is damaged", bytes.len());
            return Err(self.invalid(field, problem));
        }
        let name = std::str::from_utf8(bytes).ok().filter(|name| !name.is_empty());
        name.map(str::to_owned)
            .ok_or_else(|| self.invalid(field, "must be a name in UTF-8; the file is damaged, fetch it again"))
    }

    /// A value of the type `kind`.
    pub(super) fn value(&mut self, kind: u32, key: &str) -> Result<Value, ModelError> {
        self.nested(kind, key, 0)
    }

    fn nested(&mut self, kind: u32, key: &str, depth: usize) -> Result<Value, ModelError> {
        Ok(match kind {
            kind::F32 => Value::Float(self.array(key).map(f32::from_le_bytes)?.into()),
            kind::F64 => Value::Float(self.array(key).map(f64::from_le_bytes)?),
            kind::BOOL => Value::Bool(self.bool(key)?),
            // Not a reason to refuse a model: a description in another encoding.
            kind::STRING => Value::Str(String::from_utf8_lossy(self.string(key)?).into_owned()),
            kind::ARRAY => Value::List(self.list(key, depth)?),
            _ => Value::Int(self.integer(kind, key)?),
        })
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<List, ModelError> {
        let kind = self.u32(key)?;
        let n = self.count(self.min_bytes(kind, key)?, key)?;
        if n > MAX_LIST {
            return Err(self.invalid(key, format!("has {n} elements, more than any model; the file is damaged")));
        }
        Ok(match kind {
            kind::F32 | kind::F64 => List::Float(self.repeat(n, |r| r.float(kind, key))?),
            kind::BOOL => List::Int(self.repeat(n, |r| r.bool(key).map(i64::from))?),
            kind::STRING => List::Bytes(self.repeat(n, |r| r.string(key))?),
            kind::ARRAY if depth < MAX_DEPTH => {
                List::Mixed(self.repeat(n, |r| r.list(key, depth + 1).map(Value::List))?)
            }
            kind::ARRAY => return Err(self.invalid(key, format!("has lists in lists deeper than {MAX_DEPTH}"))),
            kind::U64 => self.wide(n, key)?,
            _ => List::Int(self.repeat(n, |r| r.integer(kind, key).map(|i| i as i64))?),
        })
    }

    /// `u64`s, flat unless one of them is beyond `i64`.
    fn wide(&mut self, n: usize, key: &str) -> Result<List, ModelError> {
        let values: Vec<u64> = self.repeat(n, |r| r.u64(key))?;
        let flat: Option<Vec<i64>> = values.iter().map(|&v| i64::try_from(v).ok()).collect();
        Ok(flat.map_or_else(|| List::Mixed(values.into_iter().map(|v| Value::Int(v.into())).collect()), List::Int))
    }

    /// Does not reserve `n`, so that memory follows what has really been read.
    fn repeat<T, L: FromIterator<T>>(
        &mut self,
        n: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, ModelError>,
    ) -> Result<L, ModelError> {
        (0..n).map(|_| one(self)).collect()
    }

    fn integer(&mut self, kind: u32, key: &str) -> Result<i128, ModelError> {
        Ok(match kind {
            kind::U8 => u8::from_le_bytes(self.array(key)?).into(),
            kind::I8 => i8::from_le_bytes(self.array(key)?).into(),
            kind::U16 => u16::from_le_bytes(self.array(key)?).into(),
            kind::I16 => i16::from_le_bytes(self.array(key)?).into(),
            kind::U32 => u32::from_le_bytes(self.array(key)?).into(),
            kind::I32 => i32::from_le_bytes(self.array(key)?).into(),
            kind::U64 => u64::from_le_bytes(self.array(key)?).into(),
            kind::I64 => i64::from_le_bytes(self.array(key)?).into(),
            _ => return Err(self.unknown_kind(kind, key)),
        })
    }

    fn float(&mut self, kind: u32, key: &str) -> Result<f64, ModelError> {
        Ok(if kind == kind::F32 {
            self.array(key).map(f32::from_le_bytes)?.into()
        } else {
            self.array(key).map(f64::from_le_bytes)?
        })
    }

    fn bool(&mut self, key: &str) -> Result<bool, ModelError> {
        match self.array(key)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [b] => Err(self.invalid(key, format!("is the byte {b} where false (0) or true (1) must stand"))),
        }
    }

    fn string(&mut self, field: &str) -> Result<&'a [u8], ModelError> {
        let n = self.count(1, field)?;
        if n > MAX_TEXT {
            return Err(self.invalid(field, format!("is {n} bytes long, more than any model's; the file is damaged")));
        }
        self.take(n, field)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], ModelError> {
        Ok(self.take(N, field)?.try_into().expect("take gives as many bytes as asked"))
    }

    /// Bytes of the smallest value of a type.
    fn min_bytes(&self, kind: u32, key: &str) -> Result<usize, ModelError> {
        Ok(match kind {
            kind::U8 | kind::I8 | kind::BOOL => 1,
            kind::U16 | kind::I16 => 2,
            kind::U32 | kind::I32 | kind::F32 => 4,
            kind::U64 | kind::I64 | kind::F64 | kind::STRING => 8,
            kind::ARRAY => 12,
            _ => return Err(self.unknown_kind(kind, key)),
        })
    }

    fn unknown_kind(&self, kind: u32, key: &str) -> ModelError {
        self.invalid(key, format!("has the value type {kind}, which GGUF does not define; the file is damaged"))
    }
}
