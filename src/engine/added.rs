//! The models that users add: `CenterFace` and Real-ESRGAN x4plus.
//!
//! They are files in a folder, put there by `scripts/fetch-models`; without them the
//! engine works as well as it can. A file that is there but is not the expected one is an
//! error at the start, never a reason to go on without it: the same command would give
//! other pictures than the day before. Where the folder is, the caller says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use image::DynamicImage;

use super::{
    contract::{EngineError, ModelId},
    faces::{Detector, Face},
    onnx::{Network, sha256},
    sharpened::{Effort, Sharpened, around, whole},
    watch::Watch,
    x4plus::{TILING, X4plus},
};

/// The added models that are there, and how much they may do.
#[derive(Debug, Default)]
pub struct AddedModels {
    pub(super) detector: Option<Detector>,
    pub(super) x4plus: Option<X4plus>,
    effort: Effort,
}

/// An added model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddedModelError {
    /// The file is there but cannot be read.
    #[error("the model `{path}` cannot be read; see that this user may read it", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not the expected one: damaged, cut off, or of another version.
    #[error(
        "the model `{path}` is damaged or of another version (sha256 {found}); delete it, or \
         run scripts/fetch-models again",
        path = path.display()
    )]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// Its SHA-256 in hexadecimal digits.
        found: String,
    },
    /// The runtime refuses the expected file.
    #[error(transparent)]
    Refused(#[from] EngineError),
}

/// What the added models did to one picture.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// The models that ran.
    pub(super) models: Vec<ModelId>,
    /// The faces that were found, the surest first.
    pub(super) faces: Vec<Face>,
    /// What was mixed into which part, in this order.
    pub(super) sharpened: Vec<Sharpened>,
}

/// Name of a model, as in `scripts/model_pins.py`, and the SHA-256 of its file.
const CENTERFACE: (&str, &str) =
    ("centerface", "c02bb94edeb4301da8341e4c25e6b1c21227751334c4310786dacb2d812bfb6e");
const X4PLUS: (&str, &str) =
    ("realesrgan-x4plus", "581bbf77efa07517f7bb851757c726d7a2d44d3e291c98a8d738a2a6e5e9a24a");

impl AddedModels {
    /// Loads the models that are in `folder`, `centerface.onnx` and
    /// `realesrgan-x4plus.onnx`. Either may be missing, and so may the folder.
    ///
    /// # Errors
    ///
    /// [`AddedModelError`] when one that is there cannot be used.
    pub fn load(folder: &Path, effort: Effort) -> Result<Self, AddedModelError> {
        Ok(Self {
            detector: load(folder, CENTERFACE)?.map(Detector::new),
            x4plus: load(folder, X4PLUS)?.map(X4plus::new),
            effort,
        })
    }

    /// Returns which models are there.
    #[must_use]
    pub fn ids(&self) -> Vec<&ModelId> {
        let detector = self.detector.as_ref().map(Detector::id);
        detector.into_iter().chain(self.x4plus.as_ref().map(X4plus::id)).collect()
    }

    /// Sharpens `result`, which was made of the noisy `source` and is larger by `scale`:
    /// all of it where the effort allows that, its faces otherwise. Neither has alpha.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when a model fails, or the work was cancelled.
    pub(super) fn sharpen(
        &self,
        source: &DynamicImage,
        result: &mut DynamicImage,
        scale: u32,
        watch: &Watch,
    ) -> Result<Added, EngineError> {
        let mut added = Added::default();
        let Some(x4plus) = &self.x4plus else { return Ok(added) };
        let size = (source.width(), source.height());
        if let Some(all) = whole(size, self.effort, TILING) {
            added.sharpened.push(all);
        } else if let Some(detector) = &self.detector {
            added.models.push(detector.id().clone());
            added.faces = detector.detect(source)?;
            added.sharpened = around(&added.faces, size, self.effort, TILING);
        }
        if !added.sharpened.is_empty() {
            added.models.push(x4plus.id().clone());
        }
        for (index, part) in added.sharpened.iter().enumerate() {
            watch.check()?;
            let detail = x4plus.detail(source, part, scale, watch)?;
            part.mix(result, &detail, scale, &added.sharpened[..index]);
        }
        Ok(added)
    }
}

/// Returns the model if its file is there.
fn load(folder: &Path, (name, expected): (&str, &str)) -> Result<Option<Network>, AddedModelError> {
    let path = folder.join(format!("{name}.onnx"));
    let file = match fs::read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AddedModelError::Unreadable { path, source }),
    };
    let found = sha256(&file);
    if found != expected {
        return Err(AddedModelError::Unexpected { path, found });
    }
    Ok(Some(Network::from_file(name, file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_error(folder: &Path) -> String {
        AddedModels::load(folder, Effort::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_without_models_and_no_folder_are_both_fine() {
        let folder = tempfile::tempdir().unwrap();
        for folder in [folder.path(), &folder.path().join("missing")] {
            let models = AddedModels::load(folder, Effort::default()).unwrap();
            assert_eq!(models.ids(), Vec::<&ModelId>::new());
        }
    }

    #[test]
    fn a_damaged_model_is_an_error_that_names_the_file_and_what_helps() {
        for name in ["centerface.onnx", "realesrgan-x4plus.onnx"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), b"half a model").unwrap();
            let error = load_error(folder.path());
            assert!(error.contains(name) && error.contains("scripts/fetch-models"), "{error}");
        }
    }

    #[test]
    fn a_model_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("centerface.onnx")).unwrap();
        let error = load_error(folder.path());
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn without_models_nothing_happens() {
        let picture = DynamicImage::new_rgb8(4, 4);
        let mut result = DynamicImage::new_rgb8(8, 8);
        let models = AddedModels::default();
        let added = models.sharpen(&picture, &mut result, 2, &Watch::default()).unwrap();
        assert!(added.models.is_empty() && added.sharpened.is_empty());
        assert!(result == DynamicImage::new_rgb8(8, 8));
    }

    #[test]
    fn the_expected_files_are_those_the_script_makes() {
        let pins = include_str!("../../scripts/model_pins.py");
        for (name, sha256) in [CENTERFACE, X4PLUS] {
            let entry = pins.split("Model(\n").find(|entry| entry.contains(name)).unwrap();
            assert!(entry.contains(&format!("result=\"{sha256}\"")), "{name}");
        }
    }
}
