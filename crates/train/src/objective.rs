//! From a recipe's words to the engine's objective: what depends on the training data.

use tinymood_core::{LabelSet, Objective};

use crate::choices::{PosWeightPolicy, PosWeightRecipe};
use crate::recipe::RecipeError;
use crate::settings::TrainSettings;

/// The objective of a run. `targets` are those of the training split, row-major; (rows, C).
///
/// # Errors
/// When the recipe lists another number of weights than there are labels.
pub fn objective(
    settings: &TrainSettings,
    labels: &LabelSet,
    targets: &[f32],
) -> Result<Objective, RecipeError> {
    let recipe = settings.recipe();
    let frequencies = label_frequencies(targets, labels.len());
    settings.check_labels(labels)?;
    let pos_weight = match &recipe.pos_weight {
        PosWeightRecipe::Policy(PosWeightPolicy::None) => None,
        PosWeightRecipe::Policy(PosWeightPolicy::Auto) => {
            // Without positives the ratio is infinite, without negatives it is 0, and nothing of the label
            // would be learned.
            let cap = recipe.pos_weight_cap;
            let weight =
                |&frequency: &f64| ((1.0 - frequency) / frequency).clamp(1.0 / cap, cap) as f32;
            Some(frequencies.iter().map(weight).collect())
        }
        PosWeightRecipe::List(weights) => {
            Some(weights.iter().map(|&weight| weight as f32).collect())
        }
    };
    let smoothing = recipe.label_smoothing > 0.0;
    let priors = frequencies.iter().map(|&frequency| frequency as f32);
    Ok(Objective {
        loss: settings.loss(),
        pos_weight,
        label_smoothing: recipe.label_smoothing as f32,
        label_priors: if smoothing { priors.collect() } else { Vec::new() },
    })
}

/// The bias with which a classifier whose weights say nothing gives each label's frequency: its log
/// odds, (C). A half is added to either side, so that a label without positives has them too.
///
/// `targets` are those of the training split, row-major; (rows, C). Source: Lin et al., 2017, section
/// 3.3, where one prior serves all classes.
pub fn prior_bias(targets: &[f32], num_labels: usize) -> Vec<f32> {
    let rows = (targets.len() / num_labels) as f64;
    let log_odds = |frequency: f64| {
        let positives = frequency * rows;
        ((positives + 0.5) / (rows - positives + 0.5)).ln() as f32
    };
    label_frequencies(targets, num_labels).into_iter().map(log_odds).collect()
}

/// The mean target of each label; (C).
fn label_frequencies(targets: &[f32], num_labels: usize) -> Vec<f64> {
    let mut sums = vec![0.0_f64; num_labels];
    for row in targets.chunks_exact(num_labels) {
        for (sum, &target) in sums.iter_mut().zip(row) {
            *sum += f64::from(target);
        }
    }
    let rows = (targets.len() / num_labels).max(1) as f64;
    sums.into_iter().map(|sum| sum / rows).collect()
}

#[cfg(test)]
mod tests {
    use tinymood_core::Loss;

    use super::*;
    use crate::recipe::{Recipe, RecipeOverrides};

    fn settings(overrides: RecipeOverrides) -> TrainSettings {
        TrainSettings::new(Recipe::default().with(&overrides)).unwrap()
    }

    /// Four rows of three labels: one, two and no positives.
    const TARGETS: [f32; 12] = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

    #[test]
    fn weights_are_negatives_over_positives_up_to_the_cap() {
        let labels = LabelSet::new(["a", "b", "c"]).unwrap();
        let auto = settings(RecipeOverrides {
            pos_weight: Some("auto".parse().unwrap()),
            pos_weight_cap: Some(2.5),
            loss: Some("focal:gamma=1.5".parse().unwrap()),
            label_smoothing: Some(0.1),
            ..RecipeOverrides::default()
        });
        let objective = objective(&auto, &labels, &TARGETS).unwrap();
        assert_eq!(objective.pos_weight, Some(vec![2.5, 1.0, 2.5]));
        assert_eq!(objective.loss, Loss::Focal { gamma: 1.5, alpha: None });
        assert_eq!(objective.label_priors, [0.25, 0.5, 0.0]);
    }

    #[test]
    fn a_label_of_every_row_weighs_something() {
        let labels = LabelSet::new(["always", "never", "mostly"]).unwrap();
        let auto = settings(RecipeOverrides {
            pos_weight: Some("auto".parse().unwrap()),
            pos_weight_cap: Some(4.0),
            ..RecipeOverrides::default()
        });
        let targets = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let objective = objective(&auto, &labels, &targets).unwrap();
        assert_eq!(objective.pos_weight, Some(vec![0.25, 4.0, 0.5]));
    }

    #[test]
    fn a_prior_bias_is_the_log_odds() {
        let found = prior_bias(&TARGETS, 3);
        // One, two and none of four rows, a half added to either side.
        let expected = [1.5_f32 / 3.5, 1.0, 0.5 / 4.5].map(f32::ln);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert_eq!(prior_bias(&[], 2), [0.0, 0.0], "no rows, no opinion");
    }

    #[test]
    fn a_list_must_fit_the_labels() {
        let labels = LabelSet::new(["a", "b", "c"]).unwrap();
        let list = |text: &str| {
            settings(RecipeOverrides {
                pos_weight: Some(text.parse().unwrap()),
                ..RecipeOverrides::default()
            })
        };
        let fits = objective(&list("1, 2,3"), &labels, &TARGETS).unwrap();
        assert_eq!(fits.pos_weight, Some(vec![1.0, 2.0, 3.0]));
        assert!(fits.label_priors.is_empty());
        let error = objective(&list("1,2"), &labels, &TARGETS).unwrap_err().to_string();
        assert!(error.contains("a list of 2") && error.contains("3 labels"), "{error}");
    }
}
