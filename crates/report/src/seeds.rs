//! Runs that differ in their seed alone: what chance makes of one recipe.

use serde::Serialize;
use tinymood_eval::Evaluation;

use crate::run::RunReport;

/// At least two runs that differ in their seed alone, and that were judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeedGroup {
    /// Their names.
    pub runs: Vec<String>,
    /// Of the mean F1 of the labels.
    pub macro_f1: Spread,
    /// Of F1 over all decisions.
    pub micro_f1: Spread,
    /// Of the labels' mean average precision, where all runs have it.
    pub macro_average_precision: Option<Spread>,
    /// Of the binary cross-entropy.
    pub loss: Spread,
}

/// How values lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Of the sample, divided by `n - 1`.
    pub standard_deviation: f64,
}

impl Spread {
    /// Of at least two values.
    fn new(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, standard_deviation: (squares / (n - 1.0)).sqrt() }
    }
}

/// The groups among runs, in the order of their first ones.
pub(crate) fn groups(runs: &[RunReport]) -> Vec<SeedGroup> {
    let seed = |run: &RunReport| run.settings.recipe.get("seed").cloned();
    // A run that was only repeated counts once.
    let is_new = |at: usize| {
        let mut earlier = runs[..at].iter();
        !earlier.any(|run| are_alike(run, &runs[at]) && seed(run) == seed(&runs[at]))
    };
    let new = (0..runs.len()).filter(|&at| is_new(at)).map(|at| &runs[at]);
    let judged: Vec<(&RunReport, &Evaluation)> =
        new.filter_map(|run| Some((run, run.evaluation.as_ref()?))).collect();
    let firsts = (0..judged.len())
        .filter(|&at| judged[..at].iter().all(|(earlier, _)| !are_alike(earlier, judged[at].0)));
    let group = |at: usize| {
        let of = judged.iter().filter(|(run, _)| are_alike(run, judged[at].0));
        let (names, found): (Vec<String>, Vec<&Evaluation>) =
            of.map(|(run, evaluation)| (run.name.clone(), *evaluation)).unzip();
        let spread = |value: fn(&Evaluation) -> f64| {
            Spread::new(&found.iter().map(|evaluation| value(evaluation)).collect::<Vec<_>>())
        };
        let precision: Option<Vec<f64>> =
            found.iter().map(|evaluation| evaluation.macro_average_precision).collect();
        (found.len() > 1).then(|| SeedGroup {
            runs: names,
            macro_f1: spread(|evaluation| evaluation.macro_f1),
            micro_f1: spread(|evaluation| evaluation.micro_f1),
            macro_average_precision: precision.map(|values| Spread::new(&values)),
            loss: spread(|evaluation| evaluation.loss),
        })
    };
    firsts.filter_map(group).collect()
}

/// Whether two runs were made of the same, but for the seed.
fn are_alike(a: &RunReport, b: &RunReport) -> bool {
    let recipe = |run: &RunReport| {
        let mut recipe = run.settings.recipe.clone();
        recipe.remove("seed");
        recipe
    };
    let (first, second) = (&a.settings, &b.settings);
    first.source == second.source && first.tinymood == second.tinymood && recipe(a) == recipe(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_the_sample() {
        let found = Spread::new(&[0.55, 0.53, 0.54]);
        assert!((found.mean - 0.54).abs() < 1e-12);
        assert!((found.standard_deviation - 0.01).abs() < 1e-12, "statistics.stdev's");
    }
}
