//! Progress of work outside of the training loop: how many texts or bytes of how many are done.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};

use super::progress::{ProgressStyle, RHYTHM, clock};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Texts,
    Bytes,
}

impl Unit {
    /// How the bar counts.
    fn template(self) -> &'static str {
        match self {
            Self::Texts => "{wide_bar} {pos}/{len} · {msg}",
            Self::Bytes => "{wide_bar} {decimal_bytes}/{decimal_total_bytes} · {msg}",
        }
    }

    fn of(self, done: usize, total: usize) -> String {
        match self {
            Self::Texts => format!("{done}/{total}"),
            Self::Bytes => format!("{:.1}/{:.1} MB", done as f64 / 1e6, total as f64 / 1e6),
        }
    }

    fn speed(self, per_second: f64) -> String {
        match self {
            Self::Texts => format!("{per_second:.0} texts/s"),
            Self::Bytes => format!("{:.1} MB/s", per_second / 1e6),
        }
    }
}

/// Counts texts or bytes for people, on standard error: as a bar, as plain lines now and then, or not at all.
pub struct Meter {
    style: ProgressStyle,
    unit: Unit,
    what: String,
    total: usize,
    begun: Instant,
    /// What was done before.
    before: usize,
    last_line: Instant,
    bar: Option<ProgressBar>,
    out: Box<dyn Write>,
}

impl Meter {
    /// A meter of `total` texts; `what` says what is done to them.
    pub fn new(style: ProgressStyle, what: &str, total: usize) -> Self {
        Self::counting(Unit::Texts, style, what, total)
    }

    /// A meter of `total` bytes; `what` says what is done to them.
    pub fn of_bytes(style: ProgressStyle, what: &str, total: usize) -> Self {
        Self::counting(Unit::Bytes, style, what, total)
    }

    fn counting(unit: Unit, style: ProgressStyle, what: &str, total: usize) -> Self {
        let mut meter = Self::to(unit, style, what, total, Box::new(std::io::stderr()));
        if style == ProgressStyle::Bar {
            let target = ProgressDrawTarget::stderr_with_hz(8);
            let bar = ProgressBar::with_draw_target(Some(total as u64), target);
            if let Ok(style) = BarStyle::with_template(unit.template()) {
                bar.set_style(style);
            }
            meter.bar = Some(bar);
        }
        meter
    }

    /// A meter whose lines go to `out`.
    fn to(unit: Unit, style: ProgressStyle, what: &str, total: usize, out: Box<dyn Write>) -> Self {
        let (what, now) = (what.to_owned(), Instant::now());
        Self { style, unit, what, total, begun: now, before: 0, last_line: now, bar: None, out }
    }

    /// The meter of a work of which `done` were done before.
    pub fn after(mut self, done: usize) -> Self {
        self.before = done;
        self
    }

    /// Says that `done` are done by now.
    pub fn set(&mut self, done: usize) {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let speed = done.saturating_sub(self.before) as f64 / seconds;
        let left = clock(self.total.saturating_sub(done) as f64 / speed.max(1e-9));
        let speed = self.unit.speed(speed);
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(format!("{} · {speed} · {left} left", self.what));
        } else if self.style == ProgressStyle::Lines && self.last_line.elapsed() >= RHYTHM {
            self.last_line = Instant::now();
            let (what, done) = (&self.what, self.unit.of(done, self.total));
            self.say(&format!("{what}: {done} · {speed} · {left} left"));
        }
    }

    /// Takes the bar away and says how long the texts took.
    pub fn finish(mut self) {
        let took = self.begun.elapsed();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.style != ProgressStyle::Quiet {
            let total = self.total - self.before.min(self.total);
            let speed = total as f64 / took.max(Duration::from_micros(1)).as_secs_f64();
            let (what, took) = (&self.what, clock(took.as_secs_f64()));
            self.say(&format!("{what}: {total} texts in {took}, {speed:.0} texts/s"));
        }
    }

    /// Takes the bar away; the work is not done.
    pub fn stop(mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&mut self, line: &str) {
        // A closed standard error is no reason to stop working.
        let _ = writeln!(self.out, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Said(Rc<RefCell<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_done_before_makes_no_speed() {
        let said = Said::default();
        let to = Box::new(said.clone());
        let style = ProgressStyle::Lines;
        let mut meter = Meter::to(Unit::Texts, style, "labelling", 100, to).after(40);
        let ago = RHYTHM + Duration::from_secs(1);
        meter.last_line = Instant::now().checked_sub(ago).unwrap();
        meter.begun = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        meter.set(60);
        meter.finish();
        let text = String::from_utf8(said.0.borrow().clone()).unwrap();
        assert!(text.starts_with("labelling: 60/100 · 2 texts/s · "), "{text}");
        assert!(text.contains("labelling: 60 texts in "), "{text}");
    }

    #[test]
    fn bytes_are_counted_in_megabytes() {
        let said = Said::default();
        let out = Box::new(said.clone());
        let mut meter = Meter::to(Unit::Bytes, ProgressStyle::Lines, "weights", 57_400_000, out);
        meter.last_line = Instant::now().checked_sub(2 * RHYTHM).unwrap();
        meter.begun = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        meter.set(12_340_000);
        meter.stop();
        let text = String::from_utf8(said.0.borrow().clone()).unwrap();
        assert!(text.starts_with("weights: 12.3/57.4 MB · 1.2 MB/s · "), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn lines_come_in_their_rhythm_and_not_at_all_when_quiet() {
        for (style, expected) in [(ProgressStyle::Lines, 2), (ProgressStyle::Quiet, 0)] {
            let said = Said::default();
            let out = Box::new(said.clone());
            let mut meter = Meter::to(Unit::Texts, style, "labelling", 100, out);
            meter.set(10);
            let ago = RHYTHM + Duration::from_secs(1);
            meter.last_line = Instant::now().checked_sub(ago).unwrap();
            meter.begun = meter.last_line;
            meter.set(50);
            meter.set(60);
            meter.finish();
            let text = String::from_utf8(said.0.borrow().clone()).unwrap();
            assert_eq!(text.lines().count(), expected, "{text}");
            if expected > 0 {
                let lines: Vec<&str> = text.lines().collect();
                assert!(lines[0].starts_with("labelling: 50/100 · 5 texts/s · "), "{text}");
                assert!(lines[1].starts_with("labelling: 100 texts in "), "{text}");
            }
        }
    }
}
