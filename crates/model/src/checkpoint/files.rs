//! The mapped files of a model and where its tensors are in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TensorInfo;
use crate::mmap::Bytes;
use crate::{Metadata, ModelError};

/// Metadata, tensors and bytes of all files of a model.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<TensorInfo>,
    /// In the order that [`TensorInfo::file`] counts.
    pub(crate) files: Vec<(PathBuf, Arc<Bytes>)>,
    by_name: HashMap<String, usize>,
}

impl Files {
    pub(crate) fn new(metadata: Metadata, tensors: Vec<TensorInfo>, files: Vec<(PathBuf, Arc<Bytes>)>) -> Files {
        Files { metadata, tensors, files, by_name: HashMap::new() }
    }

    /// Makes the tensors findable by name; refuses a name that two files have.
    pub(crate) fn indexed(mut self) -> Result<Files, ModelError> {
        for (i, tensor) in self.tensors.iter().enumerate() {
            if let Some(other) = self.by_name.insert(tensor.name.clone(), i) {
                let other = self.path(self.tensors[other].file).display();
                let problem = format!("is also in {other}; the parts are not of one set, download them again");
                return Err(ModelError::invalid(self.path(tensor.file), format!("tensor {}", tensor.name), problem));
            }
        }
        Ok(self)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    pub(crate) fn path(&self, file: usize) -> &Path {
        &self.files[file].0
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&i| &self.tensors[i])
    }

    pub(crate) fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        &self.files[tensor.file].1[tensor.start..tensor.start + tensor.bytes]
    }
}
