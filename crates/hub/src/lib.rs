//! Files that come from elsewhere: where they are kept, how they are fetched, and how they are
//! checked. Nothing here runs unless a command asks for a remote thing by name.
//!
//! Models lie in Hugging Face's own cache, in its own layout, so that what Python tools fetched is
//! found here and the reverse. `hf-hub`, the crate for that, brings an async runtime and some 360
//! packages; what is needed of it is two requests and a folder layout.

#![forbid(unsafe_code)]

mod error;
mod fetch;
mod model;

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

pub use error::{HubError, Offline};
pub use fetch::{Expected, Fetcher, Patience, Watch, sha256};
pub use model::{Hub, HubSettings, Token};

/// tinymood's own cache folder: the one given, or `tinymood` in the system's cache folder.
///
/// # Errors
/// When none is given and the user has no home.
pub fn cache_folder(given: Option<&Path>) -> Result<PathBuf, HubError> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None => {
            let no_home = HubError::NoHome { hint: "name a folder with --cache-dir" };
            let base = etcetera::choose_base_strategy().map_err(|_| no_home)?;
            Ok(base.cache_dir().join("tinymood"))
        }
    }
}
