//! The run's folder while training goes on, and checkpoints of any bytes.

use std::fs;

use proptest::prelude::*;
use tinymood_train::{RunFolder, RunFolderError, TrainError, read_checkpoint};

use super::{Case, Watch, names};

#[test]
fn a_run_is_not_begun_twice() {
    let temporary = tempfile::tempdir().unwrap();
    let case = Case::new();
    case.begin(temporary.path(), Watch::stopping_after(1)).unwrap();
    let error = case.begin(temporary.path(), Watch::default()).unwrap_err();
    assert!(matches!(error, TrainError::Folder(RunFolderError::Exists { .. })), "{error}");
    let (_held, _) = RunFolder::open(temporary.path()).unwrap();
    let error = case.resume(temporary.path(), Watch::default()).unwrap_err();
    assert!(matches!(error, TrainError::Folder(RunFolderError::Locked { .. })), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_none_of_the_others() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.overrides.keep_checkpoints = Some(1);
    case.overrides.checkpoint_every = Some("1".parse().unwrap());
    let folder = temporary.path().join("checkpoints");
    // A file stands where the checkpoint is to go.
    let blocked = folder.join("step-00000005");
    let error = case.begin(temporary.path(), Watch::blocking(5, blocked.clone())).unwrap_err();
    assert!(matches!(error, TrainError::Checkpoint(_)), "{error}");
    assert!(error.hint().is_some());
    assert!(names(&folder).contains(&"step-00000004".to_owned()));
    read_checkpoint(&folder.join("step-00000004")).unwrap();
    assert!(!names(&folder).iter().any(|name| name.contains("tmp")), "{:?}", names(&folder));
    // Once that is out of the way the run goes on from there.
    fs::remove_file(blocked).unwrap();
    case.resume(temporary.path(), Watch::stopping_after(5)).unwrap();
    assert_eq!(names(&folder), ["step-00000005"]);
}

/// A checkpoint whose checksums fit whatever its files hold.
fn checkpoint_of(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    use sha2::{Digest, Sha256};
    let folder = tempfile::tempdir().unwrap();
    let mut sums = String::new();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        sums.push_str(&format!("{sum}  {name}\n"));
    }
    fs::write(folder.path().join("SHA256SUMS"), sums).unwrap();
    folder
}

const TENSORS: [&str; 3] =
    ["parameters.safetensors", "first_moment.safetensors", "second_moment.safetensors"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Checksums guard against accidents, not against malice: contents of any kind are refused.
    #[test]
    fn hostile_contents_are_damage(
        state in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"format":[0-9e-]{1,20},"step":[0-9e.-]{1,20}.{0,40}"#.prop_map(String::into_bytes),
        ],
        tensors in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut files = vec![("state.json", &state[..])];
        files.extend(TENSORS.map(|name| (name, &tensors[..])));
        let folder = checkpoint_of(&files);
        prop_assert!(read_checkpoint(folder.path()).unwrap_err().is_damage());
    }

    #[test]
    fn hostile_checksum_files_are_damage(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("SHA256SUMS"), bytes).unwrap();
        prop_assert!(read_checkpoint(folder.path()).unwrap_err().is_damage());
    }
}

#[test]
fn a_header_that_claims_too_much_is_damage() {
    let temporary = tempfile::tempdir().unwrap();
    Case::new().begin(temporary.path(), Watch::stopping_after(3)).unwrap();
    let state = temporary.path().join("checkpoints/step-00000003/state.json");
    let state = fs::read(state).unwrap();
    let long_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let header = br#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
    let large_shape = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
    for hostile in [long_header, large_shape] {
        let mut files = vec![("state.json", &state[..])];
        files.extend(TENSORS.map(|name| (name, &hostile[..])));
        let error = read_checkpoint(checkpoint_of(&files).path()).unwrap_err();
        assert!(error.to_string().contains("parameters.safetensors"), "{error}");
    }
    // Names that would lead out of the folder are none of ours.
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{}  ../../etc/passwd\n", "0".repeat(64));
    fs::write(folder.path().join("SHA256SUMS"), line).unwrap();
    assert!(read_checkpoint(folder.path()).unwrap_err().is_damage());
}
