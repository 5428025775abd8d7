//! Numbers that NumPy reads where they are.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A matrix of numbers, row after row. NumPy makes an array of it without copying (`numpy.asarray`), which keeps it alive and cannot
/// be written to.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Matrix {
    data: Data,
    /// How long it is in each direction.
    shape: Vec<usize>,
}

enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Matrix {
    /// Rows of the same length.
    pub(crate) fn rows(data: Vec<f32>, columns: usize) -> Matrix {
        let rows = data.len().checked_div(columns).unwrap_or_default();
        Matrix { shape: vec![rows, columns], data: Data::F32(data) }
    }

    /// A row.
    pub(crate) fn column(data: Vec<f64>) -> Matrix {
        Matrix { shape: vec![data.len()], data: Data::F64(data) }
    }
}

#[pymethods]
impl Matrix {
    /// NumPy's array interface, version 3: where the numbers are.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (kind, address) = match &self.data {
            Data::F32(data) => ("f4", data.as_ptr().expose_provenance()),
            Data::F64(data) => ("f8", data.as_ptr().expose_provenance()),
        };
        let order = if cfg!(target_endian = "little") { '<' } else { '>' };
        let dict = PyDict::new(py);
        dict.set_item("version", 3)?;
        dict.set_item("typestr", format!("{order}{kind}"))?;
        dict.set_item("shape", pyo3::types::PyTuple::new(py, &self.shape)?)?;
        dict.set_item("data", (address, true))?;
        Ok(dict)
    }

    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }
}
