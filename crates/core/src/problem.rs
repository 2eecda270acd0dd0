//! What the outputs of a classifier mean together: from logits to probabilities, and from these to
//! decisions. Nothing else in the workspace chooses between sigmoid and softmax.

use serde::{Deserialize, Serialize};

use crate::Logits;

/// `problem_type` of a `config.json`, as `transformers.PretrainedConfig` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProblemType {
    /// Each label holds or not, whatever the others do: a sigmoid for each output.
    #[default]
    #[serde(rename = "multi_label_classification")]
    MultiLabel,
    /// Exactly one label holds: a softmax over the outputs.
    #[serde(rename = "single_label_classification")]
    SingleLabel,
    /// Outputs are numbers, not labels. No such head is used; its encoder may be.
    #[serde(rename = "regression")]
    Regression,
}

impl ProblemType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MultiLabel, Self::SingleLabel, Self::Regression];

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MultiLabel => "multi_label_classification",
            Self::SingleLabel => "single_label_classification",
            Self::Regression => "regression",
        }
    }

    /// Whether exactly one label holds for each text, so that thresholds mean nothing.
    pub fn is_single_label(self) -> bool {
        self == Self::SingleLabel
    }

    /// What makes scores of logits, under the name that `transformers.pipeline` has for it
    /// (`function_to_apply`).
    pub fn function(self) -> &'static str {
        match self {
            Self::MultiLabel => "sigmoid",
            Self::SingleLabel => "softmax",
            Self::Regression => "none",
        }
    }

    /// The scores of texts, (N, C), as `transformers.TextClassificationPipeline.postprocess` computes
    /// them: probabilities, or the outputs themselves for [`ProblemType::Regression`].
    pub fn probabilities(self, logits: &Logits) -> Vec<f32> {
        match self {
            Self::MultiLabel => logits.values.iter().map(|&x| sigmoid(x)).collect(),
            Self::SingleLabel => logits.rows().flat_map(softmax).collect(),
            Self::Regression => logits.values.clone(),
        }
    }

    /// Which labels of one text hold, by their `probabilities`, (C): those that reach their
    /// `thresholds`, (C); of a single-label model the most probable one, of equals the first.
    ///
    /// # Panics
    /// The returned function, when a label has no probability or threshold.
    pub fn decide<'a>(
        self,
        probabilities: &'a [f32],
        thresholds: &'a [f32],
    ) -> impl Fn(usize) -> bool + use<'a> {
        let only = self.is_single_label().then(|| highest(probabilities));
        move |label| match only {
            Some(only) => only == Some(label),
            None => probabilities[label] >= thresholds[label],
        }
    }
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

/// `exp(x) / sum(exp(x))`; (C).
fn softmax(logits: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = move |logit: &f32| (f64::from(*logit) - f64::from(largest)).exp();
    let sum: f64 = logits.iter().map(power).sum();
    logits.iter().map(move |logit| (power(logit) / sum) as f32)
}

/// The place of the highest value; of equals, the first. `None` of no values.
fn highest(values: &[f32]) -> Option<usize> {
    (0..values.len()).reduce(|best, at| match values[at].total_cmp(&values[best]).is_gt() {
        true => at,
        false => best,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(values: &[f32], num_labels: usize) -> Logits {
        Logits { values: values.to_vec(), num_labels }
    }

    #[test]
    fn each_output_has_a_sigmoid_or_all_share_a_softmax() {
        let given = logits(&[0.0, 2.0, -1.0, 1.0, 1.0, 1.0], 3);
        let near = |found: Vec<f32>, expected: [f32; 6]| {
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(found.iter().zip(&expected).all(close), "{found:?}");
        };
        // torch.sigmoid and torch.softmax(dim=-1).
        let sigmoids = [0.5, 0.880_797, 0.268_941_4, 0.731_058_6, 0.731_058_6, 0.731_058_6];
        near(ProblemType::MultiLabel.probabilities(&given), sigmoids);
        let third = 1.0 / 3.0;
        let softmaxes = [0.114_195_2, 0.843_794_8, 0.042_010_07, third, third, third];
        near(ProblemType::SingleLabel.probabilities(&given), softmaxes);
        assert_eq!(ProblemType::Regression.probabilities(&given), given.values);
    }

    #[test]
    fn large_logits_stay_finite() {
        let found = ProblemType::SingleLabel.probabilities(&logits(&[1e30, -1e30, 1e30], 3));
        assert_eq!(found, [0.5, 0.0, 0.5]);
    }

    #[test]
    fn a_single_label_is_the_most_probable_one() {
        let held = |problem_type: ProblemType, probabilities: &[f32]| -> Vec<usize> {
            let decided = problem_type.decide(probabilities, &[0.3; 3]);
            (0..3).filter(|&label| decided(label)).collect()
        };
        assert_eq!(held(ProblemType::MultiLabel, &[0.3, 0.2, 0.5]), [0, 2]);
        assert_eq!(held(ProblemType::SingleLabel, &[0.3, 0.2, 0.5]), [2]);
        assert_eq!(held(ProblemType::SingleLabel, &[0.25, 0.2, 0.25]), [0]);
    }

    #[test]
    fn names_are_those_of_files() {
        for problem_type in ProblemType::ALL {
            assert_eq!(serde_json::json!(problem_type), problem_type.name());
        }
    }
}
