//! The program as a function.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Does what a command line says, as the program does; gives the exit status.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cli::run_with(arguments))
}
