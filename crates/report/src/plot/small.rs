//! A label's precision, recall and F1 over its threshold, small enough to stand beside all others'.

use plotters::prelude::PathElement;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};
use tinymood_eval::curves::{ThresholdCurve, grid_threshold};

use super::{
    Area, Drawn, GRID, INK, MUTED, SURFACE, disc, draw, line, px, series, solid, text, width,
};
use crate::error::ReportError;

const SIZE: (f64, f64) = (210.0, 140.0);
/// Room for "0.5", on phones too, where `style.css` writes it larger.
const LEFT: f64 = 34.0;
const RIGHT: f64 = 204.0;
const TOP: f64 = 6.0;
const FOOT: f64 = 122.0;

fn x(threshold: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * threshold
}

fn y(value: f64) -> f64 {
    FOOT - (FOOT - TOP) * value
}

/// Draws a label's curves, with its threshold as a line and the F1 there as a point.
pub(crate) fn threshold_chart(
    title: &str,
    curve: &ThresholdCurve,
    chosen: (f64, f64),
) -> Result<String, ReportError> {
    draw(title, SIZE, |area| {
        for tick in [0.0, 0.5, 1.0] {
            line(area, (LEFT, y(tick)), (RIGHT, y(tick)), &GRID, 1.0)?;
            let words = if tick == 0.5 { "0.5".to_owned() } else { format!("{tick:.0}") };
            text(area, (LEFT - 6.0, y(tick)), &words, 11.0, &MUTED, HPos::Right)?;
            text(area, (x(tick), FOOT + 11.0), &words, 11.0, &MUTED, HPos::Center)?;
        }
        let f1: Vec<Option<f64>> = curve.f1.iter().copied().map(Some).collect();
        stretches(area, &curve.precision, &series(1))?;
        stretches(area, &curve.recall, &series(2))?;
        stretches(area, &f1, &series(0))?;
        let (threshold, value) = chosen;
        line(area, (x(threshold), TOP), (x(threshold), FOOT), &INK, 1.0)?;
        disc(area, (x(threshold), y(value)), 4.5, &SURFACE)?;
        disc(area, (x(threshold), y(value)), 3.5, &solid(0))
    })
}

/// Draws the stretches of a curve in which it has values.
fn stretches(area: &Area<'_>, values: &[Option<f64>], color: &RGBColor) -> Drawn {
    let points: Vec<Option<(i32, i32)>> = values
        .iter()
        .enumerate()
        .map(|(index, value)| value.map(|value| (px(x(grid_threshold(index))), px(y(value)))))
        .collect();
    for stretch in points.split(Option::is_none) {
        let places: Vec<(i32, i32)> = stretch.iter().flatten().copied().collect();
        if places.len() > 1 {
            area.draw(&PathElement::new(places, color.stroke_width(width(1.5))))?;
        }
    }
    Ok(())
}
