//! The classifier that a server answers with, whatever engine computes it.

use std::fmt;

use tinymood_core::{Infer, LabelSet, PackedBatch, ProblemType, Taxonomy, TaxonomyMap};
use tinymood_eval::{Occlusion, Thresholds};
use tinymood_text::Tokenizer;

use crate::infer;

/// A classifier with all that it needs.
pub struct Classifier {
    /// Computes logits. Once it is served only the infer thread asks it.
    pub engine: Box<dyn Infer + Send + Sync>,
    /// Texts to ids.
    pub tokenizer: Tokenizer,
    /// The labels, in the order of the outputs; (C).
    pub labels: LabelSet,
    /// The probabilities from which labels hold; (C). A single-label model has none that mean anything.
    pub thresholds: Thresholds,
    /// What it is, for `/info`.
    pub about: About,
}

/// What a classifier is called and made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The name it was asked for by.
    pub model_id: String,
    /// SHA-256 of its weights, in hexadecimal.
    pub model_sha: String,
    /// What its multiplications multiply: `float32`, `bfloat16`, `int8`.
    pub model_dtype: String,
}

/// A classifier being served: what requests read of it.
///
/// A request holds on to the one it began with, so that replacing it mixes nothing up.
pub(crate) struct Served {
    pub(crate) classifier: Classifier,
    /// How words are taken out for explanations.
    pub(crate) occlusion: Occlusion,
    /// The taxonomies that its labels have a place in.
    taxonomies: Vec<(Taxonomy, TaxonomyMap)>,
}

/// Why a classifier cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// Labels, thresholds and outputs are not of one number.
    #[error(
        "the engine has {outputs} outputs, there are {labels} labels and {thresholds} thresholds"
    )]
    Labels {
        /// `C` of the engine.
        outputs: usize,
        /// How many labels.
        labels: usize,
        /// How many thresholds.
        thresholds: usize,
    },
    /// Texts may be longer than the engine reads.
    #[error("the tokenizer gives up to {length} tokens, the engine reads {positions}")]
    Tokenizer {
        /// The tokenizer's longest text.
        length: usize,
        /// The engine's longest text.
        positions: usize,
    },
    /// The tokenizer cannot be built.
    #[error(transparent)]
    Unusable(#[from] tinymood_text::TokenizerError),
    /// The engine has no answer.
    #[error("the model cannot answer {TRIAL:?}: {0}")]
    NoAnswer(String),
    /// The engine's answer is none: weights are damaged, or a training has diverged.
    #[error("the model's answer to {TRIAL:?} is no number: its weights hold some that are none")]
    NotANumber,
}

/// What a model must have an answer to before it answers anyone.
const TRIAL: &str = "thank you so much!";

impl Served {
    pub(crate) fn new(mut classifier: Classifier) -> Result<Self, ClassifierError> {
        let Classifier { engine, tokenizer, labels, thresholds, .. } = &classifier;
        let counts = (engine.num_labels(), labels.len(), thresholds.values.len());
        if counts.0 != counts.1 || counts.0 != counts.2 {
            let (outputs, labels, thresholds) = counts;
            return Err(ClassifierError::Labels { outputs, labels, thresholds });
        }
        let config = engine.config();
        let (length, positions) = (tokenizer.max_length(), config.max_position_embeddings);
        if length > positions {
            return Err(ClassifierError::Tokenizer { length, positions });
        }
        // A text with an id that has no embedding is refused, not the model.
        let vocabulary = config.vocab_size;
        classifier.tokenizer = classifier.tokenizer.clone().with_embeddings(vocabulary)?;
        let Classifier { tokenizer, labels, .. } = &classifier;
        // What explanations need is built now, not during the first request that asks for one.
        let occlusion = tokenizer.mask_token()?.map_or(Occlusion::Delete, Occlusion::Mask);
        let taxonomies = [Taxonomy::Original, Taxonomy::Ekman, Taxonomy::Sentiment];
        let taxonomies = taxonomies.into_iter().filter_map(|t| Some((t, t.map(labels).ok()?)));
        let taxonomies = taxonomies.collect();
        try_out(&classifier)?;
        Ok(Self { occlusion, taxonomies, classifier })
    }

    /// What the classifier's outputs mean together.
    pub(crate) fn problem_type(&self) -> ProblemType {
        self.classifier.engine.config().problem_type
    }

    /// How its labels fall into a taxonomy's groups; `None` where some have no place there.
    pub(crate) fn taxonomy(&self, asked: Taxonomy) -> Option<&TaxonomyMap> {
        self.taxonomies.iter().find(|(taxonomy, _)| *taxonomy == asked).map(|(_, map)| map)
    }

    /// The taxonomies that [`Self::taxonomy`] knows.
    pub(crate) fn taxonomies(&self) -> impl Iterator<Item = Taxonomy> + '_ {
        self.taxonomies.iter().map(|(taxonomy, _)| *taxonomy)
    }
}

/// Asks a model once. Shapes say nothing of what the weights are worth.
fn try_out(classifier: &Classifier) -> Result<(), ClassifierError> {
    let mut batch = PackedBatch::new();
    batch.push(0, &classifier.tokenizer.encode(TRIAL)?.ids);
    let logits = infer::compute(classifier, &batch)
        .map_err(|failure| ClassifierError::NoAnswer(failure.to_string()))?;
    match logits.values.iter().all(|logit| logit.is_finite()) {
        true => Ok(()),
        false => Err(ClassifierError::NotANumber),
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("about", &self.classifier.about).finish_non_exhaustive()
    }
}
