//! The models that users add to the local engine: where they are, and how much they do.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{context::user_data_dir, error::AppError, render};
use crate::{
    config::Settings,
    engine::{AddedModels, Effort, LocalEngine},
};

/// What a gateway is told about them; a run has settings of the same names.
#[derive(Debug, Clone, Args)]
pub(super) struct ModelArgs {
    /// Folder of added models [default: restore-batch/models in your data folder].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// How true results stay to the photograph; at 1 no added model may invent anything.
    #[arg(long, value_name = "0-1", default_value = "0.5", value_parser = fidelity)]
    fidelity: f32,
    /// Longest time added models may take for one picture, in seconds on two cores;
    /// counted in pixels, so results do not depend on the number of cores; another kind of
    /// CPU may differ by rounding.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    max_seconds: u32,
}

impl ModelArgs {
    /// Returns the engine with the models that are there, and says which.
    pub(super) fn engine(&self, max_output_pixels: u64) -> Result<LocalEngine, AppError> {
        let effort = Effort { fidelity: self.fidelity, max_seconds: self.max_seconds };
        let added = load(self.models.as_deref(), effort)?;
        render::note(&format!("added models: {}", names(&added)));
        Ok(LocalEngine::new(max_output_pixels).with_models(added))
    }
}

/// Returns the engine of a run with `--local`.
pub(super) fn local_engine(settings: &Settings) -> Result<LocalEngine, AppError> {
    Ok(LocalEngine::new(settings.max_pixels).with_models(added_models(settings)?))
}

/// Returns the added models that a run with `--local` uses.
pub(super) fn added_models(settings: &Settings) -> Result<AddedModels, AppError> {
    let effort = Effort { fidelity: settings.fidelity, max_seconds: settings.max_seconds };
    load(settings.models.as_deref(), effort)
}

/// Returns the names of the models, or `none`.
pub(super) fn names(added: &AddedModels) -> String {
    let names: Vec<_> = added.ids().into_iter().map(|id| id.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A folder that was named must hold a model; the usual one need not exist.
fn load(folder: Option<&Path>, effort: Effort) -> Result<AddedModels, AppError> {
    let Some(folder) = folder else {
        return match user_data_dir() {
            Some(data) => Ok(AddedModels::load(&data.join("restore-batch/models"), effort)?),
            None => Ok(AddedModels::default()),
        };
    };
    let added = AddedModels::load(folder, effort)?;
    if added.ids().is_empty() {
        return Err(AppError::NoModels { folder: folder.to_owned() });
    }
    Ok(added)
}

fn fidelity(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|fidelity| (0.0..=1.0).contains(fidelity))
        .ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}
