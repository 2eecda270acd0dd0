//! What lies in a file's place where a download or a `git clone` did not get the file itself.

use std::io;

/// Something that was stored in a file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandIn {
    /// Nothing, or blanks alone.
    #[error("an empty file")]
    Empty,
    /// The few lines by which Git LFS names a large file.
    #[error("a Git LFS pointer, not the file itself")]
    LfsPointer,
    /// What a website shows to a browser.
    #[error("a web page (HTML), not the file itself")]
    Page,
}

/// How a Git LFS pointer begins.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// How web pages begin, in lower case.
const PAGES: [&[u8]; 3] = [b"<!doctype html", b"<html", b"<head"];

impl StandIn {
    /// What bytes stand in for a file, if they do: the beginning of the file will do.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let text = bytes.trim_ascii_start();
        let begins = |with: &&[u8]| {
            text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        match text {
            [] => Some(Self::Empty),
            _ if text.starts_with(LFS_POINTER) => Some(Self::LfsPointer),
            _ if PAGES.iter().any(begins) => Some(Self::Page),
            _ => None,
        }
    }

    /// What an error of reading a file was made from, if that is a stand-in.
    pub fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Empty => {
                "the file was not copied completely: fetch it again from where it came from"
            }
            Self::LfsPointer => {
                "fetch the file itself: `git lfs install`, then `git lfs pull` in the folder"
            }
            Self::Page => {
                "the address leads to a page about the file: fetch the file itself (on the hub, \
                 /resolve/ and not /blob/ in its address), or give the model's hub id"
            }
        }
    }
}

impl From<StandIn> for io::Error {
    fn from(stand_in: StandIn) -> Self {
        Self::new(io::ErrorKind::InvalidData, stand_in)
    }
}

/// What names of weight files that other programs read end with.
const OTHER_WEIGHTS: [&str; 12] = [
    ".h5", ".keras", ".msgpack", ".gguf", ".ggml", ".onnx", ".pth", ".pt", ".ckpt", ".ot",
    ".tflite", ".mlmodel",
];

/// Whether a file's name is that of weights which are neither `model.safetensors` nor
/// `pytorch_model.bin`: of another format, or of another part of a model, such as an adapter.
pub fn is_other_weights(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if ["optimizer", "scheduler", "rng_state"].iter().any(|of_training| name.contains(of_training))
    {
        return false;
    }
    let is_part = name.ends_with(".safetensors")
        || (name.ends_with(".bin") && (name.contains("model") || name.contains("weights")));
    is_part || OTHER_WEIGHTS.iter().any(|end| name.ends_with(end)) || name.contains(".ckpt.") // TensorFlow's come in three
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_begin_as_no_stand_in_does() {
        for bytes in [&b"PK\x03\x04"[..], b"\x80\x02\x8a", b"<\0\0\0\0\0\0\0{\"a\"", b"{}", b"<h"] {
            assert_eq!(StandIn::of(bytes), None, "{bytes:?}");
        }
        assert_eq!(StandIn::of(b"<HTML lang=en>"), Some(StandIn::Page));
    }

    #[test]
    fn other_weights_are_known_by_their_names() {
        for name in [
            "tf_model.h5",
            "flax_model.msgpack",
            "model-Q4_K.gguf",
            "onnx/model.onnx",
            "consolidated.00.pth",
            "rust_model.ot",
            "bert_model.ckpt.index",
            "adapter_model.safetensors",
            "pytorch_model.fp16.bin",
        ] {
            assert!(is_other_weights(name), "{name}");
        }
        for name in ["config.json", "training_args.bin", "optimizer.pt", "vocab.txt", "README.md"] {
            assert!(!is_other_weights(name), "{name}");
        }
    }
}
