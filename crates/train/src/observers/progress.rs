//! Progress for people, on standard error: a live bar on a terminal, plain lines elsewhere, or
//! nothing but warnings.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};

use crate::event::{Event, Observer, Start, Tick};

/// Plain lines come at most this often.
pub(super) const RHYTHM: Duration = Duration::from_secs(10);
/// Metrics that the line on an evaluation tells, beside the recipe's own.
const SHOWN: [&str; 3] = ["macro_f1", "micro_f1", "loss"];
/// How much of the shown loss is that of the last step.
const SMOOTHING: f64 = 0.05;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStyle {
    /// A bar that redraws itself.
    Bar,
    /// A line every ten seconds or so, and one for each evaluation.
    Lines,
    /// Warnings only.
    Quiet,
}

impl ProgressStyle {
    /// A bar if standard error is a terminal that can redraw, lines otherwise.
    pub fn detect() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !dumb { Self::Bar } else { Self::Lines }
    }
}

/// Shows progress.
pub struct Progress {
    style: ProgressStyle,
    bar: Option<ProgressBar>,
    out: Box<dyn Write>,
    total_steps: u64,
    steps_per_epoch: u64,
    /// Smoothed loss and speed.
    loss: Option<f64>,
    begun: Instant,
    first_step: u64,
    rows: usize,
    last_line: Option<Instant>,
    /// Time spent judging, which is no part of the speed.
    judging: Duration,
    judging_since: Option<Instant>,
}

impl Progress {
    /// Progress on standard error.
    pub fn new(style: ProgressStyle) -> Self {
        Self::to(style, Box::new(std::io::stderr()))
    }

    /// Progress as lines on `out`; a bar always goes to standard error.
    pub fn to(style: ProgressStyle, out: Box<dyn Write>) -> Self {
        Self {
            style,
            bar: None,
            out,
            total_steps: 0,
            steps_per_epoch: 1,
            loss: None,
            begun: Instant::now(),
            first_step: 0,
            rows: 0,
            last_line: None,
            judging: Duration::ZERO,
            judging_since: None,
        }
    }

    fn say(&mut self, line: &str) {
        match &self.bar {
            // Prints above the bar.
            Some(bar) => bar.println(line),
            // A closed standard error is no reason to stop training.
            None => drop(writeln!(self.out, "{line}")),
        }
    }

    fn start(&mut self, start: &Start) {
        self.total_steps = start.total_steps;
        self.steps_per_epoch = start.steps_per_epoch.max(1);
        self.begun = Instant::now();
        self.first_step = start.step;
        self.rows = 0;
        self.judging = Duration::ZERO;
        self.last_line = None;
        if self.style == ProgressStyle::Quiet {
            return;
        }
        if self.style == ProgressStyle::Bar {
            let bar = ProgressBar::with_draw_target(
                Some(start.total_steps),
                ProgressDrawTarget::stderr_with_hz(8),
            );
            let template = "{wide_bar} {pos}/{len} · {msg}";
            if let Ok(style) = BarStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_position(start.step);
            self.bar = Some(bar);
        }
        let validation = start
            .validation_rows
            .map_or_else(|| "no validation".to_owned(), |rows| format!("{rows} to validate"));
        let head = match &start.resumed_from {
            Some(path) => format!("resuming after step {} from {}", start.step, path.display()),
            None => "training".to_owned(),
        };
        self.say(&format!(
            "{head}: {} texts, {validation}, {} steps of which {} an epoch, {:.2} M parameters, {}",
            start.train_rows,
            start.total_steps,
            start.steps_per_epoch,
            start.parameters as f64 / 1e6,
            start.engine,
        ));
    }

    fn tick(&mut self, tick: &Tick) {
        self.rows += tick.rows;
        let loss = self.loss.map_or(tick.loss, |old| old + SMOOTHING * (tick.loss - old));
        self.loss = Some(loss);
        if self.style == ProgressStyle::Quiet {
            return;
        }
        let seconds = self.begun.elapsed().saturating_sub(self.judging).as_secs_f64().max(1e-9);
        let taken = tick.step.saturating_sub(self.first_step).max(1);
        let left = self.total_steps.saturating_sub(tick.step) as f64 * seconds / taken as f64;
        let speed = self.rows as f64 / seconds;
        let left = clock(left);
        if let Some(bar) = &self.bar {
            bar.set_position(tick.step);
            bar.set_message(format!("loss {loss:.4} · {speed:.0} texts/s · {left} left"));
            return;
        }
        let now = Instant::now();
        let due = self.last_line.is_none_or(|last| now.duration_since(last) >= RHYTHM);
        if due || tick.step == self.total_steps {
            self.last_line = Some(now);
            let epoch = tick.step as f64 / self.steps_per_epoch as f64;
            self.say(&format!(
                "step {}/{} · epoch {epoch:.2} · loss {loss:.4} · rate {:.2e} · {speed:.0} texts/s \
                 · {left} left",
                tick.step, self.total_steps, tick.learning_rate
            ));
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        let quiet = self.style == ProgressStyle::Quiet;
        match event {
            Event::Start(start) => self.start(start),
            Event::Tick(tick) => self.tick(tick),
            Event::Evaluating { rows, .. } => {
                self.judging_since = Some(Instant::now());
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("judging {rows} texts"));
                }
            }
            Event::Evaluation(judged) => {
                self.judging += self.judging_since.take().map_or(Duration::ZERO, |at| at.elapsed());
                if !quiet {
                    let shown = |name: &str| SHOWN.contains(&name) || name == judged.metric;
                    let metrics = judged.metrics.iter().filter(|(name, _)| shown(name));
                    let metrics = metrics.map(|(name, value)| format!("{name} {value:.4}"));
                    let metrics = metrics.collect::<Vec<_>>().join(" · ");
                    let best = if judged.best { " · best so far" } else { "" };
                    self.say(&format!(
                        "judged after step {} (epoch {:.2}): {metrics}{best}",
                        judged.step, judged.epoch
                    ));
                }
            }
            Event::Warning { message } => self.say(&format!("warning: {message}")),
            Event::Stop { step, total_steps } => {
                self.close();
                if !quiet {
                    self.say(&format!(
                        "stopped after step {step} of {total_steps}, checkpoint saved"
                    ));
                }
            }
            Event::Failure { .. } => self.close(), // the caller prints the error
            Event::Finish(finish) => {
                self.close();
                if !quiet {
                    let early = if finish.early { " early, without improvement," } else { "" };
                    let best = match (finish.best_step, finish.best_value) {
                        (Some(step), Some(value)) => {
                            format!("; best after step {step}: {} {value:.4}", finish.metric)
                        }
                        _ => String::new(),
                    };
                    let (step, model) = (finish.step, finish.model.display());
                    self.say(&format!("finished{early} after step {step}{best}; model in {model}"));
                }
            }
            Event::Step(_) | Event::Checkpoint { .. } => {}
        }
    }
}

impl Progress {
    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Seconds as `h:mm:ss` or `m:ss`.
pub(super) fn clock(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.max(0.0) as u64 } else { 0 };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event::{Finish, Judged};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a run of 1,000 fast steps and one evaluation shows.
    fn shown(style: ProgressStyle) -> Vec<String> {
        let buffer = Buffer::default();
        let mut progress = Progress::to(style, Box::new(buffer.clone()));
        progress.event(&Event::Start(Start {
            step: 0,
            resumed_from: None,
            prepared_seconds: 0.0,
            total_steps: 1000,
            steps_per_epoch: 500,
            train_rows: 16_000,
            validation_rows: Some(100),
            parameters: 14_360_000,
            engine: "fake".to_owned(),
            machine: "machine".to_owned(),
        }));
        for step in 1..=1000 {
            progress.event(&Event::Tick(Tick { step, loss: 0.5, learning_rate: 2e-4, rows: 32 }));
        }
        progress.event(&Event::Evaluating { step: 1000, rows: 100 });
        progress.event(&Event::Evaluation(Judged {
            step: 1000,
            epoch: 2.0,
            metric: "macro_f1",
            value: 0.5,
            best: true,
            metrics: vec![("macro_f1", 0.5), ("samples_f1", 0.75), ("loss", 0.25)],
            seconds: 0.0,
        }));
        progress.event(&Event::Warning { message: "careful".to_owned() });
        progress.event(&Event::Finish(Finish {
            step: 1000,
            early: false,
            best_step: Some(1000),
            metric: "macro_f1",
            best_value: Some(0.5),
            model: "runs/x/best".into(),
        }));
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_come_at_a_calm_rhythm() {
        let lines = shown(ProgressStyle::Lines);
        // On a slow machine the steps may take more than one rhythm; far fewer than 1,000 anyway.
        assert!((6..50).contains(&lines.len()), "{lines:#?}");
        assert!(lines[0].contains("16000 texts") && lines[0].contains("14.36 M"), "{}", lines[0]);
        assert!(lines[1].starts_with("step 1/1000 ") && lines[1].contains("loss 0.5000"));
        let end = &lines[lines.len() - 4..];
        assert!(end[0].starts_with("step 1000/1000 · epoch 2.00"), "{end:?}");
        assert_eq!(
            end[1],
            "judged after step 1000 (epoch 2.00): macro_f1 0.5000 · loss 0.2500 · best so far"
        );
        assert_eq!(end[2], "warning: careful");
        assert!(end[3].ends_with("macro_f1 0.5000; model in runs/x/best"), "{end:?}");
    }

    #[test]
    fn quiet_says_warnings_only() {
        assert_eq!(shown(ProgressStyle::Quiet), ["warning: careful"]);
    }

    #[test]
    fn time_reads_as_time() {
        assert_eq!(clock(59.9), "0:59");
        assert_eq!(clock(3725.0), "1:02:05");
        assert_eq!(clock(f64::INFINITY), "0:00");
    }
}
