//! Training as a whole, with an engine whose arithmetic fits on a page.

mod failing;
mod fake_engine;
mod folder;
mod loop_;
mod resuming;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fake_engine::{FakeEngine, VOCABULARY};
use tinymood_core::{LabelSet, TokenizedText};
use tinymood_train::{
    Event, ModelCardFacts, Observer, Observers, Outcome, Recipe, RecipeOverrides, RunFolder,
    SavedSettings, SplitView, TrainError, TrainInputs, TrainSettings, train,
};

/// A dataset that can be learned: a label holds when its own token is among a text's.
pub(crate) struct Dataset {
    pub texts: Vec<TokenizedText>,
    pub targets: Vec<f32>,
    pub lines: Vec<usize>,
}

impl Dataset {
    pub(crate) fn new(rows: usize, labels: usize, salt: usize) -> Self {
        let (mut texts, mut targets) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let length = 3 + (row * 7 + salt) % 6;
            let id = |i: usize| ((row + salt) * 31 + i * 17 + row * row * 5) % VOCABULARY;
            let ids: Vec<u32> = (0..length).map(|i| id(i) as u32).collect();
            let holds =
                |label: usize| ids.iter().any(|&id| id as usize % labels == label && id < 12);
            targets.extend((0..labels).map(|label| f32::from(u8::from(holds(label)))));
            texts.push(TokenizedText { full_length: ids.len(), ids });
        }
        Self { texts, targets, lines: (0..rows).map(|row| row + 2).collect() }
    }

    pub(crate) fn view(&self) -> SplitView<'_> {
        SplitView { name: "dev", texts: &self.texts, targets: &self.targets, lines: &self.lines }
    }
}

/// A run to be: what tests vary.
pub(crate) struct Case {
    pub overrides: RecipeOverrides,
    pub train: Dataset,
    pub validation: Option<Dataset>,
    pub labels: LabelSet,
    pub identity: BTreeMap<String, String>,
    pub broken_loss_from: u64,
    pub broken_gradient_from: u64,
    pub arithmetic: &'static str,
}

impl Case {
    /// 23 rows in batches of 4 for 2 epochs: 12 steps; judged every 5, a checkpoint every 3.
    pub(crate) fn new() -> Self {
        Self {
            overrides: RecipeOverrides {
                epochs: Some(2),
                batch_size: Some(4),
                learning_rate: Some(0.05),
                ema_decay: Some(0.9),
                evaluate_every: Some("5".parse().unwrap()),
                checkpoint_every: Some("3".parse().unwrap()),
                metric: Some("loss".parse().unwrap()),
                thresholds: Some("0.5".parse().unwrap()),
                keep_checkpoints: Some(2),
                log_every: Some(2),
                ..RecipeOverrides::default()
            },
            train: Dataset::new(23, 3, 0),
            validation: Some(Dataset::new(11, 3, 5)),
            labels: LabelSet::new(["joy", "fear", "anger"]).unwrap(),
            identity: BTreeMap::from([("precision".to_owned(), "f32".to_owned())]),
            broken_loss_from: u64::MAX,
            broken_gradient_from: u64::MAX,
            arithmetic: "f64",
        }
    }

    pub(crate) fn begin(&self, path: &Path, watch: Watch) -> Result<Outcome, TrainError> {
        let settings = self.settings();
        let saved = SavedSettings {
            tinymood: "0.1.0".to_owned(),
            source: toml::Table::new(),
            recipe: settings.recipe().clone(),
        };
        let run = RunFolder::create(path, &saved)?;
        self.go(&run, &settings, false, watch)
    }

    /// Resumes with the settings of this case, so that tests may change them.
    pub(crate) fn resume(&self, path: &Path, watch: Watch) -> Result<Outcome, TrainError> {
        let (run, _) = RunFolder::open(path)?;
        self.go(&run, &self.settings(), true, watch)
    }

    fn settings(&self) -> TrainSettings {
        TrainSettings::new(Recipe::default().with(&self.overrides)).unwrap()
    }

    fn go(
        &self,
        run: &RunFolder,
        settings: &TrainSettings,
        resume: bool,
        watch: Watch,
    ) -> Result<Outcome, TrainError> {
        let stop = Arc::clone(&watch.stop);
        let inputs = TrainInputs {
            settings,
            labels: &self.labels,
            train: self.train.view(),
            validation: self.validation.as_ref().map(Dataset::view),
            run,
            resume,
            identity: &self.identity,
            tokenizer_files: &[("vocab.txt".to_owned(), b"[PAD]\n".to_vec())],
            facts: &ModelCardFacts { name: "test".to_owned(), ..ModelCardFacts::default() },
            prepared_seconds: 0.25,
            stop: &stop,
        };
        let mut engine = FakeEngine::new(self.labels.len());
        engine.broken_loss_from = self.broken_loss_from;
        engine.broken_gradient_from = self.broken_gradient_from;
        engine.arithmetic = self.arithmetic;
        train(&mut engine, &inputs, &mut Observers::new().with(watch))
    }
}

/// Keeps what training tells; asks it to stop, or falls over as a killed process would.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub events: Arc<std::sync::Mutex<Vec<Event>>>,
    stop: Arc<AtomicBool>,
    stop_after: Option<u64>,
    die_at: Option<usize>,
    block: Option<(u64, PathBuf)>,
}

impl Watch {
    /// Puts a file where a folder is to be written, once so many steps have been taken.
    pub(crate) fn blocking(step: u64, path: PathBuf) -> Self {
        Self { block: Some((step, path)), ..Self::default() }
    }

    pub(crate) fn stopping_after(step: u64) -> Self {
        Self { stop_after: Some(step), ..Self::default() }
    }

    /// Panics at the event of this number.
    pub(crate) fn dying_at(event: usize) -> Self {
        Self { die_at: Some(event), ..Self::default() }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        match self.events.lock() {
            Ok(events) => events.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        let mut events = self.events.lock().unwrap();
        if self.die_at == Some(events.len()) {
            drop(events);
            std::panic::resume_unwind(Box::new("killed"));
        }
        events.push(event.clone());
        if let Event::Tick(tick) = event
            && self.stop_after == Some(tick.step)
        {
            self.stop.store(true, Ordering::Relaxed);
        }
        if let (Event::Tick(tick), Some((step, path))) = (event, &self.block)
            && tick.step == *step
        {
            fs::write(path, "").unwrap();
        }
    }
}

/// What must be equal to the last bit: the model, and all tensors of the last checkpoint.
pub(crate) fn result(path: &Path, last_step: u64) -> Vec<Vec<u8>> {
    let checkpoint = path.join(format!("checkpoints/step-{last_step:08}"));
    let files = ["parameters", "first_moment", "second_moment", "average"];
    let mut bytes = vec![fs::read(path.join("best/model.safetensors")).unwrap()];
    for file in files {
        bytes.push(fs::read(checkpoint.join(format!("{file}.safetensors"))).unwrap_or_default());
    }
    bytes
}

/// The lines of the log, each of which must be an object.
pub(crate) fn log(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path.join("log.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The steps of the log's lines of one kind.
pub(crate) fn steps_of(log: &[serde_json::Value], event: &str) -> Vec<u64> {
    let lines = log.iter().filter(|line| line["event"] == event);
    lines.map(|line| line["step"].as_u64().unwrap()).collect()
}

/// Names in a folder, sorted.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
