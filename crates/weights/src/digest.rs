//! SHA-256 in hexadecimal, by which files are told apart and damage is found.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::regular;

/// That of a regular file.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = regular::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// That of a classifier: of the values of `classifier.weight`, (C, H), then of those of `classifier.bias`, (C), as
/// f32 in little-endian order. `tensor` finds the values by these names; `None` where it does not.
///
/// It tells trained models apart, and costs a thousandth of what hashing all weights does.
pub fn of_classifier<'a>(tensor: impl Fn(&str) -> Option<&'a [f32]>) -> Option<String> {
    let mut hasher = Sha256::new();
    for name in ["classifier.weight", "classifier.bias"] {
        let mut bytes = [0; 4096];
        for values in tensor(name)?.chunks(bytes.len() / 4) {
            let places = bytes.chunks_exact_mut(4).zip(values);
            places.for_each(|(place, value)| place.copy_from_slice(&value.to_le_bytes()));
            hasher.update(&bytes[..4 * values.len()]);
        }
    }
    Some(hexadecimal(&hasher.finalize()))
}

/// Bytes as digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_has_the_sum_of_its_floats() {
        // hashlib.sha256(np.r_[np.arange(2500), [1.5]].astype("<f4").tobytes()).hexdigest()
        let weight: Vec<f32> = (0..2500_u16).map(f32::from).collect();
        let sum = of_classifier(|name| match name {
            "classifier.weight" => Some(&weight[..]),
            "classifier.bias" => Some(&[1.5]),
            _ => None,
        });
        assert_eq!(
            sum.as_deref(),
            Some("f7d02c83fb87dc938badb9652360e74e68c3009ac9a10194581f16630f2e180f")
        );
        assert_eq!(of_classifier(|_| None), None);
    }

    #[test]
    fn a_file_has_the_sum_that_others_give_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, "hello").unwrap();
        let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(of_file(&path).unwrap(), sum);
        let folder = of_file(place.path()).unwrap_err();
        assert_eq!(folder.kind(), io::ErrorKind::InvalidInput, "{folder}");
        #[cfg(unix)]
        assert_eq!(
            of_file(Path::new("/dev/null")).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
