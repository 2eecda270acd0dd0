//! The training loop.
//!
//! ```text
//! for each step not yet taken:
//!     rows      = the plan's next batch            pure function of (seed, epoch, position)
//!     gradient  = sum over micro-batches           dropout: pure function of (seed, step, position)
//!     AdamW at the schedule's rate                 pure function of the step
//!     judge, keep the best, write a checkpoint     where due
//! ```
//!
//! Nothing of a run depends on when it is stopped, so that a resumed run ends in the very same
//! bytes. What a checkpoint must hold beside tensors is [`State`], and nothing else is carried
//! from one step to the next.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tinymood_core::{Engine, LabelSet, PackedBatch, Randomness, TokenizedText};

use crate::checkpoint::{self, Best, State};
use crate::error::TrainError;
use crate::event::{Event, Finish, Judged, Observers, Start, Tick, Window};
use crate::fingerprint;
use crate::labels::LabelLesson;
use crate::lesson::{Lesson, Verdict};
use crate::machine::machine;
use crate::model_card::ModelCardFacts;
use crate::observers::{JsonLog, ScalarWriter};
use crate::order::BatchPlan;
use crate::run_folder::{RunFolder, failed};
use crate::schedule::Schedule;
use crate::settings::TrainSettings;

/// What a run trains on and where it goes.
#[derive(Clone, Copy)]
pub struct TrainInputs<'a> {
    /// How to train.
    pub settings: &'a TrainSettings,
    /// The labels, in the order of the engine's outputs.
    pub labels: &'a LabelSet,
    /// The training split.
    pub train: SplitView<'a>,
    /// The validation split; without one the last weights become the model.
    pub validation: Option<SplitView<'a>>,
    /// The folder of the run.
    pub run: &'a RunFolder,
    /// Whether to go on from the folder's newest whole checkpoint. Where there is none, training
    /// begins at the beginning.
    pub resume: bool,
    /// Whatever else decides the result, by name (the precision, the initial weights): a resumed
    /// run must be given the same.
    pub identity: &'a BTreeMap<String, String>,
    /// The tokenizer's files, by name, to stand beside the model.
    pub tokenizer_files: &'a [(String, Vec<u8>)],
    /// For the model card.
    pub facts: &'a ModelCardFacts,
    /// Wall-clock seconds that this process spent on what comes before the first step, for the log.
    pub prepared_seconds: f64,
    /// Set to true by a signal handler: the current step is finished, a checkpoint is written, and
    /// training returns.
    pub stop: &'a AtomicBool,
}

/// A split as training sees it.
#[derive(Clone, Copy, Debug)]
pub struct SplitView<'a> {
    /// Its name, `train` or `dev`.
    pub name: &'a str,
    /// The texts; (rows).
    pub texts: &'a [TokenizedText],
    /// What each should be given, row-major; (rows, C).
    pub targets: &'a [f32],
    /// The line of the file that each row came from, from 1, for messages; (rows), or empty.
    pub lines: &'a [usize],
}

/// How training ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a model.
    Finished(Finish),
    /// With a checkpoint, since it was asked to stop.
    Stopped {
        /// Steps taken so far.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
}

/// Trains a model whose engine holds the initial weights and has taken no step yet.
///
/// # Errors
/// See [`TrainError`]. Checkpoints and the best model so far stay as they are.
pub fn train<E: Engine>(
    engine: &mut E,
    inputs: &TrainInputs<'_>,
    observers: &mut Observers,
) -> Result<Outcome, TrainError> {
    check_splits(engine.num_labels(), inputs)?;
    let plan = RunPlan {
        settings: inputs.settings,
        texts: inputs.train.texts,
        lines: inputs.train.lines,
        run: inputs.run,
        resume: inputs.resume,
        fingerprint: full_fingerprint(engine, inputs),
        prepared_seconds: inputs.prepared_seconds,
        stop: inputs.stop,
    };
    let lesson = LabelLesson::new(inputs)?;
    run_lesson(engine, &plan, lesson, observers)
}

/// What a run needs to know, whatever it learns.
pub(crate) struct RunPlan<'a> {
    pub(crate) settings: &'a TrainSettings,
    /// The texts to learn from.
    pub(crate) texts: &'a [TokenizedText],
    /// Where they came from: [`SplitView::lines`].
    pub(crate) lines: &'a [usize],
    pub(crate) run: &'a RunFolder,
    pub(crate) resume: bool,
    /// Everything that decides the result, by name.
    pub(crate) fingerprint: BTreeMap<String, String>,
    /// [`TrainInputs::prepared_seconds`].
    pub(crate) prepared_seconds: f64,
    pub(crate) stop: &'a AtomicBool,
}

/// Runs a lesson from where its plan says to its end.
pub(crate) fn run_lesson<E: Engine, L: Lesson<E>>(
    engine: &mut E,
    plan: &RunPlan<'_>,
    lesson: L,
    observers: &mut Observers,
) -> Result<Outcome, TrainError> {
    let mut trainer = Trainer::new(engine, plan, lesson, observers)?;
    let outcome = trainer.run();
    trainer.engine.infer_with_average(false);
    if let Err(error) = &outcome {
        let event = Event::Failure { step: trainer.state.step, message: error.to_string() };
        // A log that cannot be written is likely the failure itself.
        let _ = trainer.tell(&event);
    }
    outcome
}

struct Trainer<'a, E, L> {
    engine: &'a mut E,
    plan: &'a RunPlan<'a>,
    lesson: L,
    observers: &'a mut Observers,
    log: JsonLog,
    scalars: ScalarWriter,
    schedule: Schedule,
    batch_plan: BatchPlan,
    steps_per_epoch: u64,
    state: State,
    /// Step of the newest checkpoint; `None` before the first, and where it names a model that is gone.
    saved: Option<u64>,
    /// Step of the last evaluation since this process began.
    judged: Option<u64>,
    saved_at: Instant,
    /// The batches of the epoch under way.
    order: Option<(u64, Vec<Vec<usize>>)>,
    batch: PackedBatch,
    clock: Clock,
}

/// Time spent on steps and texts seen since the log's last line.
struct Clock {
    since: Instant,
    paused: Duration,
    rows: usize,
}

impl Clock {
    fn new() -> Self {
        Self { since: Instant::now(), paused: Duration::ZERO, rows: 0 }
    }

    fn samples_per_second(&self) -> f64 {
        let seconds = self.since.elapsed().saturating_sub(self.paused).as_secs_f64();
        self.rows as f64 / seconds.max(1e-9)
    }
}

impl<'a, E: Engine, L: Lesson<E>> Trainer<'a, E, L> {
    fn new(
        engine: &'a mut E,
        plan: &'a RunPlan<'a>,
        lesson: L,
        observers: &'a mut Observers,
    ) -> Result<Self, TrainError> {
        let settings = plan.settings;
        let keep = settings.keep_checkpoints();
        let average = settings.ema_decay().is_some();
        RunFolder::check_space(plan.run.path(), count_parameters(engine), keep, average)?;

        let mut warnings = Vec::new();
        let (mut state, resumed_from) = match resume(engine, plan, &mut warnings)? {
            Some((state, path)) => (state, Some(path)),
            None => (State::new(engine.arithmetic(), plan.fingerprint.clone()), None),
        };
        let arithmetic = engine.arithmetic();
        if state.arithmetic != arithmetic {
            warnings.push(format!(
                "the run was computed with {} so far, and now with {arithmetic}: the result will not be \
                 that of either alone, bit for bit",
                state.arithmetic
            ));
            state.arithmetic = arithmetic;
        }
        let mut saved = resumed_from.is_some().then_some(state.step);
        if state.best.is_some() && !plan.run.best().exists() {
            let gone = "the best model so far is gone: the next evaluation counts as best";
            warnings.push(gone.to_owned());
            (state.best, saved) = (None, None);
        }
        let log_path = plan.run.log();
        let log = JsonLog::open(&log_path, state.log_offset).map_err(failed("write", &log_path))?;
        let folder = plan.run.tensorboard();
        // An interrupted process may have told of steps that are now taken again.
        let void_from = if plan.resume { state.step + 1 } else { 0 };
        let scalars =
            ScalarWriter::create(&folder, void_from).map_err(failed("write to", &folder))?;

        let batch_plan = BatchPlan::new(plan.texts, settings);
        let steps_per_epoch = batch_plan.batches_per_epoch() as u64;
        let total_steps = settings.total_steps(steps_per_epoch);
        let mut trainer = Self {
            engine,
            plan,
            lesson,
            observers,
            log,
            scalars,
            schedule: Schedule::new(settings, total_steps),
            batch_plan,
            steps_per_epoch,
            saved,
            judged: None,
            saved_at: Instant::now(),
            state,
            order: None,
            batch: PackedBatch::new(),
            clock: Clock::new(),
        };
        for message in warnings {
            trainer.tell(&Event::Warning { message })?;
        }
        trainer.tell_start(resumed_from)?;
        Ok(trainer)
    }

    fn tell_start(&mut self, resumed_from: Option<PathBuf>) -> Result<(), TrainError> {
        let start = Start {
            step: self.state.step,
            resumed_from,
            prepared_seconds: self.plan.prepared_seconds,
            total_steps: self.schedule.total_steps,
            steps_per_epoch: self.steps_per_epoch,
            train_rows: self.plan.texts.len(),
            validation_rows: self.lesson.validation_rows(),
            parameters: count_parameters(self.engine),
            engine: self.engine.describe(),
            machine: machine(),
        };
        self.tell(&Event::Start(start))
    }

    /// Tells the log, TensorBoard and everybody else.
    fn tell(&mut self, event: &Event) -> Result<(), TrainError> {
        self.observers.event(event);
        let (log, folder) = (self.plan.run.log(), self.plan.run.tensorboard());
        self.log.write(event).map_err(failed("write", &log))?;
        self.scalars.write(event).map_err(failed("write to", &folder))?;
        Ok(())
    }

    fn run(&mut self) -> Result<Outcome, TrainError> {
        let total_steps = self.schedule.total_steps;
        while self.state.step < total_steps && !self.state.ended_early {
            self.step()?;
            let step = self.state.step;
            let due = self.plan.settings.evaluates_after(step, self.steps_per_epoch, total_steps);
            let resting = Instant::now();
            if due {
                self.evaluate()?;
            }
            let stop = self.plan.stop.load(Ordering::Relaxed);
            if stop || self.checkpoint_is_due(due) {
                self.checkpoint()?;
            }
            self.clock.paused += resting.elapsed();
            if stop && step < total_steps && !self.state.ended_early {
                self.tell(&Event::Stop { step, total_steps })?;
                return Ok(Outcome::Stopped { step, total_steps });
            }
        }
        self.finish()
    }

    /// Takes one optimizer step.
    fn step(&mut self) -> Result<(), TrainError> {
        let settings = self.plan.settings;
        let taken = self.state.step;
        let (epoch, position) = (taken / self.steps_per_epoch, taken % self.steps_per_epoch);
        let batches = match self.order.take() {
            Some((of, batches)) if of == epoch => batches,
            _ => self.batch_plan.epoch(epoch),
        };
        let rows = &batches[position as usize];
        let loss = self.accumulate(rows)?;
        if !loss.is_finite() {
            return Err(self.non_finite("loss", rows));
        }
        let learning_rate = self.schedule.learning_rate(taken);
        let report = self.engine.step(&settings.update(taken + 1, learning_rate));
        if !report.gradient_norm.is_finite() {
            return Err(self.non_finite("gradient norm", rows));
        }
        let num_rows = rows.len();
        self.order = Some((epoch, batches));

        let state = &mut self.state;
        state.step = taken + 1;
        state.window_loss += loss;
        state.window_steps += 1;
        self.clock.rows += num_rows;
        let tick = Tick { step: taken + 1, loss, learning_rate, rows: num_rows };
        self.observers.event(&Event::Tick(tick));
        if tick.step.is_multiple_of(settings.recipe().log_every) {
            self.tell_window(learning_rate, report.gradient_norm)?;
        }
        Ok(())
    }

    /// Gathers the gradient of a step in micro-batches; returns its loss.
    fn accumulate(&mut self, rows: &[usize]) -> Result<f64, TrainError> {
        let mut randomness = Randomness {
            seed: self.plan.settings.seed(),
            step: self.state.step,
            first_token: 0,
            first_text: 0,
        };
        let mut loss = 0.0;
        for micro_batch in rows.chunks(self.plan.settings.micro_batch()) {
            self.batch.clear();
            for &row in micro_batch {
                self.batch.push(row, &self.plan.texts[row].ids);
            }
            let share = self.lesson.accumulate(self.engine, &self.batch, rows.len(), randomness);
            let step = self.state.step + 1;
            loss += share.map_err(|source| TrainError::Engine { step, source })?;
            randomness.first_token += self.batch.num_tokens() as u64;
            randomness.first_text += self.batch.num_texts() as u64;
        }
        Ok(loss)
    }

    fn non_finite(&self, what: &'static str, rows: &[usize]) -> TrainError {
        let lines = self.plan.lines;
        TrainError::NonFinite {
            what,
            step: self.state.step + 1,
            rows: rows.to_vec(),
            lines: rows.iter().filter_map(|&row| lines.get(row).copied()).collect(),
        }
    }

    /// Writes the log's line on the steps since its last one.
    fn tell_window(&mut self, learning_rate: f64, gradient_norm: f64) -> Result<(), TrainError> {
        let window = Window {
            step: self.state.step,
            epoch: self.epochs_passed(),
            loss: self.state.window_loss / self.state.window_steps as f64,
            learning_rate,
            gradient_norm,
            samples_per_second: self.clock.samples_per_second(),
        };
        self.state.window_loss = 0.0;
        self.state.window_steps = 0;
        self.clock = Clock::new();
        self.tell(&Event::Step(window))
    }

    fn epochs_passed(&self) -> f64 {
        self.state.step as f64 / self.steps_per_epoch as f64
    }

    /// Judges the validation split, keeps the model if it is the best, and sees whether it is time
    /// to end.
    fn evaluate(&mut self) -> Result<(), TrainError> {
        let Some(rows) = self.lesson.validation_rows() else { return Ok(()) };
        let settings = self.plan.settings;
        let (step, metric) = (self.state.step, settings.recipe().metric);
        self.tell(&Event::Evaluating { step, rows })?;
        let begun = Instant::now();
        self.engine.infer_with_average(settings.ema_decay().is_some());
        let verdict = self.lesson.judge(self.engine);
        self.judged = Some(step);
        self.engine.infer_with_average(false);
        let Verdict { value, metrics } =
            verdict.map_err(|source| TrainError::Judge { step, source })?;

        let best = metric.improves(value, self.state.best.map(|best| best.value));
        let judged = Judged {
            step,
            epoch: self.epochs_passed(),
            metric: metric.name(),
            value,
            best,
            metrics,
            seconds: begun.elapsed().as_secs_f64(),
        };
        if best {
            self.plan.run.check_held()?;
            self.lesson.save_model(self.engine, &self.plan.run.best())?;
            self.state.best = Some(Best { step, value });
            self.state.evaluations_without_improvement = 0;
        } else {
            self.state.evaluations_without_improvement += 1;
        }
        let waited = self.state.evaluations_without_improvement;
        self.state.ended_early |=
            settings.early_stopping_patience().is_some_and(|patience| waited >= patience);
        self.tell(&Event::Evaluation(judged))
    }

    fn checkpoint_is_due(&self, evaluated: bool) -> bool {
        let minutes = self.plan.settings.recipe().checkpoint_minutes;
        let overdue = minutes > 0.0 && self.saved_at.elapsed().as_secs_f64() >= 60.0 * minutes;
        overdue || self.plan.settings.checkpoints_after(self.state.step, evaluated)
    }

    /// Writes a checkpoint of the step just taken, unless there is one, and then removes old ones.
    fn checkpoint(&mut self) -> Result<(), TrainError> {
        let step = self.state.step;
        if self.saved == Some(step) {
            return Ok(());
        }
        let log = self.plan.run.log();
        self.state.log_offset = self.log.sync().map_err(failed("write", &log))?;
        self.plan.run.check_held()?;
        let folder = self.plan.run.checkpoints();
        let path = checkpoint::write(&folder, self.engine, &self.state)?;
        self.saved = Some(step);
        checkpoint::prune(&folder, self.plan.settings.keep_checkpoints())?;
        self.saved_at = Instant::now();
        self.tell(&Event::Checkpoint { step, path })
    }

    fn finish(&mut self) -> Result<Outcome, TrainError> {
        // Of a run that had ended before, and whose model is gone, nothing here was judged yet.
        if self.state.best.is_none() && self.judged != Some(self.state.step) {
            self.evaluate()?;
        }
        self.checkpoint()?;
        let model = self.plan.run.best();
        // Without a validation split, or a single evaluation that came to a number.
        if self.state.best.is_none() {
            self.plan.run.check_held()?;
            self.lesson.save_model(self.engine, &model)?;
        }
        let finish = Finish {
            step: self.state.step,
            early: self.state.ended_early,
            best_step: self.state.best.map(|best| best.step),
            metric: self.plan.settings.recipe().metric.name(),
            best_value: self.state.best.map(|best| best.value),
            model,
        };
        self.tell(&Event::Finish(finish.clone()))?;
        let log = self.plan.run.log();
        self.log.sync().map_err(failed("write", &log))?;
        Ok(Outcome::Finished(finish))
    }
}

impl<'a> SplitView<'a> {
    /// The targets of a row; (C).
    pub(crate) fn row(&self, row: usize, num_labels: usize) -> &'a [f32] {
        &self.targets[row * num_labels..(row + 1) * num_labels]
    }
}

fn count_parameters<E: Engine>(engine: &E) -> usize {
    engine.config().parameters(engine.num_labels()).iter().map(|spec| spec.len()).sum()
}

/// Checks what later code takes for granted.
fn check_splits(num_labels: usize, inputs: &TrainInputs<'_>) -> Result<(), TrainError> {
    let labels = inputs.labels.len();
    if num_labels != labels {
        return Err(TrainError::Labels { engine: num_labels, labels });
    }
    let splits = [("training", Some(inputs.train)), ("validation", inputs.validation)];
    for (name, split) in splits {
        let Some(split) = split else { continue };
        let rows = split.texts.len();
        if rows == 0 {
            return Err(TrainError::Empty { split: name });
        }
        if split.targets.len() != rows * labels {
            let found = split.targets.len();
            return Err(TrainError::Targets { split: name, found, rows, labels });
        }
    }
    Ok(())
}

fn full_fingerprint<E: Engine>(engine: &E, inputs: &TrainInputs<'_>) -> BTreeMap<String, String> {
    let mut all = fingerprint::of_settings(inputs.settings, engine.config(), inputs.labels);
    all.extend(inputs.identity.iter().map(|(name, value)| (name.clone(), value.clone())));
    let splits = [("data.train", Some(inputs.train)), ("data.validation", inputs.validation)];
    for (name, split) in splits {
        let Some(split) = split else { continue };
        all.insert(name.to_owned(), fingerprint::of_split(split.texts.iter(), split.targets));
    }
    all
}

/// Brings the engine to where the newest whole checkpoint stood.
fn resume<E: Engine>(
    engine: &mut E,
    plan: &RunPlan<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<(State, PathBuf)>, TrainError> {
    if !plan.resume {
        return Ok(None);
    }
    let newest = plan.run.take_checkpoint(&mut |warning| warnings.push(warning))?;
    let Some(found) = newest else {
        warnings.push("there is no checkpoint yet: training begins at the beginning".to_owned());
        return Ok(None);
    };
    if let Some((field, saved, now)) =
        fingerprint::difference(&found.state.fingerprint, &plan.fingerprint)
    {
        return Err(match field.strip_prefix("data") {
            Some(split) => TrainError::OtherData {
                split: split.strip_prefix('.').unwrap_or("the texts").to_owned(),
            },
            None => TrainError::Different { field, saved, now },
        });
    }
    // Parameters come first in the list, since loading them forgets the rest.
    for (set, tensors) in &found.tensors {
        let loaded = engine.load_tensors(*set, tensors);
        loaded.map_err(|source| TrainError::Engine { step: found.state.step, source })?;
    }
    Ok(Some((found.state, found.path)))
}
