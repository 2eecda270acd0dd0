//! Models of the Hugging Face hub, in its own cache: `models--ORGANISATION--NAME/refs/REVISION` names a
//! commit, `snapshots/COMMIT/` holds its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use serde::Deserialize;
use tinymood_files::{check, durable, is_other_weights, is_there, read_text};

use crate::{Expected, Fetcher, HubError, Offline};

/// Files worth having beside the weights, where the repository has them.
const SMALL_FILES: [&str; 7] = [
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "thresholds.json",
];

/// Weight files, the better first.
const WEIGHT_FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The branch that is meant where no revision is named.
const MAIN: &str = "main";

const MAX_SMALL_FILE: u64 = 64 << 20;
/// A reference is a commit, and a token not much longer.
const MAX_LINE: u64 = 1 << 10;
const MAX_WEIGHT_FILE: u64 = 8 << 30;

/// Where the hub is and how it may be used.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// `HF_ENDPOINT`, or the public hub.
    pub endpoint: String,
    /// `HF_HUB_CACHE`, `HF_HOME/hub`, or `huggingface/hub` in the system's cache folder.
    pub cache: PathBuf,
    /// What forbids to use the network, if anything does.
    pub offline: Option<Offline>,
    /// `HF_TOKEN`, or what the file `HF_TOKEN_PATH` or `HF_HOME/token` holds.
    pub token: Token,
}

/// By what the hub knows who asks.
#[derive(Clone, Debug, Default)]
pub enum Token {
    /// Nobody is logged in.
    #[default]
    None,
    /// A token.
    Known(String),
    /// A file that is there and cannot be read: an error once something is fetched, as what is cached needs none.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
}

impl Token {
    /// The token in a file, which need not be there.
    fn of_file(path: PathBuf) -> Self {
        match read_line(&path) {
            Ok(line) => Self::of_text(line.as_deref().unwrap_or_default()),
            Err(source) => Self::Unreadable { path, source: Arc::new(source) },
        }
    }

    fn of_text(text: &str) -> Self {
        match text.trim() {
            "" => Self::None,
            token => Self::Known(token.to_owned()),
        }
    }

    /// # Errors
    /// When it cannot be read.
    fn known(&self) -> Result<Option<&str>, HubError> {
        match self {
            Self::None => Ok(None),
            Self::Known(token) => Ok(Some(token)),
            Self::Unreadable { path, source } => {
                Err(HubError::Token { path: path.clone(), source: Arc::clone(source) })
            }
        }
    }
}

impl HubSettings {
    /// What the environment says, as `huggingface_hub` reads it; `offline` is `--offline`.
    ///
    /// # Errors
    /// When it names no cache and the user has no home.
    pub fn from_environment(offline: bool) -> Result<Self, HubError> {
        Self::read(|name| std::env::var(name).ok(), offline)
    }

    fn read(variable: impl Fn(&str) -> Option<String>, offline: bool) -> Result<Self, HubError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let is_on = |name| {
            let is = |value: String| ["1", "on", "yes", "true"].contains(&&*value.to_lowercase());
            variable(name).is_some_and(is)
        };
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let base = etcetera::choose_base_strategy().ok()?;
            Some(base.cache_dir().join("huggingface"))
        });
        let cache = match (variable("HF_HUB_CACHE"), &home) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => home.join("hub"),
            (None, None) => return Err(HubError::NoHome { hint: "name a folder in HF_HOME" }),
        };
        let path = variable("HF_TOKEN_PATH").map(PathBuf::from);
        let token = match (variable("HF_TOKEN"), path.or_else(|| Some(home?.join("token")))) {
            _ if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") => Token::None,
            (Some(token), _) => Token::of_text(&token),
            (None, Some(path)) => Token::of_file(path),
            (None, None) => Token::None,
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            offline: match offline {
                true => Some(Offline::Flag),
                false => is_on("HF_HUB_OFFLINE").then_some(Offline::Environment),
            },
            token,
        })
    }
}

/// The hub.
#[derive(Clone, Debug)]
pub struct Hub {
    settings: HubSettings,
    fetcher: Fetcher,
}

/// What `ORGANISATION/NAME@REVISION` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HubId<'a> {
    /// `ORGANISATION/NAME`, or `NAME`.
    repository: &'a str,
    /// A branch, a tag or a commit.
    revision: &'a str,
}

impl<'a> HubId<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, MAIN));
        // Either becomes a path in the cache.
        let part = |part: &str, others: &str| {
            let word = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
            !part.is_empty() && part.len() <= 96 && part.chars().all(word) && !part.starts_with('.')
        };
        let is_repository = repository.split('/').count() <= 2
            && repository.split('/').all(|text| part(text, "-_."))
            && !repository.contains("--");
        let is_revision =
            revision.len() <= 255 && revision.split('/').all(|text| part(text, "-_.+"));
        (is_repository && is_revision).then_some(Self { repository, revision })
    }
}

/// Whether a revision is a commit, which needs no reference to be found by.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && is_hexadecimal(revision)
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the hub says of a repository at a revision.
#[derive(Deserialize)]
struct Repository {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<Lfs>,
}

/// What is said of a large file, such as weights.
#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Hub {
    /// A hub of these settings.
    pub fn new(settings: HubSettings) -> Self {
        Self { settings, fetcher: Fetcher::default() }
    }

    /// The same, which fetches with `fetcher`.
    pub fn with(self, fetcher: Fetcher) -> Self {
        Self { fetcher, ..self }
    }

    /// Whether a text has the form of a hub id, `organisation/name` or `name`, or of one at a revision,
    /// `organisation/name@revision`.
    pub fn is_id(text: &str) -> bool {
        HubId::parse(text).is_some()
    }

    /// The id that means the files of this snapshot for good: `id` at its commit.
    pub fn pinned(id: &str, snapshot: &Path) -> String {
        let repository = id.split_once('@').map_or(id, |(repository, _)| repository);
        let commit = snapshot.file_name().unwrap_or_default().display();
        format!("{repository}@{commit}")
    }

    /// A folder with the model's configuration, tokenizer and weights, named by its commit: from the cache,
    /// else fetched. Without a revision it is that of the branch `main`.
    ///
    /// # Errors
    /// When the id is none, the network is forbidden or fails, or the repository lacks something.
    pub fn model(&self, id: &str) -> Result<PathBuf, HubError> {
        let parsed = HubId::parse(id).ok_or_else(|| HubError::Id(id.to_owned()))?;
        let name = format!("models--{}", parsed.repository.replace('/', "--"));
        let folder = self.settings.cache.join(name);
        let what = match cached(&folder, parsed.revision)? {
            Cached::Whole(snapshot) => return Ok(snapshot),
            Cached::Lacks(lacking) => format!("the model {id} is there in part, and {lacking}"),
            Cached::Absent => format!("the model {id}"),
        };
        if let Some(by) = self.settings.offline {
            return Err(HubError::Offline { what, cache: self.settings.cache.clone(), by });
        }
        self.fetch(parsed, &folder)
    }

    fn fetch(&self, id: HubId<'_>, folder: &Path) -> Result<PathBuf, HubError> {
        let (endpoint, token) = (&self.settings.endpoint, self.settings.token.known()?);
        let HubId { repository: name, revision } = id;
        let escaped = revision.replace('/', "%2F");
        let url = format!("{endpoint}/api/models/{name}/revision/{escaped}?blobs=true");
        let text = self.fetcher.text(&url, token, MAX_SMALL_FILE)?;
        let repository: Repository = serde_json::from_str(&text)
            .map_err(|source| HubError::Network { url: url.clone(), source: source.into() })?;
        let sha = &repository.sha;
        if !is_hexadecimal(sha) || (is_commit(revision) && sha != revision) {
            let source = format!("the hub names a commit {sha:?}").into();
            return Err(HubError::Network { url, source });
        }
        let find = |file: &str| repository.siblings.iter().find(|one| one.rfilename == file);
        let has = |file: &str| find(file).is_some();
        let weights = WEIGHT_FILES.into_iter().find(|file| has(file));
        let missing = |file| HubError::Missing { id: name.to_owned(), file };
        let weights = weights.ok_or_else(|| repository.without_weights(name))?;
        if !has("config.json") {
            return Err(missing("config.json"));
        }
        if !has("tokenizer.json") && !has("vocab.txt") {
            return Err(missing("tokenizer.json or vocab.txt"));
        }
        let snapshot = folder.join("snapshots").join(sha);
        let small = SMALL_FILES.into_iter().filter(|file| has(file));
        for (file, max_bytes) in
            small.map(|file| (file, MAX_SMALL_FILE)).chain([(weights, MAX_WEIGHT_FILE)])
        {
            let path = snapshot.join(file);
            if !is_whole(&path)? {
                let url = format!("{endpoint}/{name}/resolve/{sha}/{file}");
                let sha256 = find(file).and_then(|one| one.lfs.as_ref()?.sha256.as_deref());
                self.fetcher.file(&url, token, &path, Expected { max_bytes, sha256 })?;
            }
        }
        // Last: a reference names only what is whole.
        if revision != sha {
            let reference = folder.join("refs").join(revision);
            let failed = |source| HubError::Io { path: reference.clone(), source };
            fs::create_dir_all(reference.parent().unwrap_or(folder)).map_err(failed)?;
            durable::write_file(&reference, sha.as_bytes()).map_err(failed)?;
        }
        Ok(snapshot)
    }
}

impl Repository {
    /// Why a repository `id` has no weights that can be read.
    fn without_weights(&self, id: &str) -> HubError {
        let id = id.to_owned();
        let names = || self.siblings.iter().map(|sibling| &*sibling.rfilename);
        let index = WEIGHT_FILES.map(|file| format!("{file}.index.json"));
        if let Some(index) = index.into_iter().find(|index| names().any(|name| name == index)) {
            return HubError::Sharded { id, index };
        }
        let others: Vec<&str> = names().filter(|name| is_other_weights(name)).take(3).collect();
        match others.is_empty() {
            true => HubError::Missing { id, file: "model.safetensors or pytorch_model.bin" },
            false => HubError::OtherWeights { id, others: others.join(", ") },
        }
    }
}

/// What the cache has of a model.
enum Cached {
    /// All that a model needs, in this folder.
    Whole(PathBuf),
    /// A part; what is said of the rest.
    Lacks(String),
    /// Nothing.
    Absent,
}

/// What the cache has of a revision. A link whose file is gone, as cleaning the cache leaves them, is a file to be
/// fetched again; so it is for the hub's own tools.
///
/// # Errors
/// When something else than a file lies in a file's place, or the system does not tell.
fn cached(folder: &Path, revision: &str) -> Result<Cached, HubError> {
    let sha = match is_commit(revision) {
        true => revision.to_owned(),
        false => {
            let reference = folder.join("refs").join(revision);
            let line = read_line(&reference).map_err(unreadable(&reference))?;
            match line.as_deref() {
                None => return Ok(Cached::Absent),
                Some(sha) if is_hexadecimal(sha) => sha.to_owned(),
                Some(_) => return Ok(Cached::Lacks(format!("the commit of {reference:?}"))),
            }
        }
    };
    let snapshot = folder.join("snapshots").join(sha);
    if !is_there(&snapshot).map_err(unreadable(&snapshot))? {
        return Ok(Cached::Absent);
    }
    let mut found = Vec::new();
    for name in SMALL_FILES.into_iter().chain(WEIGHT_FILES) {
        let path = snapshot.join(name);
        if is_whole(&path)? {
            found.push(name);
        } else if is_there(&path).map_err(unreadable(&path))? {
            return Ok(Cached::Lacks(format!("the file that {path:?} links to")));
        }
    }
    let lacks = |files: &[&str]| !files.iter().any(|file| found.contains(file));
    let needed: [&[&str]; 3] = [&["config.json"], &WEIGHT_FILES, &["tokenizer.json", "vocab.txt"]];
    Ok(match needed.into_iter().find(|files| lacks(files)) {
        Some(files) => Cached::Lacks(format!("its {}", files.join(" or "))),
        None => Cached::Whole(snapshot),
    })
}

/// Whether a file of a snapshot is there; a link whose file is gone is none.
///
/// # Errors
/// When something else lies there, or the system does not tell.
fn is_whole(path: &Path) -> Result<bool, HubError> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        _ => check(path).map(|()| true).map_err(unreadable(path)),
    }
}

/// A file of one line, as a reference and a token are; `None` where there is none.
///
/// # Errors
/// When it is there and cannot be read, or is longer.
fn read_line(path: &Path) -> io::Result<Option<String>> {
    match read_text(path, MAX_LINE) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(_) if !is_there(path)? => Ok(None),
        Err(error) => Err(error),
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> HubError {
    |source| HubError::Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of an environment of these variables alone.
    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        let value = |name: &str| {
            let (_, value) = variables.iter().find(|(other, _)| *other == name)?;
            Some((*value).to_owned())
        };
        HubSettings::read(value, false).unwrap()
    }

    #[test]
    fn the_token_is_the_one_that_logging_in_left() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().to_str().unwrap();
        let path = place.path().join("elsewhere");
        let elsewhere = ("HF_TOKEN_PATH", path.to_str().unwrap());
        let of = |more: &[(&str, &str)]| settings(&[&[("HF_HOME", home)], more].concat()).token;
        let token = |more: &[(&str, &str)]| match of(more) {
            Token::Known(token) => token,
            Token::None => String::new(),
            unreadable => panic!("{unreadable:?}"),
        };
        assert_eq!(token(&[]), "");
        fs::write(place.path().join("token"), "of-home\n").unwrap();
        fs::write(&path, " of-path ").unwrap();
        assert_eq!(token(&[]), "of-home");
        assert_eq!(token(&[elsewhere]), "of-path");
        assert_eq!(token(&[elsewhere, ("HF_TOKEN", "of-variable")]), "of-variable");
        assert_eq!(token(&[("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), "");
        fs::write(&path, "\n").unwrap();
        assert_eq!(token(&[elsewhere]), "");
        fs::write(&path, "x".repeat(5000)).unwrap();
        for unreadable in [path.to_str().unwrap(), home, "/dev/zero"] {
            if cfg!(unix) || unreadable != "/dev/zero" {
                let error = of(&[("HF_TOKEN_PATH", unreadable)]).known().unwrap_err();
                assert!(error.to_string().contains(unreadable), "{error}");
            }
        }
    }

    #[test]
    fn what_forbids_the_network_is_known() {
        let home = ("HF_HOME", "/nowhere");
        let offline = |value| settings(&[home, ("HF_HUB_OFFLINE", value)]).offline;
        assert_eq!(offline("1"), Some(Offline::Environment));
        assert_eq!(offline("True"), Some(Offline::Environment));
        assert_eq!(offline("0"), None);
        assert_eq!(HubSettings::read(|_| None, true).unwrap().offline, Some(Offline::Flag));
    }
}
