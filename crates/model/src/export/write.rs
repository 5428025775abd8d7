//! Writing an export: a temporary file beside the wanted one, tensor after tensor, rows on every core, renamed at the end.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use graph::WeightId;
use tensor::{DType, OWN_TYPES};

use super::plan::{layer, shape};
use super::{Export, Part, Planned, Tensor, WeightType, check};
use crate::gguf::{Entry, Writer};
use crate::lora::Piece;
use crate::{Checkpoint, GgufValue, Model, ModelError};

/// Values that a thread converts at once.
const CHUNK: usize = 1 << 18;

/// Hears how many bytes are done of how many; what it gives says whether to go on.
pub type Going<'a> = &'a dyn Fn(u64, u64) -> bool;

/// Makes the bytes of some rows of a tensor in its planned type: the tensor, the first row's place among all of them, the values, and
/// where the bytes go. It is called from several threads.
pub type EncodeRows<'a> = &'a (dyn Fn(&Planned, usize, &[f32], &mut [u8]) -> Result<(), String> + Sync);

/// What a file's tensors become, and how.
pub struct Recipe<'a> {
    /// As [`Export::plan`] gives them; matrices may have another type ([`Planned::with_type`]).
    pub tensors: Vec<Planned>,
    /// `general.file_type`; `None` leaves it as it is.
    pub file_type: Option<u32>,
    /// How rows whose type changes are encoded.
    pub encode: EncodeRows<'a>,
    /// Whether rows of matrices are encoded even if their type stays.
    pub every_matrix: bool,
}

/// By the type's own codec.
fn plainly(tensor: &Planned, _: usize, values: &[f32], out: &mut [u8]) -> Result<(), String> {
    tensor::encode(tensor.dtype, values, out).map_err(|e| e.to_string())
}

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
        let tensors = self.plan(wanted);
        // A GGUF file that stays as it is may be a mix, which its tensors do not tell.
        let told = self.model.is_some() || wanted != WeightType::AsStored;
        let file_type = told.then(|| wanted.file_type_of(&tensors));
        self.write_by(out, &Recipe { tensors, file_type, encode: &plainly, every_matrix: false }, going)
    }

    /// Writes the file `out` as a recipe says, or nothing at all.
    ///
    /// # Errors
    /// As [`Export::write`], and if the recipe's tensors are not this model's.
    pub fn write_by(&mut self, out: &Path, recipe: &Recipe<'_>, going: Going<'_>) -> Result<(), ModelError> {
        let plan = &recipe.tensors;
        if !self.tensors.iter().map(|t| (&t.name, &t.dims)).eq(plan.iter().map(|p| (&p.name, &p.dims))) {
            return Err(self
                .checkpoint
                .invalid("tensors", "are not those that the file was planned with; plan it anew"));
        }
        self.set("general.quantization_version", GgufValue::U32(2));
        if let Some(file_type) = recipe.file_type {
            self.set("general.file_type", GgufValue::U32(file_type));
        }
        self.keys.retain(|(key, _)| key != "whinchat.tensor_types");
        if let Some(note) = own_types(plan) {
            self.set("whinchat.tensor_types", GgufValue::Str(note));
        }
        let temporary = Temporary::beside(out);
        let file = File::create(&temporary.0).map_err(|e| ModelError::io(out, e))?;
        let entries: Vec<Entry> = plan.iter().map(Planned::entry).collect();
        let io = |e| ModelError::io(out, e);
        let mut writer = Writer::new(BufWriter::new(file), &self.keys, &entries).map_err(io)?;
        let (total, mut done) = (plan.iter().map(|t| t.bytes() as u64).sum(), 0);
        for (tensor, planned) in self.tensors.iter().zip(plan) {
            if !going(done, total) {
                return Err(io(std::io::ErrorKind::Interrupted.into()));
            }
            writer.tensor(&self.encoded(tensor, planned, (recipe.encode, recipe.every_matrix))?).map_err(io)?;
            self.checkpoint.release();
            done += planned.bytes() as u64;
        }
        let file = writer.finish().into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        if let Some(model) = &self.model {
            check::same(model, self.ahead.as_ref(), &temporary.0)?;
        }
        going(total, total);
        temporary.rename(out).map_err(io)
    }

    /// Bytes of a file of these tensors, as it is now; keys that are set when it is written make it a little larger.
    pub fn file_bytes(&self, plan: &[Planned]) -> u64 {
        let entries: Vec<Entry> = plan.iter().map(Planned::entry).collect();
        // Writing to memory does not fail.
        let head = Writer::new(Vec::new(), &self.keys, &entries).map_or(0, |writer| writer.finish().len());
        head as u64 + entries.iter().map(|entry| entry.padded_bytes() as u64).sum::<u64>()
    }

    /// The values of a tensor in the order in which the file has them.
    ///
    /// # Errors
    /// If the export has no such tensor, or its bytes cannot be read.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.ok_or_else(|| self.checkpoint.invalid(name, "is not a tensor of the model"))?;
        let planned = tensor.planned(WeightType::AsStored, shape(&self.tensors)).with_type(DType::F32);
        let bytes = self.encoded(tensor, &planned, (&plainly, false))?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    fn encoded(
        &self,
        tensor: &Tensor,
        planned: &Planned,
        (encode, every_matrix): (EncodeRows<'_>, bool),
    ) -> Result<Vec<u8>, ModelError> {
        let same = planned.dtype == tensor.stored && !(every_matrix && planned.is_matrix);
        let mut out = vec![0; planned.bytes()];
        let (cols, (model, adapts)) = (tensor.cols(), self.model_of(tensor));
        let (mut rest, mut first) = (out.as_mut_slice(), 0);
        for part in &tensor.parts {
            let (bytes, heads) = part_of(model, &self.checkpoint, part)?;
            let changes = if adapts { self.changes(part) } else { &[] };
            let kept = same && changes.is_empty();
            let (bytes, start) = match part {
                Part::Rows(_, rows) => {
                    let size = row_bytes(tensor.stored, cols);
                    (&bytes[rows.start * size..rows.end * size], rows.start)
                }
                _ => (&bytes[..], 0),
            };
            let rows = Rows { bytes, stored: tensor.stored, cols, heads, columns: &tensor.columns, changes, start };
            let (here, after) = rest.split_at_mut(rows.count() * row_bytes(planned.dtype, cols));
            let problem = |problem| self.checkpoint.invalid(&tensor.name, problem);
            rows.encode(&Target { planned, first, encode, kept }, here).map_err(problem)?;
            first += rows.count();
            rest = after;
        }
        Ok(out)
    }

    /// The model whose weights the tensor has, and whether adapters change them: a layer that predicts ahead stays as it is.
    fn model_of(&self, tensor: &Tensor) -> (Option<&Model>, bool) {
        match &self.ahead {
            Some(ahead) if layer(&tensor.name) == Some(ahead.spec().layers) => (Some(ahead), false),
            _ => (self.model.as_ref(), true),
        }
    }

    /// What adapters change of a part.
    fn changes(&self, part: &Part) -> &[(Piece, f32)] {
        let changes = match part {
            Part::Weight(id, _) | Part::Rows(id, _) => self.merged.weights.get(&id.index()),
            Part::Same(name) => self.merged.tensors.get(name),
            Part::Made(_) => None,
        };
        changes.map_or(&[], Vec::as_slice)
    }
}

/// The bytes of rows as they are stored, and of how many heads the halves are to become neighbours.
fn part_of<'a>(
    model: Option<&'a Model>,
    checkpoint: &'a Checkpoint,
    part: &Part,
) -> Result<(Cow<'a, [u8]>, Option<usize>), ModelError> {
    let read = |id: WeightId| model.map_or(Ok(Cow::default()), |model| model.read(id));
    Ok(match part {
        Part::Weight(id, heads) => (read(*id)?, *heads),
        Part::Rows(id, _) => (read(*id)?, None),
        Part::Same(name) => (checkpoint.tensor(name).map(|t| checkpoint.bytes(t)).unwrap_or_default().into(), None),
        Part::Made(values) => (values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into(), None),
    })
}

/// What a reader should know of types that only this program has; `None` if there are none.
fn own_types(plan: &[Planned]) -> Option<String> {
    let own = |dtype: &DType| dtype.layout().ggml_id >= OWN_TYPES && plan.iter().any(|tensor| tensor.dtype == *dtype);
    let note = |dtype: DType| format!("{} is {dtype}, read by Whinchat alone", dtype.layout().ggml_id);
    let all: Vec<String> = DType::all().filter(own).map(note).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The type that most bytes of the matrices have.
pub(super) fn mostly(plan: &[Planned]) -> DType {
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
    /// What is added to them, by their place in the weight, where they begin at `start`.
    changes: &'a [(Piece, f32)],
    start: usize,
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

    /// Fills `out` with the rows as they are planned, on every core.
    fn encode(&self, target: &Target<'_>, out: &mut [u8]) -> Result<(), String> {
        let per_chunk = (CHUNK / self.cols.max(1)).max(1);
        let size = per_chunk * row_bytes(target.planned.dtype, self.cols);
        let chunks = Mutex::new(out.chunks_mut(size.max(1)).enumerate());
        let work = || {
            loop {
                let next = chunks.lock().ok().and_then(|mut chunks| chunks.next());
                let Some((i, chunk)) = next else { return Ok(()) };
                self.encode_from(i * per_chunk, target, chunk)?;
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

    /// Adds what adapters change of a row.
    fn change(&self, row: usize, values: &mut [f32]) {
        for (Piece { rows, change, first }, scale) in self.changes {
            if rows.contains(&row) {
                change.add_row(first + row - rows.start, *scale, values);
            }
        }
    }

    /// Fills `out` with rows from `first` on.
    fn encode_from(&self, first: usize, target: &Target<'_>, out: &mut [u8]) -> Result<(), String> {
        let dtype = target.planned.dtype;
        let (from, to) = (row_bytes(self.stored, self.cols), row_bytes(dtype, self.cols).max(1));
        let bytes = |row: usize| &self.bytes[self.source(row) * from..][..from];
        if target.kept && self.columns.is_empty() {
            out.chunks_exact_mut(to).zip(first..).for_each(|(out, row)| out.copy_from_slice(bytes(row)));
            return Ok(());
        }
        let rows = out.len() / to;
        let (mut values, mut row_values) = (Vec::with_capacity(rows * self.cols), vec![0.0; self.cols]);
        for row in first..first + rows {
            tensor::decode(self.stored, bytes(row), &mut row_values).map_err(|e| e.to_string())?;
            self.change(self.start + self.source(row), &mut row_values);
            check_range(&row_values, dtype)?;
            if self.columns.is_empty() {
                values.extend_from_slice(&row_values);
            }
            self.columns.iter().for_each(|columns| values.extend_from_slice(&row_values[columns.clone()]));
        }
        if target.kept {
            return plainly(target.planned, 0, &values, out);
        }
        (target.encode)(target.planned, target.first + first, &values, out)
    }
}

/// What rows become.
struct Target<'a> {
    planned: &'a Planned,
    /// The place of the part's first row in the tensor.
    first: usize,
    encode: EncodeRows<'a>,
    /// They stay what they are, but for the order of their columns.
    kept: bool,
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
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn beside(out: &Path) -> Temporary {
        let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Temporary(out.with_file_name(format!(".{name}.{}.part", std::process::id())))
    }

    pub(crate) fn rename(self, out: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.0, out)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
