//! GoEmotions (Demszky et al., ACL 2020), the simplified splits as published: from the cache, or
//! downloaded once from their public home, in either case verified.

use std::fs;
use std::path::{Path, PathBuf};

use tinymood_hub::{Expected, Fetcher, HubError, Offline};

use crate::{DataError, Dataset, LabelList, ReadOptions, read_dataset};

/// Where the files are published.
pub const HOME: &str =
    "https://raw.githubusercontent.com/google-research/google-research/master/goemotions/data";

/// No split is larger.
const MAX_BYTES: u64 = 16 << 20;

/// A published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its name, `train`.
    pub name: &'static str,
    /// Its SHA-256.
    pub sha256: &'static str,
}

/// The training split, 43,410 rows.
pub const TRAIN: Split = Split {
    name: "train",
    sha256: "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5",
};

/// The validation split, 5,426 rows.
pub const DEV: Split = Split {
    name: "dev",
    sha256: "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62",
};

/// The test split, 5,427 rows; nothing is ever tuned on it.
pub const TEST: Split = Split {
    name: "test",
    sha256: "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4",
};

/// Where the dataset is kept and whether it may be fetched.
#[derive(Clone, Debug)]
pub struct Source {
    /// tinymood's cache folder; the files lie in `goemotions/` there.
    pub cache: PathBuf,
    /// Never use the network.
    pub offline: bool,
    /// Where the files are published: [`HOME`], or a mirror of it.
    pub home: String,
    /// What fetches them.
    pub fetcher: Fetcher,
}

impl Source {
    /// Where the file of a split is kept.
    pub fn path(&self, split: Split) -> PathBuf {
        self.cache.join("goemotions").join(format!("{}.tsv", split.name))
    }

    /// The path of a split's file, fetched if it is not in the cache. A cached file of another
    /// content than the published one is fetched anew.
    ///
    /// # Errors
    /// When it is not there and cannot be fetched.
    pub fn fetch(&self, split: Split) -> Result<PathBuf, DataError> {
        let path = self.path(split);
        if is_whole(&path, split) {
            return Ok(path);
        }
        if self.offline {
            let what = format!("the {} split", split.name);
            let cache = self.cache.clone();
            let by = Offline::Flag;
            return Err(DataError::Fetch(HubError::Offline { what, cache, by }));
        }
        let url = format!("{}/{}.tsv", self.home, split.name);
        let expected = Expected { max_bytes: MAX_BYTES, sha256: Some(split.sha256) };
        self.fetcher.file(&url, None, &path, expected).map_err(DataError::Fetch)?;
        Ok(path)
    }

    /// A split, fetched if needed.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    pub fn read(&self, split: Split) -> Result<Dataset, DataError> {
        let path = self.fetch(split)?;
        let labels = Some(LabelList::goemotions());
        read_dataset(&path, &ReadOptions { labels, ..ReadOptions::default() })
    }
}

fn is_whole(path: &Path, split: Split) -> bool {
    let is_file = |metadata: fs::Metadata| metadata.is_file() && metadata.len() <= MAX_BYTES;
    path.metadata().is_ok_and(is_file)
        && fs::read(path).is_ok_and(|bytes| tinymood_hub::sha256(&bytes) == split.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_says_what_is_missing_and_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let (cache, home) = (place.path().to_owned(), "http://127.0.0.1:9".to_owned());
        let source = Source { cache, offline: true, home, fetcher: Fetcher::default() };
        let error = source.read(DEV).unwrap_err();
        assert!(error.hint().unwrap().contains("--offline"));
        // A file of another content is not taken for the dataset.
        fs::create_dir_all(place.path().join("goemotions")).unwrap();
        fs::write(source.path(DEV), "a\t1\tx\n").unwrap();
        assert!(source.read(DEV).is_err());
    }
}
