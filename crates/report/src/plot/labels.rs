//! A row for each label: figures as points with their intervals, counts as bars.

use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::{
    Area, Drawn, GRID, INK, MUTED, SURFACE, disc, draw, line, rectangle, shortened, solid, text,
    ticks,
};
use crate::error::ReportError;

const WIDTH: f64 = 440.0;
/// Where rows begin, behind their names.
const LEFT: f64 = 128.0;
const RIGHT: f64 = 12.0;
const ROW: f64 = 17.0;
const TOP: f64 = 4.0;
const BOTTOM: f64 = 38.0;
/// Characters of a name that have room.
const NAME: usize = 19;

/// Values from 0 to 1 by label, of one or several runs.
pub(crate) struct Dots<'a> {
    /// What a screen reader says.
    pub(crate) title: &'a str,
    /// What is to the right.
    pub(crate) x_name: &'a str,
    /// The labels, from the top.
    pub(crate) names: Vec<&'a str>,
    /// A value and its interval for each label; one list for each run.
    pub(crate) runs: Vec<Vec<(f64, Option<[f64; 2]>)>>,
}

/// Values from 0 by label, of one or several splits.
pub(crate) struct Bars<'a> {
    /// What a screen reader says.
    pub(crate) title: &'a str,
    /// What is to the right.
    pub(crate) x_name: &'a str,
    /// The labels, from the top.
    pub(crate) names: Vec<&'a str>,
    /// A value for each label; one list for each split.
    pub(crate) splits: Vec<Vec<f64>>,
    pub(crate) x_label: fn(f64) -> String,
}

/// Rows under one another, and an axis below them.
struct Frame {
    row: f64,
    height: f64,
    high: f64,
}

impl Frame {
    fn new(rows: usize, per_row: usize, high: f64) -> Self {
        let row = ROW + 6.0 * per_row.saturating_sub(2) as f64;
        Self { row, height: TOP + row * rows as f64 + BOTTOM, high }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (value / self.high).clamp(0.0, 1.0)
    }

    fn middle(&self, row: usize) -> f64 {
        TOP + self.row * (row as f64 + 0.5)
    }

    fn draw(
        &self,
        area: &Area<'_>,
        names: &[&str],
        x_name: &str,
        label: fn(f64) -> String,
    ) -> Drawn {
        let foot = self.height - BOTTOM;
        for tick in ticks(0.0, self.high, 5) {
            line(area, (self.x(tick), TOP), (self.x(tick), foot), &GRID, 1.0)?;
            text(area, (self.x(tick), foot + 10.0), &label(tick), 12.0, &MUTED, HPos::Center)?;
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        text(area, (middle, foot + 28.0), x_name, 12.0, &MUTED, HPos::Center)?;
        for (row, name) in names.iter().enumerate() {
            let place = (LEFT - 8.0, self.middle(row));
            text(area, place, &shortened(name, NAME), 12.0, &INK, HPos::Right)?;
        }
        Ok(())
    }
}

/// Draws points with intervals; `None` without labels.
pub(crate) fn dot_chart(chart: &Dots<'_>) -> Result<Option<String>, ReportError> {
    if chart.names.is_empty() {
        return Ok(None);
    }
    let frame = Frame::new(chart.names.len(), chart.runs.len(), 1.0);
    draw(chart.title, (WIDTH, frame.height), |area| {
        frame.draw(area, &chart.names, chart.x_name, |value| format!("{value:.1}"))?;
        let runs = chart.runs.len() as f64;
        for (run, values) in chart.runs.iter().enumerate() {
            // Several runs lie in lanes of their row.
            let lane = (run as f64 - (runs - 1.0) / 2.0) * (frame.row / (runs + 1.0));
            let color = solid(run);
            for (row, (value, interval)) in values.iter().enumerate() {
                let y = frame.middle(row) + lane;
                if let Some([low, high]) = interval {
                    line(area, (frame.x(*low), y), (frame.x(*high), y), &color, 2.0)?;
                }
                mark(area, (frame.x(*value), y), run, &color)?;
            }
        }
        Ok(())
    })
    .map(Some)
}

/// A run's mark: each has a shape of its own.
fn mark(area: &Area<'_>, (x, y): (f64, f64), run: usize, color: &RGBColor) -> Drawn {
    let square = |half: f64, color: &RGBColor| {
        rectangle(area, (x - half, y - half), (x + half, y + half), color)
    };
    match run % 4 {
        0 => disc(area, (x, y), 3.5, color),
        1 => square(3.0, color),
        2 => disc(area, (x, y), 3.5, color).and_then(|()| disc(area, (x, y), 1.8, &SURFACE)),
        _ => square(3.0, color).and_then(|()| square(1.5, &SURFACE)),
    }
}

/// Draws bars; `None` without labels.
pub(crate) fn bar_chart(chart: &Bars<'_>) -> Result<Option<String>, ReportError> {
    if chart.names.is_empty() {
        return Ok(None);
    }
    let highest = chart.splits.iter().flatten().copied().fold(0.0, f64::max);
    let high = if highest > 0.0 && highest.is_finite() { highest * 1.04 } else { 1.0 };
    let frame = Frame::new(chart.names.len(), chart.splits.len(), high);
    draw(chart.title, (WIDTH, frame.height), |area| {
        frame.draw(area, &chart.names, chart.x_name, chart.x_label)?;
        let lane = (frame.row - 5.0) / chart.splits.len() as f64;
        for (split, values) in chart.splits.iter().enumerate() {
            for (row, value) in values.iter().enumerate() {
                let top = frame.middle(row) - (frame.row - 5.0) / 2.0 + lane * split as f64;
                let corner = (frame.x(*value), top + lane - 0.5);
                rectangle(area, (frame.x(0.0), top), corner, &solid(split))?;
            }
        }
        Ok(())
    })
    .map(Some)
}
