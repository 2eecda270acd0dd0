//! A classifier's rows by the names of their labels: data may have the labels of a checkpoint in
//! another order, some of them, or further ones.

use std::fmt;

use tinymood_core::{LabelSet, ModelConfig, ParameterSpec, Tensor, TensorMap};

use crate::fit::{LoadReport, fit};
use crate::init::initialise;
use crate::names::canonical_name;
use crate::{TensorFile, WeightsError};

const WEIGHT: &str = "classifier.weight";
const BIAS: &str = "classifier.bias";

/// No classifier has more labels; a larger count is a damaged or hostile file.
const MOST_LABELS: usize = 1 << 16;

/// Which rows of a checkpoint's classifier a new one keeps. `C` labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadReport {
    /// The row of the checkpoint's classifier that each label keeps, `None` for a new one; (C).
    pub rows: Vec<Option<usize>>,
    /// The names of the labels whose rows are new.
    pub new: Vec<String>,
    /// The names of the checkpoint's labels that are not wanted.
    pub dropped: Vec<String>,
}

impl HeadReport {
    /// Matches the labels of a checkpoint with those that are wanted, whatever the case of names.
    fn new(of_file: &LabelSet, wanted: &LabelSet) -> Self {
        let rows: Vec<_> = wanted.names().iter().map(|name| of_file.index_of(name)).collect();
        let pairs = wanted.names().iter().zip(&rows);
        let new = pairs.filter(|(_, row)| row.is_none()).map(|(name, _)| name.clone());
        let is_dropped = |name: &&String| wanted.index_of(name).is_none();
        let dropped = of_file.names().iter().filter(is_dropped).cloned();
        Self { new: new.collect(), dropped: dropped.collect(), rows }
    }

    /// How many labels keep their rows.
    pub fn kept(&self) -> usize {
        self.rows.len() - self.new.len()
    }

    /// Whether the checkpoint has exactly these labels in this order.
    fn is_unchanged(&self) -> bool {
        let in_place = |(at, row): (usize, &Option<usize>)| *row == Some(at);
        self.dropped.is_empty() && self.rows.iter().enumerate().all(in_place)
    }
}

impl fmt::Display for HeadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kept() == 0 {
            let (known, names) = (self.dropped.len(), list(&self.dropped));
            return write!(f, "all labels new, none of the {known} before is among them ({names})");
        }
        let plural = if self.kept() == 1 { "" } else { "s" };
        write!(f, "{} label{plural} kept by name", self.kept())?;
        for (names, what) in [(&self.new, "new"), (&self.dropped, "dropped")] {
            if !names.is_empty() {
                write!(f, ", {} {what} ({})", names.len(), list(names))?;
            }
        }
        Ok(())
    }
}

/// The first names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let first = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// [`fit`] with the classifier's rows matched by the names of labels: `of_file` are the checkpoint's, where
/// its configuration names any, and `wanted` the model's. Shared labels keep their rows, and the others'
/// follow from `seed`. A checkpoint that names no labels has those of `transformers`: `LABEL_0`, …
///
/// # Errors
/// As [`fit`].
pub fn fit_by_label(
    specs: &[ParameterSpec],
    mut file: TensorFile,
    config: &ModelConfig,
    seed: u64,
    of_file: Option<&LabelSet>,
    wanted: &LabelSet,
) -> Result<(TensorMap, LoadReport), WeightsError> {
    let head = match_head(specs, &mut file, config, seed, of_file, wanted);
    let (tensors, mut report) = fit(specs, file, config, seed)?;
    report.head = head.filter(|head| !head.is_unchanged());
    Ok((tensors, report))
}

/// Puts the rows of the file's classifier in the places of the labels that are wanted, and takes the
/// classifier out where none is shared. `None` where the file has no classifier of this width.
fn match_head(
    specs: &[ParameterSpec],
    file: &mut TensorFile,
    config: &ModelConfig,
    seed: u64,
    of_file: Option<&LabelSet>,
    wanted: &LabelSet,
) -> Option<HeadReport> {
    let name_of = |file: &TensorFile, wanted: &str| {
        file.tensors.keys().find(|name| canonical_name(name) == wanted).cloned()
    };
    let weight = name_of(file, WEIGHT)?;
    let &[outputs, width] = &file.tensors[&weight].shape[..] else { return None };
    if width != config.hidden_size || !(1..=MOST_LABELS).contains(&outputs) {
        return None; // what is wrong with it, `fit` says
    }
    let numbered;
    let of_file = match of_file {
        Some(labels) if labels.len() == outputs => labels,
        _ => {
            numbered = LabelSet::placeholders(outputs).ok()?;
            &numbered
        }
    };
    let head = HeadReport::new(of_file, wanted);
    if head.is_unchanged() {
        return Some(head);
    }
    for (name, found) in [(WEIGHT, Some(weight)), (BIAS, name_of(file, BIAS))] {
        let spec = specs.iter().find(|spec| spec.name == name)?;
        let Some(found) = found else { continue };
        if head.kept() == 0 {
            file.tensors.remove(&found);
            continue;
        }
        let tensor = file.tensors.get_mut(&found)?;
        if tensor.shape.first() != Some(&outputs) {
            continue; // as above
        }
        let size = spec.len() / wanted.len();
        let mut rows = initialise(spec, config, seed).values.to_vec();
        for (to, from) in rows.chunks_exact_mut(size).zip(&head.rows) {
            if let Some(from) = from {
                tensor.values.read(from * size..(from + 1) * size, to);
            }
        }
        *tensor = Tensor { shape: spec.shape.clone(), values: rows.into() };
    }
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ModelConfig {
        ModelConfig {
            vocab_size: 10,
            hidden_size: 2,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            intermediate_size: 3,
            max_position_embeddings: 4,
            ..ModelConfig::preset("4L-312D").unwrap()
        }
    }

    fn labels(names: &[&str]) -> LabelSet {
        LabelSet::new(names.iter().copied()).unwrap()
    }

    /// A checkpoint whose classifier has the weights 10, 11 and the bias 1 for its first label, 20, 21
    /// and 2 for its second, and so on.
    fn checkpoint(outputs: usize) -> TensorFile {
        let tensor = |spec: &ParameterSpec| {
            let row = |at: usize| (at + 1) as f32;
            let values: Vec<f32> = match spec.name.as_str() {
                WEIGHT => {
                    (0..outputs).flat_map(|at| [10.0 * row(at), 10.0 * row(at) + 1.0]).collect()
                }
                BIAS => (0..outputs).map(row).collect(),
                _ => vec![0.5; spec.len()],
            };
            (spec.name.clone(), Tensor { shape: spec.shape.clone(), values: values.into() })
        };
        let tensors = config().parameters(outputs).iter().map(tensor).collect();
        TensorFile { tensors, ..TensorFile::default() }
    }

    fn fitted(
        of_file: Option<&[&str]>,
        outputs: usize,
        wanted: &[&str],
    ) -> (TensorMap, LoadReport) {
        let (of_file, wanted) = (of_file.map(labels), labels(wanted));
        let specs = config().parameters(wanted.len());
        let file = checkpoint(outputs);
        fit_by_label(&specs, file, &config(), 1, of_file.as_ref(), &wanted).unwrap()
    }

    /// What [`initialise`] gives for so many labels.
    fn anew(name: &str, outputs: usize) -> Vec<f32> {
        let specs = config().parameters(outputs);
        let spec = specs.iter().find(|spec| spec.name == name).unwrap();
        initialise(spec, &config(), 1).values.to_vec()
    }

    #[test]
    fn rows_follow_their_labels() {
        let (tensors, report) =
            fitted(Some(&["joy", "anger", "fear"]), 3, &["Fear", "joy", "anger"]);
        assert_eq!(*tensors[WEIGHT].values, [30.0, 31.0, 10.0, 11.0, 20.0, 21.0]);
        assert_eq!(*tensors[BIAS].values, [3.0, 1.0, 2.0]);
        assert!(report.initialised.is_empty());
        assert!(report.to_string().ends_with("; classifier: 3 labels kept by name"), "{report}");
    }

    #[test]
    fn new_labels_have_new_rows_and_others_go() {
        let (tensors, report) = fitted(Some(&["joy", "anger", "fear"]), 3, &["grief", "anger"]);
        let (weight, bias) = (anew(WEIGHT, 2), anew(BIAS, 2));
        assert_eq!(*tensors[WEIGHT].values, [weight[0], weight[1], 20.0, 21.0]);
        assert_eq!(*tensors[BIAS].values, [bias[0], 2.0]);
        let expected = "; classifier: 1 label kept by name, 1 new (grief), 2 dropped (joy, fear)";
        assert!(report.to_string().ends_with(expected), "{report}");
        assert_eq!(report.head.unwrap().rows, [None, Some(1)]);
    }

    #[test]
    fn a_head_of_other_labels_is_new() {
        for (of_file, outputs) in
            [(Some(&["praise", "billing"][..]), 2), (None, 2), (None, 3), (Some(&["joy"]), 2)]
        {
            let (tensors, report) = fitted(of_file, outputs, &["joy", "anger"]);
            assert_eq!(*tensors[WEIGHT].values, anew(WEIGHT, 2));
            assert_eq!(report.initialised, [WEIGHT, BIAS]);
            assert!(report.to_string().contains("; classifier: all labels new"), "{report}");
            assert_eq!(report.ignored, Vec::<String>::new());
        }
    }

    #[test]
    fn the_same_labels_change_nothing() {
        for of_file in [Some(&["joy", "anger"][..]), Some(&["JOY", "Anger"])] {
            let (tensors, report) = fitted(of_file, 2, &["joy", "anger"]);
            assert_eq!(*tensors[WEIGHT].values, [10.0, 11.0, 20.0, 21.0]);
            assert_eq!(report.head, None);
        }
        // Nobody named either's labels.
        let (tensors, _) = fitted(None, 2, &["LABEL_1", "LABEL_0"]);
        assert_eq!(*tensors[BIAS].values, [2.0, 1.0]);
    }
}
