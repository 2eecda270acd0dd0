//! `tinymood export`: a model with 8-bit weights, written only where it is as good as in f32; or with
//! floats, for other tools.

mod encoder;
mod floats;

use std::path::Path;

use anyhow::bail;
use serde_json::{Map, Value, json};
use tinymood_core::{Engine, Infer, Logits, Tensor, TensorMap, TensorSet, TensorView};
use tinymood_eval::{Calibrated, Evaluation, Predictions, Thresholds, Tuning, infer_split};
use tinymood_kernels::matmul::quantise_row;
use tinymood_text::EncodedSplit;
use tinymood_weights::{
    ModelParts, QuantisedTensor, canonical_name, load_model_folder, write_new_model_folder,
};

use crate::args::{ExportArgs, GlobalArgs, PrecisionArg, SplitArg};
use crate::bundled;
use crate::commands::evaluate::{Rows, in_labels};
use crate::commands::{print_json, print_text};
use crate::model::{
    Model, ModelError, TOKENS_PER_BATCH, check_finite, engine, model_folder, read_text, sha256_of,
    thresholds_file,
};
use crate::output::check_folder;

/// The largest loss of micro- or macro-F1 that passes: 0.3 points.
const LARGEST_LOSS: f64 = 0.003;

pub(super) fn run(args: ExportArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    check_folder(&args.output)?;
    // A link that leads nowhere is something too.
    if args.output.symlink_metadata().is_ok() {
        bail!("{} exists already", args.output.display());
    }
    if args.f32 {
        return floats::export(&args, global);
    }
    if let Some(name) = args.model.model.as_deref().filter(|name| *name != bundled::NAME) {
        let encoder = load_model_folder(&model_folder(name, global)?)?;
        if encoder::is_encoder(&encoder) {
            return encoder::export(encoder, &args, global);
        }
    }
    let exact = GlobalArgs { precision: PrecisionArg::F32, ..global.clone() };
    let mut model = Model::open(args.model.model.as_deref(), &exact)?;
    if model.quantised {
        return Err(ModelError::AlreadyInt8(model.path).into());
    }
    let Rows { settings: data, split, tuned_on, dataset } =
        Rows::open(&model, &args.judging, SplitArg::Dev, global)?;
    let encoded = EncodedSplit::new(&in_labels(dataset, &model.labels)?, &model.tokenizer)?;
    let tensors = model.engine.engine.tensors(TensorSet::Parameters);
    check_weights(&tensors, &model.path)?;
    let (rounded, kept) = quantise(tensors, args.embedding_bits);
    let as_read = read_back(&rounded, &kept);
    let num_labels = model.labels.len();
    let config = model.engine.config().clone();
    let mut int8 = engine(config.clone(), num_labels, PrecisionArg::Int8, global)?;
    int8.load_tensors(TensorSet::Parameters, &as_read)?;
    let classifier_sha256 = sha256_of(&as_read);
    drop(as_read);
    let temperatures = model.engine.temperatures().map(<[f32]>::to_vec);
    let int8 = Calibrated::new(int8, temperatures.clone());

    let (gate, thresholds) = judge(&model, &int8, &encoded, &split, &tuned_on)?;
    let losses = gate.losses();
    let judgement = json!({
        "data": data.name(),
        "split": split,
        "rows": encoded.texts.len(),
        "thresholds": thresholds.describe(),
        "f32": gate.f32.to_json(),
        "int8": gate.int8.to_json(),
        "largest_difference_of_logits": gate.logits.largest,
        "mean_difference_of_logits": gate.logits.mean,
        "embedding_bits": args.embedding_bits,
        "largest_loss_allowed": LARGEST_LOSS,
        "passed": losses.is_none(),
    });
    let table = gate.table(&data.name(), &split, encoded.texts.len());
    let refused = losses.filter(|_| !args.force);
    if refused.is_none() {
        let tensors = kept.iter().map(|(name, tensor)| TensorView {
            name: name.as_str().into(),
            shape: tensor.shape.as_slice().into(),
            values: (&*tensor.values).into(),
        });
        let parts = ModelParts {
            config: &config,
            labels: Some(&model.labels),
            tensors: tensors.collect(),
            quantised: rounded,
            facts: Map::from_iter([("int8".to_owned(), judgement.clone())]),
            files: files(&model, &Tuning { thresholds, temperatures, classifier_sha256 }, &table)?,
        };
        write_new_model_folder(&args.output, &parts)?;
    }
    if args.json {
        let mut document = judgement;
        document["written"] = json!(refused.is_none());
        print_json(&document)?;
    } else {
        print_text(&table)?;
    }
    match refused {
        Some(losses) => Err(ModelError::GateFailed(losses).into()),
        None => written(&args, global),
    }
}

/// Says where the folder is.
fn written(args: &ExportArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    global.say(&format!("model: {}", args.output.display()));
    Ok(())
}

/// A folder's model card; empty where it has none.
fn read_card(folder: &Path) -> anyhow::Result<String> {
    Ok(read_text(&folder.join("README.md"))?.unwrap_or_default())
}

/// # Errors
/// When a weight of the model in `path` is no finite number: one that no text asks for would go unseen.
fn check_weights(tensors: &[TensorView<'_>], path: &Path) -> Result<(), ModelError> {
    tensors.iter().try_for_each(|tensor| check_finite(&tensor.values, path))
}

/// Matrices as bytes with a scale a row, and all else as it is. Bytes of word embeddings, two thirds of
/// all, are of so many bits: the lower ones are zeros, which compress.
fn quantise(
    tensors: Vec<TensorView<'_>>,
    embedding_bits: u32,
) -> (Vec<QuantisedTensor>, TensorMap) {
    let (mut rounded, mut kept) = (Vec::new(), TensorMap::new());
    for TensorView { name, shape, values } in tensors {
        let (name, shape) = (name.into_owned(), shape.into_owned());
        let &[_, width] = &shape[..] else {
            kept.insert(name, Tensor { shape, values: values.into_owned().into() });
            continue;
        };
        let mut bytes = vec![0; values.len()];
        let rows = values.chunks_exact(width).zip(bytes.chunks_exact_mut(width));
        let scales = rows.map(|(values, bytes)| quantise_row(values, bytes)).collect();
        if canonical_name(&name).ends_with("word_embeddings.weight") {
            bytes.iter_mut().for_each(|byte| *byte = coarser(*byte, embedding_bits));
        }
        rounded.push(QuantisedTensor { name, shape, bytes, scales });
    }
    (rounded, kept)
}

/// The nearest value whose lower bits are zeros, `bits` of 8 left; from -128 + 2^(8 - bits) on, so that
/// signs are alike.
fn coarser(byte: i8, bits: u32) -> i8 {
    let step = 1_i16 << (8 - bits);
    let largest = 128 - step;
    let steps = (f32::from(byte) / f32::from(step)).round() as i16;
    (steps * step).clamp(-largest, largest) as i8
}

/// The tensors as whoever opens the folder gets them.
fn read_back(rounded: &[QuantisedTensor], kept: &TensorMap) -> TensorMap {
    let mut tensors = kept.clone();
    for QuantisedTensor { name, shape, bytes, scales } in rounded {
        let rows = bytes.chunks_exact(shape[1]).zip(scales);
        let values = rows.flat_map(|(row, scale)| row.iter().map(move |x| f32::from(*x) * scale));
        let tensor = Tensor { shape: shape.clone(), values: values.collect() };
        tensors.insert(name.clone(), tensor);
    }
    tensors
}

/// Both forms on the same rows, and the thresholds of the int8 one.
fn judge(
    model: &Model,
    int8: &impl Infer,
    rows: &EncodedSplit,
    split: &str,
    tuned_on: &str,
) -> anyhow::Result<(Gate, Thresholds)> {
    let exact = model.logits(&rows.texts)?;
    let found = infer_split(int8, &rows.texts, TOKENS_PER_BATCH)?;
    let judged = |logits: &Logits| -> anyhow::Result<(Figures, Thresholds)> {
        let probabilities = model.problem_type().probabilities(logits);
        let predictions = Predictions::new(&probabilities, &rows.targets, model.labels.len())?;
        let predictions = predictions.with_problem_type(model.problem_type());
        let thresholds = tuned_alike(&model.thresholds, &predictions, tuned_on);
        let of = Evaluation::new(&predictions, &thresholds, &model.labels, split, 0);
        Ok((Figures { micro_f1: of.micro_f1, macro_f1: of.macro_f1 }, thresholds))
    };
    let (of_int8, thresholds) = judged(&found)?;
    let (of_exact, _) = judged(&exact)?;
    let logits = Difference::new(&exact.values, &found.values);
    Ok((Gate { f32: of_exact, int8: of_int8, logits }, thresholds))
}

/// A model's thresholds for one of its forms: tuned again where they were tuned on these rows. Tuned
/// thresholds stand close to rows of their split, so that the smallest change of a probability costs
/// some; both forms get the same.
fn tuned_alike(saved: &Thresholds, form: &Predictions<'_>, tuned_on: &str) -> Thresholds {
    match saved.objective {
        Some(objective) if saved.split.as_deref() == Some(tuned_on) => {
            Thresholds::tune(saved.policy, objective, form, tuned_on)
        }
        _ => saved.clone(),
    }
}

/// The tokenizer, the thresholds, and the card with what was found.
fn files(model: &Model, tuning: &Tuning, table: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = model.tokenizer.files()?;
    let alike = if model.problem_type().is_single_label() {
        ""
    } else {
        ", the thresholds of each tuned alike"
    };
    files.extend(thresholds_file(tuning, &model.labels, model.problem_type()));
    let mut card = read_card(&model.path)?;
    card += &format!(
        "\n## int8\n\nThe weights of this copy are 8-bit integers with a scale for each output, those \
         of embeddings with one for each token, which tinymood reads and other tools do not. Judged \
         in both forms{alike}:\n\n```text\n{table}```\n"
    );
    files.push(("README.md".to_owned(), card.into_bytes()));
    Ok(files)
}

/// Figures of one precision.
#[derive(Clone, Copy, Debug)]
struct Figures {
    micro_f1: f64,
    macro_f1: f64,
}

impl Figures {
    fn to_json(self) -> Value {
        json!({ "micro_f1": self.micro_f1, "macro_f1": self.macro_f1 })
    }
}

/// How far logits lie from each other.
#[derive(Clone, Copy, Debug)]
struct Difference {
    largest: f32,
    mean: f32,
}

impl Difference {
    fn new(exact: &[f32], found: &[f32]) -> Self {
        let differences = exact.iter().zip(found).map(|(a, b)| (a - b).abs());
        let sum: f64 = differences.clone().map(f64::from).sum();
        let mean = (sum / exact.len().max(1) as f64) as f32;
        // A difference that is no number is the largest of all.
        let larger = |a: f32, b: f32| if a >= b || a.is_nan() { a } else { b };
        Self { largest: differences.fold(0.0, larger), mean }
    }
}

/// Both sides of the judgement.
#[derive(Clone, Copy, Debug)]
struct Gate {
    f32: Figures,
    int8: Figures,
    logits: Difference,
}

impl Gate {
    /// What int8 loses beyond what is allowed, in words; `None` where it passes.
    fn losses(&self) -> Option<String> {
        let figures = [
            ("micro_f1", self.f32.micro_f1, self.int8.micro_f1),
            ("macro_f1", self.f32.macro_f1, self.int8.macro_f1),
        ];
        let fails = |(_, exact, found): &(&str, f64, f64)| {
            let loss = exact - found;
            loss.is_nan() || loss > LARGEST_LOSS
        };
        let mut losses: Vec<String> = figures
            .iter()
            .filter(|figure| fails(figure))
            .map(|(name, exact, found)| {
                format!("{name} {found:.4} against {exact:.4} in f32 (0.003 less at most)")
            })
            .collect();
        if !self.logits.largest.is_finite() {
            losses.push("some logits are no finite numbers".to_owned());
        }
        (!losses.is_empty()).then(|| losses.join(", "))
    }

    fn table(&self, data: &str, split: &str, rows: usize) -> String {
        let Self { f32: exact, int8: found, logits } = self;
        let line = |name: &str, exact: f64, found: f64| {
            format!("{name:<9} {exact:>8.4} {found:>8.4} {:>+9.4}\n", found - exact)
        };
        format!(
            "{data}, split {split}, {rows} rows\n{:<9} {:>8} {:>8} {:>9}\n{}{}\
             logits differ by {:.4} at most, {:.4} on average\n",
            "",
            "f32",
            "int8",
            "change",
            line("micro_f1", exact.micro_f1, found.micro_f1),
            line("macro_f1", exact.macro_f1, found.macro_f1),
            logits.largest,
            logits.mean,
        )
    }
}

#[cfg(test)]
mod tests {
    use tinymood_eval::{ThresholdObjective, ThresholdPolicy};

    use super::*;

    fn gate(micro_f1: f64, macro_f1: f64, largest: f32) -> Gate {
        Gate {
            f32: Figures { micro_f1: 0.6, macro_f1: 0.5 },
            int8: Figures { micro_f1, macro_f1 },
            logits: Difference { largest, mean: 0.0 },
        }
    }

    #[test]
    fn the_gate_passes_up_to_three_tenths_of_a_point() {
        for (micro_f1, macro_f1) in [(0.6, 0.5), (0.5971, 0.4971), (0.7, 0.6)] {
            assert_eq!(gate(micro_f1, macro_f1, 0.1).losses(), None, "{micro_f1} {macro_f1}");
        }
        let micro = gate(0.5969, 0.5, 0.1).losses().unwrap();
        assert!(micro.contains("micro_f1") && !micro.contains("macro_f1"), "{micro}");
        let both = gate(0.59, 0.4969, 0.1).losses().unwrap();
        assert!(both.contains("micro_f1") && both.contains("macro_f1"), "{both}");
        assert!(gate(f64::NAN, 0.5, 0.1).losses().is_some());
        assert!(gate(0.6, 0.5, f32::NAN).losses().is_some());
    }

    #[test]
    fn only_thresholds_of_the_split_are_tuned_again() {
        let (probabilities, targets) = ([0.9, 0.2, 0.8, 0.1], [1.0, 0.0, 1.0, 0.0]);
        let predictions = Predictions::new(&probabilities, &targets, 1).unwrap();
        let fixed = Thresholds::fixed(0.95, 1);
        assert_eq!(tuned_alike(&fixed, &predictions, "dev"), fixed);
        let policy = ThresholdPolicy::Global;
        let mut tuned = Thresholds::tune(policy, ThresholdObjective::MicroF1, &predictions, "dev");
        let expected = tuned.clone();
        tuned.values = vec![0.95];
        assert_eq!(tuned_alike(&tuned, &predictions, "train"), tuned);
        assert_eq!(tuned_alike(&tuned, &predictions, "dev"), expected);
    }

    #[test]
    fn differences_are_measured() {
        let difference = Difference::new(&[1.0, 2.0, -3.0], &[1.5, 2.0, -2.0]);
        assert_eq!((difference.largest, difference.mean), (1.0, 0.5));
        assert!(Difference::new(&[1.0, 1.0], &[f32::NAN, 0.0]).largest.is_nan());
    }

    #[test]
    fn fewer_bits_are_the_nearest_of_fewer_values() {
        for bits in 2..=8 {
            let step = 1_i16 << (8 - bits);
            let mut values = std::collections::BTreeSet::new();
            for byte in -127..=127_i8 {
                let found = i16::from(coarser(byte, bits));
                assert_eq!(found % step, 0, "{byte} in {bits} bits");
                assert_eq!(i16::from(coarser(-byte, bits)), -found, "{byte} in {bits} bits");
                let (far, ends) = ((found - i16::from(byte)).abs(), found.abs() == 128 - step);
                assert!(2 * far <= step || ends, "{byte} in {bits} bits: {found}");
                values.insert(found);
            }
            assert_eq!(values.len(), (1 << bits) - 1, "{bits} bits");
        }
        let words = TensorView {
            name: "bert.embeddings.word_embeddings.weight".into(),
            shape: vec![1, 2].into(),
            values: vec![127.0, 61.0].into(),
        };
        let other = TensorView { name: "classifier.weight".into(), ..words.clone() };
        let (rounded, _) = quantise(vec![words, other], 4);
        assert_eq!(
            (&rounded[0].bytes[..], &rounded[1].bytes[..]),
            (&[112, 64][..], &[127, 61][..])
        );
    }

    #[test]
    fn only_matrices_are_rounded() {
        let view = |name: &'static str, shape: Vec<usize>, values: Vec<f32>| TensorView {
            name: name.into(),
            shape: shape.into(),
            values: values.into(),
        };
        let tensors = vec![
            view("w", vec![2, 2], vec![1.27, -0.5, 0.0, 0.0]),
            view("b", vec![2], vec![0.123, 4.0]),
        ];
        let (rounded, kept) = quantise(tensors, 8);
        assert_eq!(*kept["b"].values, [0.123, 4.0]);
        assert_eq!(rounded[0].bytes, [127, -50, 0, 0]);
        let back = read_back(&rounded, &kept);
        assert_eq!(back.len(), 2);
        let expected = [1.27, -0.5, 0.0, 0.0];
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(back["w"].values.iter().zip(&expected).all(near), "{:?}", back["w"]);
    }
}
