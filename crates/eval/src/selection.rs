//! From probabilities to labels: which hold, and in what order they are told.

use tinymood_core::{LabelSet, ProblemType, TaxonomyMap};

/// How labels are chosen from probabilities. `C` labels of the model, `G` groups of the taxonomy (the
/// labels themselves where it is the original one).
#[derive(Clone, Debug)]
pub struct Selection {
    /// Whether several labels may hold or exactly one does.
    pub problem_type: ProblemType,
    /// The least probability of each label; (C). A label holds when it reaches it. Without meaning for
    /// a single-label model.
    pub thresholds: Vec<f32>,
    /// Coarser labels to roll up into.
    pub taxonomy: TaxonomyMap,
    /// The highest so many, whether or not they reach their thresholds.
    pub top_k: Option<usize>,
    /// The highest one where none reaches its threshold.
    pub at_least_one: bool,
}

/// What is chosen for one text. Labels are indices of [`Selection::labels`].
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Labels that are told, highest probability first; may be empty.
    pub labels: Vec<usize>,
    /// The probability of each label; (G).
    pub scores: Vec<f32>,
}

impl Choice {
    /// All labels, highest probability first; of equals, the first.
    pub fn ranking(&self) -> Vec<usize> {
        ranking(&self.scores)
    }
}

impl Selection {
    /// The labels that are chosen from; (G).
    pub fn labels(&self) -> &LabelSet {
        &self.taxonomy.groups
    }

    /// Chooses the labels of one text from its probabilities, (C).
    pub fn choose(&self, probabilities: &[f32]) -> Choice {
        let (scores, decisions) = self.scores_and_decisions(probabilities);
        let mut labels = ranking(&scores);
        match self.top_k {
            Some(k) => labels.truncate(k),
            None => {
                let best = labels.first().copied();
                labels.retain(|&label| decisions[label]);
                if labels.is_empty() && self.at_least_one {
                    labels.extend(best);
                }
            }
        }
        Choice { labels, scores }
    }

    /// The score of each label that is chosen from, and whether it holds; (G) each.
    ///
    /// The labels of a single-label model exclude one another, so a group's probability is their sum, and
    /// the most probable group holds.
    fn scores_and_decisions(&self, probabilities: &[f32]) -> (Vec<f32>, Vec<bool>) {
        let taxonomy = &self.taxonomy;
        if self.problem_type.is_single_label() {
            let scores = taxonomy.add_up(probabilities);
            let decide = self.problem_type.decide(&scores, &[]);
            let decisions = (0..scores.len()).map(decide).collect();
            return (scores, decisions);
        }
        let decide = self.problem_type.decide(probabilities, &self.thresholds);
        let decisions: Vec<bool> = (0..probabilities.len()).map(decide).collect();
        (taxonomy.roll_up(probabilities), taxonomy.roll_up_decisions(&decisions))
    }

    /// The model's label that decides a chosen one: of a group, its most probable member. Values are
    /// logits or probabilities; (C).
    pub fn decisive(&self, chosen: usize, values: &[f32]) -> Option<usize> {
        // `max_by` takes the last of equals.
        self.members(chosen).rev().max_by(|&a, &b| values[a].total_cmp(&values[b]))
    }

    /// The threshold that a chosen label's probability stands beside: it holds when, and only when, the
    /// one is at least the other. Of a group, its most probable member's that reaches its own; where
    /// none does, its most probable member's. `None` of a group without members, and of a single-label model.
    pub fn threshold(&self, chosen: usize, probabilities: &[f32]) -> Option<f32> {
        if self.problem_type.is_single_label() {
            return None;
        }
        let reaches = |&label: &usize| probabilities[label] >= self.thresholds[label];
        let higher = |&a: &usize, &b: &usize| probabilities[a].total_cmp(&probabilities[b]);
        let holding = self.members(chosen).rev().filter(reaches).max_by(higher);
        holding.or_else(|| self.decisive(chosen, probabilities)).map(|label| self.thresholds[label])
    }

    /// The model's labels of a group, in order.
    fn members(&self, group: usize) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let group_of = &self.taxonomy.group_of;
        (0..group_of.len()).filter(move |&label| group_of[label] == group)
    }
}

/// Indices, highest value first.
fn ranking(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a])); // stable: ties in label order
    order
}

#[cfg(test)]
mod tests {
    use tinymood_core::Taxonomy;

    use super::*;

    fn selection() -> Selection {
        let labels = LabelSet::new(["joy", "love", "anger"]).unwrap();
        let taxonomy = Taxonomy::Original.map(&labels).unwrap();
        let thresholds = vec![0.5, 0.3, 0.9];
        let problem_type = ProblemType::MultiLabel;
        Selection { problem_type, thresholds, taxonomy, top_k: None, at_least_one: false }
    }

    fn names<'a>(selection: &'a Selection, probabilities: &[f32]) -> Vec<&'a str> {
        let chosen = selection.choose(probabilities).labels;
        chosen.into_iter().map(|label| selection.labels().name(label)).collect()
    }

    #[test]
    fn a_label_holds_when_it_reaches_its_threshold() {
        let selection = selection();
        assert_eq!(names(&selection, &[0.5, 0.6, 0.8]), ["love", "joy"]);
        assert!(names(&selection, &[0.49, 0.2, 0.8]).is_empty());
        assert_eq!(selection.choose(&[0.5, 0.5, 0.6]).ranking(), [2, 0, 1]);
    }

    #[test]
    fn at_least_one_and_top_k() {
        let best = Selection { at_least_one: true, ..selection() };
        assert_eq!(names(&best, &[0.49, 0.2, 0.8]), ["anger"]);
        assert_eq!(names(&best, &[0.5, 0.2, 0.8]), ["joy"]);
        let top = Selection { top_k: Some(2), ..selection() };
        assert_eq!(names(&top, &[0.1, 0.2, 0.05]), ["love", "joy"]);
        let top = Selection { top_k: Some(9), ..selection() };
        assert_eq!(names(&top, &[0.1, 0.2, 0.05]).len(), 3);
    }

    #[test]
    fn a_group_holds_when_a_member_does() {
        let labels = LabelSet::new(["joy", "love", "anger"]).unwrap();
        let taxonomy = Taxonomy::Sentiment.map(&labels).unwrap();
        let selection = Selection { taxonomy, ..selection() };
        // love reaches 0.3, joy with the higher score does not reach 0.5: positive holds.
        let probabilities = [0.4, 0.3, 0.1];
        assert_eq!(names(&selection, &probabilities), ["positive"]);
        assert_eq!(selection.choose(&probabilities).scores[0], 0.4);
        assert_eq!(selection.threshold(0, &probabilities), Some(0.3));
        // None holds: the threshold that the highest one misses.
        assert_eq!(selection.threshold(0, &[0.4, 0.2, 0.1]), Some(0.5));
        assert_eq!(selection.threshold(2, &probabilities), None);
    }

    #[test]
    fn of_a_single_label_model_exactly_one_holds() {
        let single = Selection { problem_type: ProblemType::SingleLabel, ..selection() };
        // Neither threshold is looked at.
        assert_eq!(names(&single, &[0.2, 0.2, 0.6]), ["anger"]);
        assert_eq!(names(&single, &[0.4, 0.4, 0.2]), ["joy"]);
        assert_eq!(single.threshold(0, &[0.4, 0.4, 0.2]), None);
        let top = Selection { top_k: Some(2), ..single };
        assert_eq!(names(&top, &[0.2, 0.3, 0.5]), ["anger", "love"]);
        // joy and love together are more probable than anger.
        let labels = LabelSet::new(["joy", "love", "anger"]).unwrap();
        let taxonomy = Taxonomy::Sentiment.map(&labels).unwrap();
        let grouped = Selection { taxonomy, top_k: None, ..top };
        assert_eq!(names(&grouped, &[0.25, 0.35, 0.4]), ["positive"]);
        let scores = grouped.choose(&[0.25, 0.35, 0.4]).scores;
        assert!((scores[0] - 0.6).abs() < 1e-6 && scores[1] == 0.4, "{scores:?}");
    }

    #[test]
    fn a_group_is_decided_by_its_most_probable_member() {
        let labels = LabelSet::new(["joy", "anger", "love", "relief"]).unwrap();
        let taxonomy = Taxonomy::Sentiment.map(&labels).unwrap();
        let selection = Selection { taxonomy, ..selection() };
        let group = |name: &str| selection.labels().index_of(name).unwrap();
        assert_eq!(selection.decisive(group("positive"), &[0.1, 0.9, 0.4, 0.4]), Some(2));
        assert_eq!(selection.decisive(group("negative"), &[0.1, 0.9, 0.4, 0.4]), Some(1));
        assert_eq!(selection.decisive(group("ambiguous"), &[0.1, 0.9, 0.4, 0.4]), None);
    }
}
