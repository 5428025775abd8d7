//! Where the bytes of a weight come from: one tensor, a slice of one, several put together, or another layout.

use std::borrow::Cow;

use tensor::{CodecError, DType, Shape};

use crate::{Checkpoint, ModelError, TensorInfo};

/// The tensors of a weight and the places in them.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// From each matrix of `of` rows in the tensors, one tensor after the other, the rows from `first` on.
    Rows { tensors: Vec<String>, of: usize, first: usize },
    /// From each of so many groups of `of` rows, the rows from `first` on.
    Grouped { tensor: String, groups: usize, of: usize, first: usize },
    /// Each matrix transposed, of the tensor's `of` columns `first`, `first + step` …
    Columns { tensor: String, of: usize, first: usize, step: usize },
    /// From each row of the tensor the elements `first`, `first + step` …
    Elements { tensor: String, first: usize, step: usize },
    /// MXFP4 as gpt-oss ships it: nibbles in `{stem}_blocks` beside `{stem}_scales`, rows `first`, `first + step` …
    Mxfp4 { stem: String, first: usize, step: usize },
    /// The tensor's `of` rows, and its first for the rest of the weight's.
    Padded { tensor: String, of: usize },
    /// Each element of the tensor so many times.
    Spread { tensor: String, each: usize },
    /// No tensor: all elements are 1.
    Ones,
    /// Of `of` rows for each matrix of the weight, those from `first` on, maybe transposed.
    Heads { tensor: String, of: usize, first: usize, turned: bool },
}

/// How the bytes are handed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// As the file has them.
    AsIs,
    /// As F32, with something added.
    F32 { plus: f32 },
    /// As F32, minus the exponentials.
    MinusExp,
}

impl Source {
    pub(crate) fn whole(tensor: String, shape: Shape) -> Source {
        Source::Rows { tensors: vec![tensor], of: shape.rows, first: 0 }
    }

    /// The names of its tensors.
    pub(crate) fn tensors(&self) -> Vec<Cow<'_, str>> {
        match self {
            Source::Rows { tensors, .. } => tensors.iter().map(|t| t.as_str().into()).collect(),
            Source::Columns { tensor, .. }
            | Source::Elements { tensor, .. }
            | Source::Grouped { tensor, .. }
            | Source::Padded { tensor, .. }
            | Source::Spread { tensor, .. }
            | Source::Heads { tensor, .. } => {
                vec![tensor.as_str().into()]
            }
            Source::Mxfp4 { stem, .. } => vec![format!("{stem}_blocks").into(), format!("{stem}_scales").into()],
            Source::Ones => vec![],
        }
    }

    /// Whether the file has its first tensor; the others are then expected as well.
    pub(crate) fn exists(&self, checkpoint: &Checkpoint) -> bool {
        matches!(self, Source::Ones) || self.tensors().first().is_some_and(|name| checkpoint.tensor(name).is_some())
    }

    /// The type its elements are stored in and how to read them, after checking every tensor's shape against the
    /// weight's. Tensors of different types become F32.
    pub(crate) fn check(&self, checkpoint: &Checkpoint, shape: Shape) -> Result<(DType, Form), ModelError> {
        if let Source::Mxfp4 { stem, step, .. } = self {
            let (rows, blocks) = (shape.rows * step, shape.cols / 32);
            dims(checkpoint, &format!("{stem}_blocks"), &[shape.outer, rows, blocks, 16])?;
            dims(checkpoint, &format!("{stem}_scales"), &[shape.outer, rows, blocks])?;
            return Ok((DType::MXFP4, Form::AsIs));
        }
        let mut found = matches!(self, Source::Ones).then_some((DType::F32, Form::AsIs));
        for name in self.tensors() {
            let tensor = dims(checkpoint, &name, &self.wanted(shape))?;
            let dtype = match &tensor.dtype {
                Ok(dtype) => *dtype,
                Err(other) => {
                    let known: Vec<_> = DType::all().map(DType::name).collect();
                    let problem = format!("is stored as {other}; take a file with {}", known.join(", "));
                    return Err(checkpoint.unsupported(&name, problem));
                }
            };
            found = Some(match found {
                Some(other) if other != (dtype, Form::AsIs) => (DType::F32, Form::F32 { plus: 0.0 }),
                _ => (dtype, Form::AsIs),
            });
        }
        let (dtype, form) = found.ok_or_else(|| checkpoint.invalid("experts", "there are none"))?;
        if dtype.row_bytes(self.stored_cols(shape)).is_none() {
            let name = self.tensors()[0].clone().into_owned();
            let problem = format!("rows of {} are not whole blocks of {dtype}", self.stored_cols(shape));
            return Err(checkpoint.unsupported(&name, problem));
        }
        // Blocks of a row are not blocks of a column.
        if matches!(self, Source::Heads { turned: true, .. }) && dtype.layout().block_len != 1 {
            return Ok((DType::F32, Form::F32 { plus: 0.0 }));
        }
        let by_elements = matches!(self, Source::Columns { .. } | Source::Elements { .. } | Source::Spread { .. });
        if by_elements && dtype.layout().block_len != 1 {
            let name = self.tensors()[0].clone().into_owned();
            return Err(checkpoint.unsupported(&name, format!("{dtype} in this layout; F32, F16 and BF16 are")));
        }
        Ok((dtype, form))
    }

    /// Columns of the tensors' rows.
    fn stored_cols(&self, shape: Shape) -> usize {
        if matches!(self, Source::Heads { turned: true, .. }) { shape.rows } else { shape.cols }
    }

    /// The dimensions each tensor must have.
    fn wanted(&self, shape: Shape) -> Vec<usize> {
        match self {
            Source::Rows { tensors, of, .. } => vec![shape.outer / tensors.len().max(1), *of, shape.cols],
            Source::Grouped { groups, of, .. } => vec![shape.outer, of * groups, shape.cols],
            Source::Columns { of, .. } => vec![shape.outer, shape.cols, *of],
            Source::Elements { step, .. } => vec![shape.outer, shape.rows, shape.cols * step],
            Source::Heads { of, .. } => vec![shape.outer * of, self.stored_cols(shape)],
            Source::Padded { of, .. } => vec![shape.outer, *of, shape.cols],
            Source::Spread { each, .. } => vec![shape.cols / each],
            Source::Mxfp4 { .. } | Source::Ones => vec![],
        }
    }

    /// The bytes in `form`; of a slice or a whole tensor as it is, straight from the map.
    pub(crate) fn read<'a>(
        &self,
        checkpoint: &'a Checkpoint,
        shape: Shape,
        form: Form,
    ) -> Result<Cow<'a, [u8]>, ModelError> {
        if let Source::Mxfp4 { stem, first, step } = self {
            return Ok(mxfp4(checkpoint, stem, shape, (*first, *step)).into());
        }
        if let Source::Heads { tensor, of, first, turned: true } = self {
            return transposed(checkpoint, tensor, shape, (*of, *first), form).map(Cow::from);
        }
        let pieces = self.pieces(checkpoint, shape);
        let change: Option<&dyn Fn(f32) -> f32> = match form {
            Form::AsIs => None,
            Form::F32 { plus } => Some(&move |x| x + plus),
            Form::MinusExp => Some(&|x| -x.exp()),
        };
        if let Some(change) = change {
            let mut out = Vec::new();
            for (dtype, bytes) in &pieces {
                decode((*dtype, bytes, shape.cols), change, &mut out)
                    .map_err(|e| checkpoint.invalid(&self.tensors()[0], e.to_string()))?;
            }
            return Ok(out.into());
        }
        match <[_; 1]>::try_from(pieces) {
            Ok([(_, bytes)]) => Ok(bytes),
            Err(pieces) => Ok(pieces.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Vec<u8>>().into()),
        }
    }

    /// The weight's bytes, piece after piece, each with its type.
    fn pieces<'a>(&self, checkpoint: &'a Checkpoint, shape: Shape) -> Vec<(DType, Cow<'a, [u8]>)> {
        if let Source::Ones = self {
            let ones = 1f32.to_le_bytes().repeat(shape.outer * shape.rows * shape.cols);
            return vec![(DType::F32, ones.into())];
        }
        let mut pieces = Vec::new();
        for name in self.tensors() {
            let Some(tensor) = checkpoint.tensor(&name) else { continue };
            let Ok(dtype) = tensor.dtype else { continue };
            match checkpoint.data(tensor) {
                Cow::Borrowed(bytes) => pieces.extend(self.parts(bytes, dtype, shape).map(|part| (dtype, part))),
                Cow::Owned(bytes) => {
                    let parts = self.parts(&bytes, dtype, shape).map(|part| (dtype, part.into_owned().into()));
                    pieces.extend(parts);
                }
            }
        }
        pieces
    }

    /// What the weight has of a tensor, piece after piece.
    fn parts<'a>(&self, bytes: &'a [u8], dtype: DType, shape: Shape) -> std::vec::IntoIter<Cow<'a, [u8]>> {
        let size = dtype.layout().block_bytes;
        let slices =
            |each: Shape, of: usize, first: usize| rows(bytes, dtype, each, (of, first)).map(Cow::from).collect();
        let parts: Vec<Cow<'a, [u8]>> = match *self {
            Source::Rows { ref tensors, of, first } => {
                slices(Shape { outer: shape.outer / tensors.len(), ..shape }, of, first)
            }
            Source::Grouped { groups, of, first, .. } => {
                slices(Shape { outer: groups, rows: shape.rows / groups, cols: shape.cols }, of, first)
            }
            Source::Heads { of, first, .. } => slices(shape, of, first),
            Source::Columns { of, first, step, .. } => vec![columns(bytes, dtype, shape, (of, first, step)).into()],
            Source::Elements { first, step, .. } => {
                let picked = bytes.chunks_exact(size).skip(first).step_by(step).flatten().copied();
                vec![picked.collect::<Vec<u8>>().into()]
            }
            Source::Spread { each, .. } => {
                vec![bytes.chunks_exact(size).flat_map(|x| x.repeat(each)).collect::<Vec<u8>>().into()]
            }
            Source::Padded { of, .. } => {
                let row = bytes.len() / of.max(1);
                vec![bytes.into(), bytes[..row].repeat(shape.rows - of).into()]
            }
            Source::Mxfp4 { .. } | Source::Ones => vec![],
        };
        parts.into_iter()
    }
}

/// The rows from `first` on of each matrix of `of` rows; matrices that are whole are one piece.
fn rows(bytes: &[u8], dtype: DType, shape: Shape, (of, first): (usize, usize)) -> impl Iterator<Item = &[u8]> {
    let row = dtype.row_bytes(shape.cols).unwrap_or(0);
    let (matrices, of, rows) = match of == shape.rows {
        true => (1, of * shape.outer, shape.rows * shape.outer),
        false => (shape.outer, of, shape.rows),
    };
    (0..matrices).map(move |m| &bytes[(m * of + first) * row..(m * of + first + rows) * row])
}

/// The tensor `name`, with those dimensions.
fn dims<'a>(checkpoint: &'a Checkpoint, name: &str, wanted: &[usize]) -> Result<&'a TensorInfo, ModelError> {
    let missing = || checkpoint.invalid(name, "the tensor is missing; take a complete copy of the model");
    let tensor = checkpoint.tensor(name).ok_or_else(missing)?;
    // Dimensions of 1 do not count: a vector may be a column, and taps of a convolution have one in the middle.
    let core = |dims: &[usize]| dims.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    let (given, wanted_core) = (core(&tensor.dims), core(wanted));
    // The elements of a vector may be in several rows.
    let vector = matches!(wanted_core[..], [len] if given.iter().product::<usize>() == len);
    if given != wanted_core && !vector {
        let problem = format!("has the dimensions {:?}, the model's numbers need {wanted_core:?}", tensor.dims);
        return Err(checkpoint.invalid(name, problem));
    }
    Ok(tensor)
}

/// Element (m, r, c) is the tensor's (m, c, first + r · step).
fn columns(bytes: &[u8], dtype: DType, shape: Shape, (width, first, step): (usize, usize, usize)) -> Vec<u8> {
    let size = dtype.layout().block_bytes;
    let mut out = Vec::with_capacity(shape.outer * shape.rows * shape.cols * size);
    for matrix in bytes.chunks_exact((shape.cols * width * size).max(1)) {
        for at in (0..shape.rows).map(|r| first + r * step) {
            for c in 0..shape.cols {
                let start = (c * width + at) * size;
                out.extend_from_slice(&matrix[start..start + size]);
            }
        }
    }
    out
}

/// Of `of` rows for each matrix, those from `first` on as its columns: as they are stored or as F32.
fn transposed(
    checkpoint: &Checkpoint,
    name: &str,
    shape: Shape,
    (of, first): (usize, usize),
    form: Form,
) -> Result<Vec<u8>, ModelError> {
    let Some((&Ok(dtype), stored)) = checkpoint.tensor(name).map(|t| (&t.dtype, checkpoint.data(t))) else {
        return Err(checkpoint.invalid(name, "the tensor is missing; take a complete copy of the model"));
    };
    let (mut decoded, mut bytes, mut size) = (Vec::new(), &*stored, dtype.layout().block_bytes);
    if form != Form::AsIs {
        decode((dtype, &stored, shape.rows), &|x| x, &mut decoded)
            .map_err(|e| checkpoint.invalid(name, e.to_string()))?;
        (bytes, size) = (&decoded, 4);
    }
    let mut out = Vec::with_capacity(shape.outer * shape.rows * shape.cols * size);
    for matrix in bytes.chunks_exact((of * shape.rows * size).max(1)) {
        for r in 0..shape.rows {
            for at in (0..shape.cols).map(|c| ((first + c) * shape.rows + r) * size) {
                out.extend_from_slice(&matrix[at..at + size]);
            }
        }
    }
    Ok(out)
}

/// GGUF's blocks have the scale before the nibbles, and elements 0 to 15 in the low ones; gpt-oss's own files have
/// neighbours in one byte.
fn mxfp4(checkpoint: &Checkpoint, stem: &str, shape: Shape, (first, step): (usize, usize)) -> Vec<u8> {
    let bytes =
        |what: &str| checkpoint.tensor(&format!("{stem}_{what}")).map_or(&[][..], |tensor| checkpoint.bytes(tensor));
    let (nibbles, scales, blocks) = (bytes("blocks"), bytes("scales"), shape.cols / 32);
    let mut out = Vec::with_capacity(shape.outer * shape.rows * blocks * 17);
    for row in (0..shape.outer * shape.rows).map(|r| first + r * step) {
        for block in row * blocks..(row + 1) * blocks {
            let pairs = &nibbles[block * 16..block * 16 + 16];
            let element = |i: usize| (pairs[i / 2] >> (4 * (i % 2))) & 15;
            out.push(scales[block]);
            out.extend((0..16).map(|i| element(i) | element(i + 16) << 4));
        }
    }
    out
}

/// Appends rows of `cols` elements as F32, changed.
fn decode(
    (dtype, bytes, cols): (DType, &[u8], usize),
    change: &dyn Fn(f32) -> f32,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let mut values = vec![0.0; dtype.elements(bytes.len(), cols)];
    tensor::decode(dtype, bytes, &mut values)?;
    out.extend(values.iter().flat_map(|&v| change(v).to_le_bytes()));
    Ok(())
}
