//! Runs trained networks, stored as ONNX files, in pure Rust.
//!
//! A [`Network`] is one loaded file with its name and digest, so that every result can
//! say what made it. What goes in and what comes out is the business of the caller:
//! [`tiles`](super::tiles) for networks that enlarge.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use rten::{Model, NodeId, RunOptions, ThreadPool};
use rten_tensor::{NdTensor, Tensor};
use sha2::{Digest, Sha256};

use super::contract::{EngineError, ModelId};

/// A trained network, loaded. It takes one tensor of shape `[1, channels, height, width]`.
pub(super) struct Network {
    id: ModelId,
    model: Model,
    input: NodeId,
    outputs: Vec<NodeId>,
}

impl Network {
    /// Loads an ONNX file that is part of the program.
    ///
    /// # Errors
    ///
    /// [`EngineError::Model`] when the file is damaged or needs what the runtime lacks.
    pub(super) fn embedded(name: &str, file: &'static [u8]) -> Result<Self, EngineError> {
        let id = identify(name, file);
        let loaded = Model::load_static_slice(file);
        Self::new(id, loaded)
    }

    /// Loads an ONNX file that was read from disk.
    ///
    /// # Errors
    ///
    /// [`EngineError::Model`], as above.
    pub(super) fn from_file(name: &str, file: Vec<u8>) -> Result<Self, EngineError> {
        let id = identify(name, &file);
        let loaded = Model::load(file);
        Self::new(id, loaded)
    }

    fn new(id: ModelId, loaded: Result<Model, rten::LoadError>) -> Result<Self, EngineError> {
        let model = loaded.map_err(|error| failure(&id, &error))?;
        let &[input] = model.input_ids() else {
            return Err(failure(&id, &"it does not have exactly one input"));
        };
        let outputs = model.output_ids().to_vec();
        Ok(Self { id, model, input, outputs })
    }

    /// Returns which model this is.
    pub(super) fn id(&self) -> &ModelId {
        &self.id
    }

    /// Returns the outputs for `input`, in the file's order, computed on the threads of
    /// `pool`, or of all cores.
    ///
    /// # Errors
    ///
    /// [`EngineError::Model`] when the runtime refuses the tensor or fails.
    pub(super) fn run(
        &self,
        input: NdTensor<f32, 4>,
        pool: Option<&Arc<ThreadPool>>,
    ) -> Result<Vec<Tensor<f32>>, EngineError> {
        let options = RunOptions::default().with_thread_pool(pool.cloned());
        let inputs = vec![(self.input, input.into())];
        let outputs = self
            .model
            .run(inputs, &self.outputs, Some(options))
            .map_err(|error| failure(&self.id, &error))?;
        let floats = |value: rten::Value| {
            value.into_tensor().ok_or_else(|| failure(&self.id, &"an output is not of floats"))
        };
        outputs.into_iter().map(floats).collect()
    }

    /// Returns the constant of this name in the file, such as a weight, as floats.
    ///
    /// # Errors
    ///
    /// [`EngineError::Model`] when there is none, or it is not of floats.
    pub(super) fn constant(&self, name: &str) -> Result<Tensor<f32>, EngineError> {
        let constants = self
            .model
            .node_id(name)
            .and_then(|node| self.model.run(vec![], &[node], None))
            .map_err(|error| failure(&self.id, &error))?;
        let floats = constants.into_iter().next().and_then(rten::Value::into_tensor);
        floats.ok_or_else(|| failure(&self.id, &format_args!("`{name}` is not of floats")))
    }

    /// Returns the error that says this network failed because of `reason`.
    pub(super) fn failure(&self, reason: &dyn fmt::Display) -> EngineError {
        failure(&self.id, reason)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Network").field("id", &self.id).finish_non_exhaustive()
    }
}

fn failure(id: &ModelId, reason: &dyn fmt::Display) -> EngineError {
    EngineError::Model { model: id.name.clone(), reason: reason.to_string() }
}

/// Returns the name with the digest of the file.
fn identify(name: &str, file: &[u8]) -> ModelId {
    ModelId { name: name.to_owned(), sha256: sha256(file) }
}

/// Returns the SHA-256 of `file` in 64 hexadecimal digits.
pub(super) fn sha256(file: &[u8]) -> String {
    let mut sha256 = String::with_capacity(64);
    for byte in Sha256::digest(file) {
        // Writing to a string does not fail.
        let _ = write!(sha256, "{byte:02x}");
    }
    sha256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_sha256() {
        // FIPS 180-2, appendix B.1.
        let id = identify("abc", b"abc");
        assert_eq!(
            id.to_string(),
            "abc (sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)"
        );
    }

    #[test]
    fn what_is_no_model_is_an_error_that_names_it() {
        for file in [&b""[..], b"not a model", &[0; 4096]] {
            let error = Network::from_file("x", file.to_vec()).unwrap_err();
            assert!(matches!(&error, EngineError::Model { model, .. } if model == "x"), "{error}");
        }
    }
}
