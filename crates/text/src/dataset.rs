//! A dataset in memory: texts beside what they should be given.

use std::path::PathBuf;

use tinymood_core::{LabelSet, Taxonomy};

use crate::{DataError, LabelReading, RowError};

/// One labelled text.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text.
    pub text: String,
    /// What each label should be given, 0 to 1; (C). All 0 is an answer of its own.
    pub targets: Vec<f32>,
    /// The line of the file its row starts on, from 1.
    pub line: u64,
}

/// A split of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Where it came from.
    pub path: PathBuf,
    /// The labels, in the order of the targets.
    pub labels: LabelSet,
    /// The rows.
    pub examples: Vec<Example>,
    /// Rows that were passed over because they are malformed.
    pub bad_rows: Vec<RowError>,
    /// How the rows' labels were read.
    pub reading: LabelReading,
}

impl Dataset {
    /// The same rows with the same labels in the order of `labels`; `None` where its labels are others.
    pub fn in_order_of(mut self, labels: &LabelSet) -> Option<Self> {
        let places: Option<Vec<usize>> =
            labels.names().iter().map(|name| self.labels.index_of(name)).collect();
        let places = places.filter(|_| labels.len() == self.labels.len())?;
        for example in &mut self.examples {
            example.targets = places.iter().map(|&place| example.targets[place]).collect();
        }
        self.labels = labels.clone();
        Some(self)
    }

    /// Refuses rows of which none has a label: nothing can be learned from them.
    ///
    /// # Errors
    /// [`DataError::NoLabels`].
    pub fn check_labels(&self) -> Result<(), DataError> {
        let has_label = |example: &Example| example.targets.iter().any(|target| *target > 0.0);
        match self.examples.iter().any(has_label) {
            true => Ok(()),
            false => Err(DataError::NoLabels(self.path.clone())),
        }
    }

    /// The same texts with coarser labels. A group is given the largest of its members' targets.
    ///
    /// # Errors
    /// When a label has no place in the taxonomy.
    pub fn with_taxonomy(mut self, taxonomy: Taxonomy) -> Result<Self, DataError> {
        if taxonomy == Taxonomy::Original {
            return Ok(self);
        }
        let map = taxonomy.map(&self.labels)?;
        for example in &mut self.examples {
            example.targets = map.roll_up(&example.targets);
        }
        self.labels = map.groups;
        Ok(self)
    }
}

/// The splits that a source has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Splits {
    /// What models are trained on.
    pub train: Option<Dataset>,
    /// What thresholds are tuned on and the best model is chosen by.
    pub dev: Option<Dataset>,
    /// What nothing is tuned on.
    pub test: Option<Dataset>,
    /// Data files of the source's folder that are none of these.
    pub unused: Vec<PathBuf>,
}

impl Splits {
    /// Each split that is there, with its name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Dataset)> {
        let splits = [("train", &self.train), ("dev", &self.dev), ("test", &self.test)];
        splits.into_iter().filter_map(|(name, split)| split.as_ref().map(|split| (name, split)))
    }

    /// All splits with coarser labels.
    ///
    /// # Errors
    /// As [`Dataset::with_taxonomy`].
    pub fn with_taxonomy(self, taxonomy: Taxonomy) -> Result<Self, DataError> {
        let map = |split: Option<Dataset>| split.map(|s| s.with_taxonomy(taxonomy)).transpose();
        Ok(Self {
            train: map(self.train)?,
            dev: map(self.dev)?,
            test: map(self.test)?,
            unused: self.unused,
        })
    }
}
