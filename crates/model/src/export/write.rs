//! Writing an export: a temporary file beside the wanted one, tensor after tensor, rows on every core, renamed at the end.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tensor::DType;

use super::plan::shape;
use super::{Export, Part, Planned, Tensor, WeightType, check};
use crate::gguf::{Entry, Writer};
use crate::{GgufValue, ModelError};

/// Values that a thread converts at once.
const CHUNK: usize = 1 << 18;

/// Hears how many bytes are done of how many; what it gives says whether to go on.
pub type Going<'a> = &'a dyn Fn(u64, u64) -> bool;

impl Export {
    /// The tensors of a file of `wanted` weights, in its order.
    pub fn plan(&self, wanted: WeightType) -> Vec<Planned> {
        let shape = shape(&self.tensors);
        self.tensors.iter().map(|tensor| tensor.planned(wanted, shape)).collect()
    }

    /// Writes the file `out` with weights of the type `wanted`, or nothing at all: until it is whole it has another name.
    ///
    /// # Errors
    /// If the file cannot be written, a weight cannot be converted, `going` says no, or what was written is not the same
    /// model when it is read again.
    pub fn write(&mut self, out: &Path, wanted: WeightType, going: Going<'_>) -> Result<(), ModelError> {
        let plan = self.plan(wanted);
        self.set("general.quantization_version", GgufValue::U32(2));
        // A GGUF file that stays as it is may be a mix, which its tensors do not tell.
        if self.model.is_some() || wanted != WeightType::AsStored {
            self.set("general.file_type", GgufValue::U32(wanted.file_type(mostly(&plan))));
        }
        let temporary = Temporary::beside(out);
        let file = File::create(&temporary.0).map_err(|e| ModelError::io(out, e))?;
        let entries: Vec<Entry> = plan.iter().map(Planned::entry).collect();
        let io = |e| ModelError::io(out, e);
        let mut writer = Writer::new(BufWriter::new(file), &self.keys, &entries).map_err(io)?;
        let (total, mut done) = (plan.iter().map(|t| t.bytes() as u64).sum(), 0);
        for (tensor, planned) in self.tensors.iter().zip(&plan) {
            if !going(done, total) {
                return Err(io(std::io::ErrorKind::Interrupted.into()));
            }
            writer.tensor(&self.encoded(tensor, planned)?).map_err(io)?;
            self.checkpoint.release();
            done += planned.bytes() as u64;
        }
        let file = writer.finish().into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        if let Some(model) = &self.model {
            check::same(model, &temporary.0)?;
        }
        going(total, total);
        temporary.rename(out).map_err(io)
    }

    fn encoded(&self, tensor: &Tensor, planned: &Planned) -> Result<Vec<u8>, ModelError> {
        let mut out = vec![0; planned.bytes()];
        let cols = tensor.cols();
        let mut rest = out.as_mut_slice();
        for part in &tensor.parts {
            let (bytes, heads) = self.part(part)?;
            let bytes = match part {
                Part::Rows(_, rows) => {
                    let size = row_bytes(tensor.stored, cols);
                    &bytes[rows.start * size..rows.end * size]
                }
                _ => &bytes[..],
            };
            let rows = Rows { bytes, stored: tensor.stored, cols, heads, columns: &tensor.columns };
            let (here, after) = rest.split_at_mut(rows.count() * row_bytes(planned.dtype, cols));
            rows.encode(planned.dtype, here).map_err(|problem| self.checkpoint.invalid(&tensor.name, problem))?;
            rest = after;
        }
        Ok(out)
    }

    /// The bytes of rows as they are stored, and of how many heads the halves are to become neighbours.
    fn part<'a>(&'a self, part: &'a Part) -> Result<(Cow<'a, [u8]>, Option<usize>), ModelError> {
        Ok(match part {
            Part::Weight(id, heads) => match &self.model {
                Some(model) => (model.read(*id)?, *heads),
                None => (Cow::default(), None),
            },
            Part::Rows(id, _) => match &self.model {
                Some(model) => (model.read(*id)?, None),
                None => (Cow::default(), None),
            },
            Part::Same(name) => {
                (self.checkpoint.tensor(name).map(|t| self.checkpoint.bytes(t)).unwrap_or_default().into(), None)
            }
            Part::Made(values) => (values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into(), None),
        })
    }
}

/// The type that most bytes of the matrices have.
fn mostly(plan: &[Planned]) -> DType {
    let bytes = |dtype| plan.iter().filter(|t| t.dtype == dtype && t.dims.len() > 1).map(Planned::bytes).sum::<usize>();
    DType::all().max_by_key(|&dtype| bytes(dtype)).unwrap_or(DType::F32)
}

fn row_bytes(dtype: DType, cols: usize) -> usize {
    dtype.row_bytes(cols).unwrap_or(0)
}

/// Rows as they are stored.
struct Rows<'a> {
    bytes: &'a [u8],
    stored: DType,
    cols: usize,
    heads: Option<usize>,
    columns: &'a [Range<usize>],
}

impl Rows<'_> {
    fn count(&self) -> usize {
        self.bytes.len().checked_div(row_bytes(self.stored, self.cols)).unwrap_or(0)
    }

    /// Which row comes at the place `row`: of each head the first row of either half, then the second of either …
    fn source(&self, row: usize) -> usize {
        let Some(heads) = self.heads else { return row };
        let dim = self.count() / heads;
        let (head, at) = (row / dim, row % dim);
        head * dim + at % 2 * (dim / 2) + at / 2
    }

    /// Fills `out` with the rows as `dtype`, on every core.
    fn encode(&self, dtype: DType, out: &mut [u8]) -> Result<(), String> {
        let per_chunk = (CHUNK / self.cols.max(1)).max(1);
        let size = per_chunk * row_bytes(dtype, self.cols);
        let chunks = Mutex::new(out.chunks_mut(size.max(1)).enumerate());
        let work = || {
            loop {
                let next = chunks.lock().ok().and_then(|mut chunks| chunks.next());
                let Some((i, chunk)) = next else { return Ok(()) };
                self.encode_from(i * per_chunk, dtype, chunk)?;
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            others
                .into_iter()
                .map(|t| t.join().unwrap_or_else(|_| Err("a thread failed".into())))
                .fold(own, Result::and)
        })
    }

    fn encode_from(&self, first: usize, dtype: DType, out: &mut [u8]) -> Result<(), String> {
        let (from, to) = (row_bytes(self.stored, self.cols), row_bytes(dtype, self.cols));
        let (mut values, mut turned) = (vec![0.0; self.cols], Vec::with_capacity(self.cols));
        for (row, out) in (first..).zip(out.chunks_exact_mut(to.max(1))) {
            let bytes = &self.bytes[self.source(row) * from..][..from];
            if dtype == self.stored && self.columns.is_empty() {
                out.copy_from_slice(bytes);
                continue;
            }
            tensor::decode(self.stored, bytes, &mut values).map_err(|e| e.to_string())?;
            check_range(&values, dtype)?;
            turned.clear();
            self.columns.iter().for_each(|columns| turned.extend_from_slice(&values[columns.clone()]));
            let values = if self.columns.is_empty() { &values } else { &turned };
            tensor::encode(dtype, values, out).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// Numbers that a type cannot hold would spoil the model silently.
fn check_range(values: &[f32], dtype: DType) -> Result<(), String> {
    let largest = values.iter().fold(0f32, |largest, v| if v.is_nan() { f32::NAN } else { largest.max(v.abs()) });
    if values.iter().any(|v| !v.is_finite()) {
        return Err("holds infinities or what is no number; the model is broken, take another copy".into());
    }
    if dtype == DType::F16 && largest > 65504.0 {
        return Err(format!("holds {largest}, more than F16 can; take BF16 or F32"));
    }
    Ok(())
}

/// A file that is removed unless it is given its name.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(out: &Path) -> Temporary {
        let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Temporary(out.with_file_name(format!(".{name}.{}.part", std::process::id())))
    }

    fn rename(self, out: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.0, out)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
