//! What `tinymood train` learns from teachers: soft labels of the training split, and of texts that
//! only they label. The split is made larger before training is called, which sees no difference.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tinymood_core::{LabelSet, Tensor};
use tinymood_text::{Dataset, EncodedSplit, StreamOptions, Tokenizer, Unlabelled};
use tinymood_train::{RunFolder, TrainSettings, draw_rows, mix};

use crate::args::{GlobalArgs, PrecisionArg, TeachingArgs};
use crate::data::{DataSettings, is_default};
use crate::init::absolute_model;
use crate::teachers::{TeacherError, Teachers, altered};

/// Teachers and what else they label, as a run's settings say it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Teaching {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    teachers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unlabelled: Vec<PathBuf>,
    /// The text's, where it is not that of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unlabelled_column: Option<String>,
    /// 0 for all.
    #[serde(default, skip_serializing_if = "is_default")]
    unlabelled_rows: usize,
    /// Altered copies of each text of the training split.
    #[serde(default, skip_serializing_if = "is_default")]
    augment: u8,
}

/// Teachers that are there, with the texts that only they label.
pub(super) struct Class {
    teachers: Teachers,
    unlabelled: Vec<String>,
    altered: Vec<String>,
    /// How many copies of each text `altered` is to hold.
    copies: usize,
}

impl Teaching {
    pub(super) fn new(args: &TeachingArgs) -> anyhow::Result<Self> {
        let unlabelled = args.unlabelled.iter().map(std::path::absolute);
        Ok(Self {
            teachers: args.teacher.iter().map(|name| absolute_model(name)).collect(),
            unlabelled: unlabelled.collect::<Result<_, _>>().context("--unlabelled is no path")?,
            unlabelled_column: args.unlabelled_column.clone(),
            unlabelled_rows: args.unlabelled_rows,
            augment: args.augment,
        })
    }

    /// Refuses what only means something with a teacher, where there is none.
    pub(super) fn check(&self, weight_is_given: bool) -> Result<(), TeacherError> {
        match self.teachers.is_empty() {
            true if !self.unlabelled.is_empty() => Err(TeacherError::None("--unlabelled")),
            true if self.augment > 0 => Err(TeacherError::None("--augment")),
            true if weight_is_given => Err(TeacherError::None("--teacher-weight")),
            _ => Ok(()),
        }
    }

    /// Whether only the data's own labels are learned.
    pub(super) fn has_no_teachers(&self) -> bool {
        self.teachers.is_empty()
    }

    /// Looks at the teachers, whose names in the settings then mean these for good, and reads the texts; `None`
    /// without teachers.
    pub(super) fn open(
        &mut self,
        data: &DataSettings,
        labels: &LabelSet,
        settings: &TrainSettings,
        global: &GlobalArgs,
    ) -> anyhow::Result<Option<Class>> {
        if self.teachers.is_empty() {
            return Ok(None);
        }
        let teachers = Teachers::find(&self.teachers, labels, global)?;
        self.teachers = teachers.names();
        let options = StreamOptions {
            text_column: self.unlabelled_column.as_ref().unwrap_or(&data.text_column).clone(),
            encoding: data.encoding,
            ..StreamOptions::default()
        };
        let Unlabelled { mut texts, blank, bad_rows } =
            Unlabelled::read(&self.unlabelled, &options, data.skip_bad_rows)
                .map_err(|error| error.naming("--unlabelled-column"))?;
        if blank > 0 || !bad_rows.is_empty() {
            let malformed = bad_rows.len();
            global.say(&format!(
                "unlabelled: passed over {blank} empty rows and {malformed} malformed ones"
            ));
        }
        let rows = draw_rows(texts.len(), self.unlabelled_rows, settings.seed());
        let unlabelled = rows.into_iter().map(|row| std::mem::take(&mut texts[row])).collect();
        let (altered, copies) = (Vec::new(), usize::from(self.augment));
        Ok(Some(Class { teachers, unlabelled, altered, copies }))
    }
}

impl Class {
    /// Makes the altered copies that were asked for, by the student's first word embeddings, (V, H);
    /// `None` where these are new.
    ///
    /// # Errors
    /// [`TeacherError::NoEmbeddings`]; when the tokenizer refuses a text.
    pub(super) fn alter(
        &mut self,
        labelled: &Dataset,
        embeddings: Option<&Tensor>,
        tokenizer: &Tokenizer,
        settings: &TrainSettings,
    ) -> anyhow::Result<()> {
        if self.copies > 0 {
            let embeddings = embeddings.ok_or(TeacherError::NoEmbeddings)?;
            let (texts, seed) = (texts_of(labelled), settings.seed());
            self.altered = altered(&texts, self.copies, embeddings, tokenizer, seed)?;
        }
        Ok(())
    }

    /// Follows the number of labelled rows: ` + 410193 unlabelled, labelled by 2 teachers`.
    pub(super) fn describe(&self) -> String {
        let more = [(self.unlabelled.len(), "unlabelled"), (self.altered.len(), "altered")];
        let more = more.into_iter().filter(|(rows, _)| *rows > 0);
        let more: String = more.map(|(rows, what)| format!(" + {rows} {what}")).collect();
        let count = self.teachers.len();
        let plural = if count == 1 { "" } else { "s" };
        format!("{more}, labelled by {count} teacher{plural}")
    }

    /// What a resumed run must be given again.
    pub(super) fn tell_identity(
        &self,
        settings: &TrainSettings,
        identity: &mut BTreeMap<String, String>,
    ) {
        identity.insert("teachers".to_owned(), self.teachers.identity());
        let weight = settings.recipe().teacher_weight.to_string();
        identity.insert("teacher_weight".to_owned(), weight);
    }

    /// Moves the targets of `encoded`, which `labelled` became, to what the teachers say, and adds
    /// the texts that only they label. Returns false when it is stopped before that.
    pub(super) fn teach(
        &self,
        labelled: &Dataset,
        encoded: &mut EncodedSplit,
        tokenizer: &Tokenizer,
        by: &Means<'_>,
    ) -> anyhow::Result<bool> {
        let unlabelled: Vec<&str> =
            self.unlabelled.iter().chain(&self.altered).map(String::as_str).collect();
        let mut texts = texts_of(labelled);
        texts.extend(&unlabelled);
        let said = self.teachers.label(&texts, by.precision, by.run, by.global, by.stop)?;
        let Some(probabilities) = said else { return Ok(false) };
        let (of_labelled, of_unlabelled) = probabilities.split_at(encoded.targets.len());
        mix(&mut encoded.targets, of_labelled, by.settings.recipe().teacher_weight);
        encoded.targets.extend(of_unlabelled);
        encoded.texts.extend(tokenizer.encode_all(&unlabelled)?);
        if !unlabelled.is_empty() {
            encoded.lines.clear(); // rows come from several files
        }
        Ok(true)
    }
}

fn texts_of(dataset: &Dataset) -> Vec<&str> {
    dataset.examples.iter().map(|example| example.text.as_str()).collect()
}

/// How teaching is done.
pub(super) struct Means<'a> {
    pub(super) settings: &'a TrainSettings,
    pub(super) precision: PrecisionArg,
    pub(super) run: &'a RunFolder,
    pub(super) global: &'a GlobalArgs,
    /// Set by a signal handler.
    pub(super) stop: &'a AtomicBool,
}
