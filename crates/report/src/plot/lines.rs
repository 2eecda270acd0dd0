//! Curves over steps.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::{Drawn, GRID, MUTED, SURFACE, draw, font, px, series, solid, ticks, width};
use crate::error::ReportError;

const SIZE: (f64, f64) = (440.0, 250.0);
/// What the upward axis takes for its name, written upwards, and the gaps beside it.
const NAME_WIDTH: f64 = 30.0;
/// What it takes for a digit of a tick's label.
const DIGIT_WIDTH: f64 = 7.0;

/// A curve.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Points, of which those that are no numbers leave a gap.
    pub(crate) points: Vec<(f64, f64)>,
    /// Which of the colours and dashes.
    pub(crate) style: usize,
    /// Whether each point is marked: few of them, taken at a time.
    pub(crate) marked: bool,
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// From 0.
    FromZero,
    /// From a little below the lowest value.
    Near,
    /// By factors.
    Logarithmic,
}

/// Curves in one frame.
pub(crate) struct LineChart<'a> {
    /// What a screen reader says.
    pub(crate) title: &'a str,
    /// What is to the right.
    pub(crate) x_name: &'a str,
    /// What is upwards.
    pub(crate) y_name: &'a str,
    pub(crate) y_axis: Axis,
    /// A value's name on the axis; without one it has as many decimals as tell the ticks apart.
    pub(crate) y_label: Option<fn(f64) -> String>,
    pub(crate) series: Vec<Series>,
    /// Places to the right that are marked by a line.
    pub(crate) marks: Vec<f64>,
}

/// An axis with its ticks where they are wanted.
#[derive(Clone)]
struct Ticked {
    range: (f64, f64),
    ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (low, high) = self.range;
        let share = (value - low) / (high - low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.0..self.range.1
    }
}

/// Draws curves; `None` where no point is a number.
pub(crate) fn line_chart(chart: &LineChart<'_>) -> Result<Option<String>, ReportError> {
    let points = chart.series.iter().flat_map(|series| &series.points);
    let is_shown = |point: &&(f64, f64)| is_shown(**point, chart.y_axis);
    let finite: Vec<(f64, f64)> = points.filter(is_shown).copied().collect();
    if finite.is_empty() {
        return Ok(None);
    }
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let x_bounds = bounds(&mut finite.iter().map(|point| point.0));
    let y_bounds = bounds(&mut finite.iter().map(|point| scaled(point.1, chart.y_axis)));
    let x = x_axis(x_bounds);
    let y = y_axis(y_bounds, chart.y_axis);
    let places = decimals(&y.ticks);
    let y_label = |value: &f64| {
        let value = unscaled(*value, chart.y_axis);
        chart.y_label.map_or_else(|| format!("{value:.places$}"), |label| label(value))
    };
    let widest = y.ticks.iter().map(|tick| y_label(tick).chars().count()).max().unwrap_or(0);
    draw(chart.title, SIZE, |area| {
        let mut context = ChartBuilder::on(area)
            .margin(px(6.0))
            .margin_right(px(16.0))
            .x_label_area_size(px(38.0))
            .y_label_area_size(px(NAME_WIDTH + DIGIT_WIDTH * widest as f64))
            .build_cartesian_2d(x.clone(), y.clone())?;
        context
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(width(1.0)))
            .axis_style(GRID.stroke_width(width(1.0)))
            .label_style(font(12.0, &MUTED))
            .axis_desc_style(font(12.0, &MUTED))
            .set_all_tick_mark_size(px(4.0))
            .x_labels(20)
            .y_labels(20)
            .x_label_formatter(&|value| crate::page::thousands(value.round() as u64))
            .y_label_formatter(&y_label)
            .x_desc(chart.x_name)
            .y_desc(chart.y_name)
            .draw()?;
        for mark in &chart.marks {
            let ends = [(*mark, y.range.0), (*mark, y.range.1)];
            context.draw_series(LineSeries::new(ends, MUTED.stroke_width(width(1.0))))?;
        }
        for curve in &chart.series {
            draw_curve(&mut context, curve, chart.y_axis)?;
        }
        Ok(())
    })
    .map(Some)
}

type Frame<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Ticked, Ticked>>;

fn draw_curve(frame: &mut Frame<'_, '_>, curve: &Series, axis: Axis) -> Drawn {
    let style = series(curve.style).stroke_width(width(2.0));
    for stretch in curve.points.split(|point| !is_shown(*point, axis)) {
        let scaled: Vec<(f64, f64)> =
            stretch.iter().map(|(x, y)| (*x, self::scaled(*y, axis))).collect();
        // One point between gaps would be no line.
        if curve.marked || scaled.len() == 1 {
            let disc = |radius: f64, color: RGBColor| {
                scaled.iter().map(move |place| Circle::new(*place, px(radius), color.filled()))
            };
            frame.draw_series(LineSeries::new(scaled.iter().copied(), style))?;
            frame.draw_series(disc(3.5, SURFACE))?;
            frame.draw_series(disc(2.5, solid(curve.style)))?;
        } else if !scaled.is_empty() {
            frame.draw_series(LineSeries::new(scaled, style))?;
        }
    }
    Ok(())
}

fn is_shown((x, y): (f64, f64), axis: Axis) -> bool {
    x.is_finite() && y.is_finite() && (axis != Axis::Logarithmic || y > 0.0)
}

fn scaled(y: f64, axis: Axis) -> f64 {
    if axis == Axis::Logarithmic { y.log10() } else { y }
}

fn unscaled(y: f64, axis: Axis) -> f64 {
    if axis == Axis::Logarithmic { 10_f64.powf(y) } else { y }
}

fn x_axis((low, high): (f64, f64)) -> Ticked {
    let low = low.min(0.0);
    let high = high.max(low + 1.0);
    let mut ticks = ticks(low, high, 4);
    // There is no half of a step: its label would be that of a whole one.
    ticks.retain(|tick| (tick - tick.round()).abs() < 1e-6);
    Ticked { range: (low, high), ticks }
}

fn y_axis((low, high): (f64, f64), axis: Axis) -> Ticked {
    let span = high - low;
    let span = if span > 0.0 { span } else { high.abs().max(1e-12) * 0.2 };
    match axis {
        Axis::FromZero => {
            let high = if high > 0.0 { high * 1.05 } else { 1.0 };
            Ticked { range: (low.min(0.0), high), ticks: ticks(low.min(0.0), high, 5) }
        }
        Axis::Near => {
            let (low, high) = (low - 0.06 * span, high + 0.06 * span);
            Ticked { range: (low, high), ticks: ticks(low, high, 5) }
        }
        Axis::Logarithmic => {
            let (low, high) = (low - 0.06 * span, high + 0.06 * span);
            Ticked { range: (low, high), ticks: logarithmic_ticks(low, high) }
        }
    }
}

/// Decimals that tell neighbouring ticks apart, two at least.
fn decimals(ticks: &[f64]) -> usize {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min);
    (-step.log10().floor()).clamp(2.0, 9.0) as usize
}

/// Logarithms of 1, 2 and 5 times powers of ten; powers alone over more than three of them.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high - low > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = low.floor().max(-300.0) as i32..=high.ceil().min(300.0) as i32;
    let all =
        powers.flat_map(|power| steps.iter().map(move |step| step.log10() + f64::from(power)));
    let inside: Vec<f64> = all.filter(|tick| (low..=high).contains(tick)).collect();
    // A narrow band between two of them.
    if inside.len() < 2 { vec![low, (low + high) / 2.0, high] } else { inside }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::SCALE;

    fn chart(points: Vec<(f64, f64)>, y_axis: Axis) -> Option<String> {
        let series = vec![Series { points, style: 0, marked: false }];
        line_chart(&LineChart {
            title: "loss",
            x_name: "step",
            y_name: "loss",
            y_axis,
            y_label: None,
            series,
            marks: vec![2.0],
        })
        .unwrap()
    }

    #[test]
    fn no_two_ticks_read_the_same() {
        assert_eq!(decimals(&[0.5, 0.6]), 2);
        assert_eq!(decimals(&[0.085, 0.09, 0.095]), 3);
        assert_eq!((decimals(&[1.0]), decimals(&[1.0, 1.0])), (2, 9));
        let svg = chart(vec![(1.0, 0.085), (2.0, 0.101)], Axis::Near).unwrap();
        assert!(svg.contains(">0.085</text>") && svg.contains(">0.095</text>"), "{svg}");
    }

    #[test]
    fn steps_are_whole_and_names_have_room() {
        assert_eq!(x_axis((29.0, 30.0)).ticks, [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(x_axis((30.0, 30.0)).ticks, [0.0, 10.0, 20.0, 30.0], "one evaluation");
        assert_eq!(x_axis((0.0, 0.0)).ticks, [0.0, 1.0], "no 0.5");
        let begins = |low: f64, high: f64| -> f64 {
            let svg = chart(vec![(0.0, low), (2.0, high)], Axis::Near).unwrap();
            let curve = svg.split("<polyline").find(|line| line.contains("var(--s0)"));
            let points = curve.and_then(|line| line.split("points=\"").nth(1));
            let x = points.and_then(|points| points.split(',').next()?.parse().ok());
            x.unwrap_or_else(|| panic!("{svg}"))
        };
        let longer = begins(0.500_001, 0.500_009) - begins(0.5, 0.9);
        assert_eq!(longer, 4.0 * DIGIT_WIDTH * SCALE, "room for four more digits");
    }

    #[test]
    fn what_is_no_number_leaves_a_gap() {
        for axis in [Axis::FromZero, Axis::Near, Axis::Logarithmic] {
            assert!(chart(vec![(1.0, f64::NAN), (2.0, f64::INFINITY)], axis).is_none());
            assert!(chart(vec![], axis).is_none());
            let points = (0..9).map(|x| (f64::from(x), 0.5 + f64::from(x))).collect();
            let whole = chart(points, axis).unwrap();
            let mut points: Vec<_> = (0..9).map(|x| (f64::from(x), 0.5 + f64::from(x))).collect();
            points[4].1 = f64::NAN;
            let split = chart(points, axis).unwrap();
            let lines = |svg: &str| svg.matches("stroke=\"var(--s0)\"").count();
            assert_eq!((lines(&whole), lines(&split)), (1, 2));
            assert!(chart(vec![(7.0, 0.25)], axis).is_some(), "one point");
        }
        assert!(chart(vec![(1.0, 0.0)], Axis::Logarithmic).is_none(), "no logarithm");
        assert!(chart(vec![(0.0, 1e-300), (1e18, 1e300)], Axis::Logarithmic).is_some());
        assert!(chart(vec![(0.0, -1e300), (1e18, 1e300)], Axis::Near).is_some());
    }
}
