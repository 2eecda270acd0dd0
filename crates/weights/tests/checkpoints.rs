//! Files made by `torch.save` in both of its formats (`reference/checkpoints.py`), whole, hostile
//! and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tinymood_core::{LabelSet, ModelConfig, Pooling, Tensor, TensorMap, TensorView};
use tinymood_weights::{
    ModelParts, QuantisedTensor, TensorFile, WeightsError, read_model_folder, read_tensors,
    replace_model_folder, write_new_model_folder, write_safetensors,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/checkpoints").join(name)
}

fn read_bytes(bytes: &[u8]) -> Result<TensorFile, WeightsError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    read_tensors(file.path())
}

#[test]
fn both_formats_hold_what_their_twin_holds() {
    let twin = read_tensors(&golden("twin.safetensors")).unwrap();
    assert_eq!(twin.tensors.len(), 10);
    assert_eq!(twin.skipped, ["mask", "position_ids"]);
    assert_eq!(twin.tensors["transposed"].shape, [3, 5]);
    for name in ["zip.bin", "legacy.bin", "nested.bin", "protocol4.bin"] {
        assert_eq!(read_tensors(&golden(name)).unwrap(), twin, "{name}");
    }
}

#[test]
fn what_could_run_code_is_refused_by_name() {
    for (name, global) in [
        ("evil.bin", "posix.system"),
        ("evil-legacy.bin", "posix.system"),
        ("module.bin", "torch.nn.modules.linear.Linear"),
    ] {
        let error = read_tensors(&golden(name)).unwrap_err();
        assert!(error.to_string().contains(global), "{name}: {error}");
        assert!(matches!(error, WeightsError::Unsafe { .. }) && error.hint().is_some());
    }
}

#[test]
fn other_files_are_named() {
    let missing = read_tensors(Path::new("no/such/file.bin")).unwrap_err();
    assert!(missing.to_string().contains("no/such/file.bin"));
    let error = read_tensors(&golden("plain.pkl")).unwrap_err();
    assert!(error.to_string().contains("neither a zip archive nor a file of torch.save"));
    assert!(read_bytes(b"").is_err());
}

/// A legacy file: its five pickles, then the storages.
fn legacy(object: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend_from_slice(b"\x80\x02M\xe9\x03.\x80\x02}.");
    bytes.extend_from_slice(object);
    bytes.extend_from_slice(keys);
    bytes.extend_from_slice(storages);
    bytes
}

/// The pickle of `{"w": tensor}` with one storage "0" of `len` floats, shape and stride as given.
fn tensor_pickle(len: i32, offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let int = |value: i32| [b"J".as_slice(), &value.to_le_bytes()].concat();
    let text = |text: &str| [b"U", [text.len() as u8].as_slice(), text.as_bytes()].concat();
    let tuple = |values: &[i32]| {
        let parts: Vec<u8> = values.iter().flat_map(|&value| int(value)).collect();
        [b"(".as_slice(), &parts, b"t"].concat()
    };
    [
        b"\x80\x02}".as_slice(),
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &int(len),
        b"NtQ",
        &int(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89}tRs.",
    ]
    .concat()
}

fn with_tensor(len: i32, offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let storage = [4_i64.to_le_bytes().as_slice(), &[0; 16]].concat();
    legacy(&tensor_pickle(len, offset, shape, strides), b"\x80\x02]U\x010a.", &storage)
}

#[test]
fn hostile_shapes_are_refused() {
    assert_eq!(read_bytes(&with_tensor(4, 0, &[2, 2], &[2, 1])).unwrap().tensors.len(), 1);
    for (len, offset, shape, strides) in [
        (4, 1, &[2, 2][..], &[2, 1][..]),     // past the end
        (4, 0, &[2, 2], &[i32::MAX, 1]),      // strides past the end
        (4, 0, &[1 << 30, 1 << 30], &[0, 0]), // a huge tensor of few numbers
        (4, 0, &[i32::MAX, i32::MAX, i32::MAX], &[1, 1, 1]),
        (1 << 30, 0, &[1 << 30], &[1]), // a storage longer than the file
        (4, -1, &[2], &[1]),
        (4, 0, &[-2], &[1]),
        (4, 0, &[2], &[1, 1]),
    ] {
        let outcome = read_bytes(&with_tensor(len, offset, shape, strides));
        assert!(outcome.is_err(), "{len} {offset} {shape:?} {strides:?}");
    }
}

#[test]
fn deep_nests_and_memo_bombs_neither_recurse_nor_grow() {
    // A million lists, each the only member of the one before.
    let mut nest = b"\x80\x02".to_vec();
    nest.extend(std::iter::repeat_n(b']', 1_000_000));
    nest.extend(std::iter::repeat_n(b'a', 999_999));
    nest.push(b'.');
    assert!(read_bytes(&legacy(&nest, b"\x80\x02].", b"")).is_err());
    // Each tuple holds the one before twice: 2^500 leaves if it were ever unfolded.
    let mut bomb = b"\x80\x02N".to_vec();
    bomb.extend(b"2\x86".repeat(500));
    bomb.push(b'.');
    assert!(read_bytes(&legacy(&bomb, b"\x80\x02].", b"")).is_err());
    // A storage with a name of a megabyte, referred to a hundred thousand times: 100 GB of names.
    let name = vec![b'k'; 1 << 20];
    let mut names = b"\x80\x02(U\x07storagectorch\nFloatStorage\nX".to_vec();
    names.extend((name.len() as u32).to_le_bytes());
    names.extend(&name);
    names.extend(b"U\x03cpuK\x04NtrA\0\0\0Q0");
    names.extend(b"jA\0\0\0Q0".repeat(100_000));
    names.extend(b"N.");
    let error = read_bytes(&legacy(&names, b"\x80\x02].", b"")).unwrap_err().to_string();
    assert!(error.contains("a storage of a name"), "{error}");
}

#[test]
fn every_truncation_is_an_error_and_no_damage_panics() {
    for name in ["zip.bin", "legacy.bin", "protocol4.bin", "twin.safetensors"] {
        let whole = fs::read(golden(name)).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for end in (0..whole.len()).step_by(7) {
            fs::write(file.path(), &whole[..end]).unwrap();
            assert!(read_tensors(file.path()).is_err(), "{name} cut at {end}");
        }
        for at in 0..whole.len().min(6000) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(file.path(), &damaged).unwrap();
            let _ = read_tensors(file.path());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_bytes(&bytes);
        let _ = read_bytes(&legacy(&bytes, b"\x80\x02].", b""));
        let _ = read_bytes(&[b"PK\x03\x04", bytes.as_slice()].concat());
        let header = (bytes.len() as u64).to_le_bytes();
        let _ = read_bytes(&[header.as_slice(), b"{", &bytes].concat());
    }

    #[test]
    fn no_instructions_panic(
        program in prop::collection::vec(
            prop::sample::select(b"N}])(tae0s1u2QRbqh\x85\x86\x87\x88\x94K\x01J.".to_vec()), 0..60,
        ),
    ) {
        let pickle = [b"\x80\x02".as_slice(), &program, b"."].concat();
        let _ = read_bytes(&legacy(&pickle, b"\x80\x02].", b""));
    }
}

fn small_model() -> (ModelConfig, LabelSet, TensorMap) {
    let config = ModelConfig {
        vocab_size: 10,
        hidden_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 6,
        max_position_embeddings: 8,
        pooling: Pooling::Mean,
        ..ModelConfig::preset("4L-312D").unwrap()
    };
    let labels = LabelSet::new(["joy", "anger"]).unwrap();
    let specs = config.parameters(2).into_iter().enumerate();
    let tensors = specs
        .map(|(i, spec)| {
            let values = (0..spec.len()).map(|j| (i * 100 + j) as f32).collect();
            (spec.name, Tensor { shape: spec.shape, values })
        })
        .collect();
    (config, labels, tensors)
}

fn views(tensors: &TensorMap) -> Vec<TensorView<'_>> {
    let view = |(name, tensor): (&'_ String, &'_ Tensor)| TensorView {
        name: name.clone().into(),
        shape: tensor.shape.clone().into(),
        values: tensor.values.to_vec().into(),
    };
    tensors.iter().map(view).collect()
}

#[test]
fn a_folder_reads_back_and_is_replaced_as_a_whole() {
    let (config, labels, tensors) = small_model();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model");
    let write = |tensors: &TensorMap, extra: &str| {
        let files = vec![(extra.to_owned(), b"hello".to_vec())];
        let parts = ModelParts {
            config: &config,
            labels: Some(&labels),
            tensors: views(tensors),
            quantised: Vec::new(),
            facts: serde_json::Map::new(),
            files,
        };
        replace_model_folder(&path, &parts).unwrap();
    };
    write(&tensors, "first.txt");
    let first = fs::read(path.join("model.safetensors")).unwrap();
    let folder = read_model_folder(&path).unwrap();
    assert_eq!(folder.config, config);
    assert_eq!(folder.labels, Some(labels.clone()));
    assert_eq!(folder.tensors.tensors, tensors);
    let mut other = tensors.clone();
    let bias = &mut other.get_mut("classifier.bias").unwrap().values;
    *bias = std::iter::once(-1.0).chain(bias.iter().copied().skip(1)).collect();
    write(&other, "second.txt");
    assert_eq!(read_model_folder(&path).unwrap().tensors.tensors, other);
    assert!(!path.join("first.txt").exists() && path.join("second.txt").exists());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside");
    write(&tensors, "first.txt");
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), first);
}

#[test]
fn a_folder_that_cannot_be_written_leaves_nothing_beside() {
    let (config, labels, tensors) = small_model();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model");
    let parts = |file: &str| ModelParts {
        config: &config,
        labels: Some(&labels),
        tensors: views(&tensors),
        quantised: Vec::new(),
        facts: serde_json::Map::new(),
        files: vec![(file.to_owned(), Vec::new())],
    };
    let beside = || fs::read_dir(place.path()).unwrap().count() - usize::from(path.exists());
    for write in [write_new_model_folder, replace_model_folder] {
        let error = write(&path, &parts("no/such/folder/file")).unwrap_err();
        assert!(error.to_string().contains("/model\""), "{error}");
        assert_eq!((path.exists(), beside()), (false, 0));
    }
    // Nor what was written whole and finds its place taken.
    write_new_model_folder(&path, &parts("file")).unwrap();
    write_new_model_folder(&path, &parts("other")).unwrap_err();
    assert!(path.join("file").exists());
    assert_eq!(beside(), 0);
}

#[cfg(unix)]
#[test]
fn weights_may_be_read_by_whom_other_files_may() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(place.path().join(name)).unwrap().permissions().mode();
    fs::write(place.path().join("plain"), "").unwrap();
    write_safetensors(&place.path().join("weights"), &[]).unwrap();
    assert_eq!(format!("{:o}", mode("weights")), format!("{:o}", mode("plain")));
}

/// A safetensors file of tensors given as type, shape and bytes.
fn safetensors_file(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert((*name).to_owned(), entry);
        data.extend_from_slice(bytes);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

#[test]
fn int8_weights_come_back_as_bytes_times_scales() {
    let (config, labels, tensors) = small_model();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model");
    let (matrices, rest): (TensorMap, TensorMap) =
        tensors.into_iter().partition(|(_, tensor)| tensor.shape.len() == 2);
    let quantised = matrices.iter().map(|(name, tensor)| QuantisedTensor {
        name: name.clone(),
        shape: tensor.shape.clone(),
        bytes: (0..tensor.values.len()).map(|i| (i % 255) as u8 as i8).collect(),
        scales: (0..tensor.shape[0]).map(|row| 0.5 + row as f32).collect(),
    });
    let quantised: Vec<QuantisedTensor> = quantised.collect();
    let facts = serde_json::json!({ "int8": { "passed": true } });
    let parts = ModelParts {
        config: &config,
        labels: Some(&labels),
        tensors: views(&rest),
        quantised: quantised.clone(),
        facts: facts.as_object().unwrap().clone(),
        files: Vec::new(),
    };
    replace_model_folder(&path, &parts).unwrap();
    let folder = read_model_folder(&path).unwrap();
    assert!(folder.tensors.quantised && folder.tensors.skipped.is_empty());
    assert_eq!(folder.config, config);
    let written = fs::read_to_string(path.join("config.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["tinymood"]["int8"]["passed"], true);
    assert!(written["tinymood"]["pooling"].is_string());
    assert_eq!(folder.tensors.tensors.len(), rest.len() + quantised.len());
    for tensor in &quantised {
        let found = &folder.tensors.tensors[&tensor.name];
        assert_eq!(found.shape, tensor.shape);
        let width = tensor.shape[1];
        for (i, (&byte, value)) in tensor.bytes.iter().zip(&found.values).enumerate() {
            assert_eq!(*value, f32::from(byte) * tensor.scales[i / width], "{} {i}", tensor.name);
        }
    }
}

#[test]
fn int8_scales_must_fit() {
    let file = |dtype: &str, shape: &[usize], scales: &[u8]| {
        let bytes: &[u8] = &[1, 2, 3, 255, 254, 253];
        safetensors_file(&[("w", "I8", &[2, 3], bytes), ("w_scale", dtype, shape, scales)])
    };
    let good = read_bytes(&file("F32", &[2], &[0, 0, 0, 63, 0, 0, 128, 63])).unwrap();
    assert_eq!(*good.tensors["w"].values, [0.5, 1.0, 1.5, -1.0, -2.0, -3.0]);
    assert_eq!(good.tensors.len(), 1);
    for (dtype, shape, scales) in [
        ("F32", &[1_usize][..], &[0; 4][..]),
        ("F32", &[2, 1], &[0; 8]),
        ("F16", &[2], &[0; 4]),
        ("I8", &[2], &[0; 2]),
    ] {
        let error = read_bytes(&file(dtype, shape, scales)).unwrap_err().to_string();
        assert!(error.contains("\"w\"") && error.contains("[2]"), "{error}");
    }
    let flat = [("w", "I8", &[][..], &[1_u8][..]), ("w_scale", "F32", &[1], &[0; 4])];
    assert!(read_bytes(&safetensors_file(&flat)).is_err());
    // Without scales it is a buffer as any other.
    let alone = read_bytes(&safetensors_file(&[("w", "I8", &[2], &[1, 2])])).unwrap();
    assert_eq!(alone.skipped, ["w"]);
    assert!(!alone.quantised);
}

#[test]
fn folders_that_are_none_are_named() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    let error = || read_model_folder(path).unwrap_err().to_string();
    assert!(error().contains("config.json"));
    let (config, labels, _) = small_model();
    fs::write(path.join("config.json"), config.to_json(Some(&labels)).to_string()).unwrap();
    assert!(error().contains("neither model.safetensors nor pytorch_model.bin"));
    fs::write(path.join("model.safetensors.index.json"), "{}").unwrap();
    assert!(error().contains("several files"));
    fs::write(path.join("config.json"), "{\"hidden_size\": 0}").unwrap();
    assert!(error().contains("config.json"));
    fs::remove_file(path.join("config.json")).unwrap();
    fs::create_dir(path.join("config.json")).unwrap();
    assert!(error().contains("cannot read") && error().contains("config.json"));
    let none = read_model_folder(&path.join("none")).unwrap_err();
    assert!(none.to_string().contains("is no folder"));
}
