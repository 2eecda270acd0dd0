//! Weights in and out: model folders as Hugging Face tools know them, safetensors, PyTorch's `.bin`
//! (zip and legacy, read without ever executing a pickle), names from many hands made one, and what
//! a checkpoint lacks initialised.
//!
//! ```text
//! safetensors  read and write
//! pytorch      the restricted pickle reader, zip and legacy containers
//! names        prefixes and old names to the names of transformers
//! fit          a checkpoint's tensors to a model's parameters, with a report
//! init         new parameters
//! folder       a model's folder, read and written as a whole
//! digest       SHA-256 of files
//! ```
//!
//! Every reader takes hostile files: nothing panics, and nothing allocates more than a small
//! multiple of the file's size.

#![forbid(unsafe_code)]

pub mod digest;
mod error;
mod fit;
mod folder;
mod head;
mod init;
mod names;
mod pytorch;
mod safetensors;

pub use crate::safetensors::{
    QuantisedTensor, read_safetensors, safetensors_metadata, write_quantised_safetensors,
    write_safetensors, write_safetensors_with_metadata,
};
pub use error::WeightsError;
pub use fit::{LoadReport, fit};
pub use folder::{
    ModelFolder, ModelParts, load_model_folder, read_model_folder, read_static_model, read_tensors,
    replace_model_folder, write_new_model_folder,
};
pub use head::{HeadReport, fit_by_label};
pub use init::initialise;
pub use names::canonical_name;
/// Files read whole, and only what is one.
pub use tinymood_files as regular;
/// Files and folders that are whole or not there.
pub use tinymood_files::durable;

/// The tensors of a file, and the names of those that hold no floating-point numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorFile {
    /// By name as the file has them.
    pub tensors: tinymood_core::TensorMap,
    /// Integer and boolean buffers (`position_ids`), passed over.
    pub skipped: Vec<String>,
    /// Whether weights were int8 in the file ([`QuantisedTensor`]); they are f32 here.
    pub quantised: bool,
}
