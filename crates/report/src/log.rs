//! `log.jsonl` read back, whatever state it is in: a run may still be going, a kill may have torn a
//! line, a disk may have lost some. Lines that cannot be read are counted and passed over.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tinymood_weights::regular;

/// Longer lines are not ours.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Points of a plotted curve: more cannot be told apart.
const MAX_POINTS: usize = 240;

/// One process's share of a run: from its start until it ended or the next one resumed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Session {
    /// When it began: seconds since 1970, UTC.
    pub time: f64,
    /// Wall-clock seconds until its last line, preparation included where the log says it.
    pub seconds: f64,
    /// Of these, seconds before training: teachers' labels and the classifier's start.
    pub prepared_seconds: Option<f64>,
    /// Steps taken before it; above 0 when resumed.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: Option<u64>,
    /// Steps of an epoch.
    pub steps_per_epoch: Option<u64>,
    /// Rows of the training split.
    pub train_rows: Option<u64>,
    /// Rows of the validation split.
    pub validation_rows: Option<u64>,
    /// Trainable numbers of the model.
    pub parameters: Option<u64>,
    /// What computes and how.
    pub engine: Option<String>,
    /// On which machine.
    pub machine: Option<String>,
}

/// Several steps in a row; what is no number is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Steps taken so far.
    pub step: u64,
    /// Mean loss.
    pub loss: Option<f64>,
    /// Learning rate.
    pub learning_rate: Option<f64>,
    /// Gradient norm before clipping.
    pub gradient_norm: Option<f64>,
    /// Texts trained on a second.
    pub samples_per_second: Option<f64>,
}

/// An evaluation on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationPoint {
    /// Steps taken so far.
    pub step: u64,
    /// Whether it was the best so far.
    pub best: bool,
    /// By name; what is no number is left out.
    pub metrics: Map<String, Value>,
}

impl EvaluationPoint {
    /// A metric's value.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).and_then(Value::as_f64)
    }
}

/// How a run ended, as far as the log says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum End {
    /// The log has no end: the run is going on, or was cut off.
    #[default]
    Open,
    /// All steps were taken, or training ended early for lack of improvement.
    Finished {
        /// Before its last step.
        early: bool,
        /// Step of the best evaluation.
        best_step: Option<u64>,
    },
    /// It was asked to stop, and can be resumed.
    Stopped,
    /// Something went wrong.
    Failed {
        /// What it was.
        message: String,
    },
}

/// What a log says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainingLog {
    /// Processes that trained, in their order.
    pub sessions: Vec<Session>,
    /// At most 240, each the mean of as many lines as that takes.
    pub steps: Vec<StepPoint>,
    /// All of them.
    pub evaluations: Vec<EvaluationPoint>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How it ended.
    pub end: End,
    /// Steps taken, as far as the log says.
    pub last_step: u64,
    /// When the last line was written: seconds since 1970, UTC.
    pub last_time: Option<f64>,
    /// Lines that could not be read.
    pub damaged_lines: usize,
}

#[derive(Deserialize)]
struct Line {
    time: Option<f64>,
    #[serde(flatten)]
    event: LineEvent,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum LineEvent {
    Start {
        step: u64,
        prepared_seconds: Option<f64>,
        total_steps: Option<u64>,
        steps_per_epoch: Option<u64>,
        train_rows: Option<u64>,
        validation_rows: Option<u64>,
        parameters: Option<u64>,
        engine: Option<String>,
        machine: Option<String>,
    },
    Step(StepPoint),
    Evaluation {
        step: u64,
        #[serde(default)]
        best: bool,
        #[serde(default)]
        metrics: Map<String, Value>,
    },
    Warning {
        message: String,
    },
    Stop {
        step: u64,
    },
    Failure {
        message: String,
    },
    Finish {
        step: u64,
        #[serde(default)]
        early: bool,
        best_step: Option<u64>,
    },
    /// Of no use here, or of a later version.
    #[serde(other)]
    Other,
}

impl TrainingLog {
    /// Reads a log. Only a file that cannot be read at all is an error.
    ///
    /// # Errors
    /// When there is no file, or the disk fails.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::from_lines(BufReader::new(regular::open(path)?))
    }

    fn from_lines(mut reader: impl BufRead) -> io::Result<Self> {
        let mut log = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = io::Read::take(&mut reader, MAX_LINE_BYTES);
            if limited.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match serde_json::from_slice(text) {
                Ok(line) => log.take(line),
                Err(_) => log.damaged_lines += 1,
            }
        }
        log.steps = thinned(&log.steps, MAX_POINTS);
        Ok(log)
    }

    fn take(&mut self, Line { time, event }: Line) {
        let time = time.filter(|time| time.is_finite());
        self.last_time = time.or(self.last_time);
        if let LineEvent::Start { step, prepared_seconds, .. } = event {
            // What a killed process told of steps that are taken again.
            self.steps.retain(|point| point.step <= step);
            self.evaluations.retain(|point| point.step <= step);
            let prepared_seconds = prepared_seconds.filter(|seconds| (0.0..1e9).contains(seconds));
            let time = time.or(self.last_time).unwrap_or_default();
            let time = milliseconds(time - prepared_seconds.unwrap_or_default());
            self.sessions.push(Session { time, prepared_seconds, ..Session::default() });
            self.end = End::Open;
            self.last_step = step;
        }
        if let (Some(time), Some(session)) = (time, self.sessions.last_mut()) {
            session.seconds = session.seconds.max(milliseconds(time - session.time));
        }
        self.note(event);
    }

    fn note(&mut self, event: LineEvent) {
        match event {
            LineEvent::Start {
                step,
                prepared_seconds: _,
                total_steps,
                steps_per_epoch,
                train_rows,
                validation_rows,
                parameters,
                engine,
                machine,
            } => {
                let Some(session) = self.sessions.last_mut() else { return };
                let Session { time, seconds, prepared_seconds, .. } = *session;
                *session = Session {
                    time,
                    seconds,
                    prepared_seconds,
                    step,
                    total_steps,
                    steps_per_epoch,
                    train_rows,
                    validation_rows,
                    parameters,
                    engine,
                    machine,
                };
            }
            LineEvent::Step(point) => {
                self.last_step = self.last_step.max(point.step);
                self.steps.push(point);
            }
            LineEvent::Evaluation { step, best, mut metrics } => {
                self.last_step = self.last_step.max(step);
                metrics.retain(|_, value| value.is_number());
                self.evaluations.push(EvaluationPoint { step, best, metrics });
            }
            LineEvent::Warning { message } => self.warnings.push(message),
            LineEvent::Stop { step } => {
                self.last_step = self.last_step.max(step);
                self.end = End::Stopped;
            }
            LineEvent::Failure { message } => self.end = End::Failed { message },
            LineEvent::Finish { step, early, best_step } => {
                self.last_step = self.last_step.max(step);
                self.end = End::Finished { early, best_step };
            }
            LineEvent::Other => {}
        }
    }

    /// Wall-clock seconds of all sessions.
    pub fn seconds(&self) -> f64 {
        milliseconds(self.sessions.iter().map(|session| session.seconds).sum())
    }

    /// Passes over the training rows that the steps taken make.
    pub fn epochs(&self) -> Option<f64> {
        let steps_per_epoch = self.sessions.last()?.steps_per_epoch.filter(|&steps| steps > 0)?;
        Some(self.last_step as f64 / steps_per_epoch as f64)
    }

    /// Wall-clock seconds before training, of all sessions; `None` where no line says them.
    pub fn prepared_seconds(&self) -> Option<f64> {
        let told = self.sessions.iter().filter_map(|session| session.prepared_seconds);
        told.reduce(|sum, seconds| sum + seconds)
    }

    /// Whether the run is known to have had no validation split.
    pub fn has_no_validation(&self) -> bool {
        self.sessions
            .last()
            .is_some_and(|last| last.train_rows.is_some() && last.validation_rows.is_none())
    }

    /// Median of the texts trained on a second.
    pub fn samples_per_second(&self) -> Option<f64> {
        let speeds = self.steps.iter().filter_map(|point| point.samples_per_second);
        let mut speeds: Vec<f64> = speeds.collect();
        speeds.sort_unstable_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied()
    }
}

/// Seconds to the millisecond, as the log has them: differences of times have digits that nobody measured.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// At most `most` points, each the mean of neighbours.
fn thinned(points: &[StepPoint], most: usize) -> Vec<StepPoint> {
    if points.len() <= most {
        return points.to_vec();
    }
    let mean = |points: &[StepPoint], value: fn(&StepPoint) -> Option<f64>| {
        let values: Vec<f64> = points.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let bounds = |index: usize| index * points.len() / most;
    let merged = (0..most).map(|index| {
        let group = &points[bounds(index)..bounds(index + 1)];
        StepPoint {
            step: group[group.len() - 1].step,
            loss: mean(group, |point| point.loss),
            learning_rate: mean(group, |point| point.learning_rate),
            gradient_norm: mean(group, |point| point.gradient_norm),
            samples_per_second: mean(group, |point| point.samples_per_second),
        }
    });
    merged.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> TrainingLog {
        TrainingLog::from_lines(text.as_bytes()).unwrap()
    }

    const START: &str =
        r#"{"time":100.0,"event":"start","step":0,"total_steps":40,"train_rows":9}"#;

    #[test]
    fn torn_and_foreign_lines_are_counted_and_passed_over() {
        let log = read(&format!(
            "{START}\n{}\nnot json\n{}\n{}\n{}",
            r#"{"time":101,"event":"step","step":10,"loss":null,"learning_rate":1e-4}"#,
            r#"{"time":102,"event":"from the future","step":[]}"#,
            r#"{"time":104.5,"event":"evaluation","step":20,"metrics":{"macro_f1":null,"micro_f1":0.5}}"#,
            r#"{"time":105,"event":"step","st"#,
        ));
        assert_eq!(log.damaged_lines, 2);
        assert_eq!((log.steps.len(), log.steps[0].loss), (1, None));
        assert_eq!(log.evaluations[0].metric("macro_f1"), None);
        assert_eq!(log.evaluations[0].metric("micro_f1"), Some(0.5));
        assert_eq!((log.end.clone(), log.last_step, log.seconds()), (End::Open, 20, 4.5));
        assert_eq!(log.sessions[0].total_steps, Some(40));
    }

    #[test]
    fn a_resumed_run_has_each_step_once_and_its_pauses_do_not_count() {
        let log = read(&format!(
            "{START}\n{}\n{}\n{}\n{}\n{}",
            r#"{"time":110,"event":"step","step":10,"loss":1}"#,
            r#"{"time":120,"event":"step","step":20,"loss":9}"#,
            r#"{"time":900,"event":"start","step":10}"#,
            r#"{"time":905,"event":"step","step":20,"loss":2}"#,
            r#"{"time":906,"event":"finish","step":20,"early":true,"best_step":10}"#,
        ));
        let losses: Vec<_> = log.steps.iter().map(|point| (point.step, point.loss)).collect();
        assert_eq!(losses, [(10, Some(1.0)), (20, Some(2.0))]);
        assert_eq!(log.seconds(), 26.0);
        assert_eq!(log.end, End::Finished { early: true, best_step: Some(10) });
    }

    #[test]
    fn time_includes_what_came_before_the_first_step() {
        let start = r#"{"time":1796127903.912,"event":"start","step":0,"prepared_seconds":40.5,"steps_per_epoch":3}"#;
        let step = r#"{"time":1796127904.723,"event":"step","step":5}"#;
        let log = read(&format!("{start}\n{step}\n"));
        assert_eq!((log.seconds(), log.prepared_seconds()), (41.311, Some(40.5)));
        assert_eq!(log.sessions[0].time, 1_796_127_863.412);
        assert_eq!(log.epochs(), Some(5.0 / 3.0));
        // A log of an earlier version does not say.
        let log = read(&format!("{}\n{step}\n", start.replace("prepared_seconds", "x")));
        assert_eq!((log.seconds(), log.prepared_seconds()), (0.811, None));
    }

    #[test]
    fn long_curves_become_means_of_neighbours() {
        let point = |step: u64| StepPoint {
            step,
            loss: (step != 3).then_some(step as f64),
            learning_rate: None,
            gradient_norm: None,
            samples_per_second: None,
        };
        let points: Vec<_> = (1..=7).map(point).collect();
        let thin = thinned(&points, 3);
        // 1 2 | 3 4 | 5 6 7, and the loss of 3 is no number.
        let found: Vec<_> = thin.iter().map(|point| (point.step, point.loss)).collect();
        assert_eq!(found, [(2, Some(1.5)), (4, Some(4.0)), (7, Some(6.0))]);
        assert_eq!(thinned(&points, 7), points);
    }

    proptest! {
        #[test]
        fn no_log_panics(lines in prop::collection::vec("(\\{\"event\":\"(start|step|finish)\",\"step\":-?[0-9]{1,30}(,\"time\":[0-9e]{1,5})?\\}|\\PC{0,20})", 0..8)) {
            read(&lines.join("\n"));
        }
    }
}
