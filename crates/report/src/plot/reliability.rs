//! Whether probabilities mean what they say: the share of positives with its interval over the mean
//! probability, and below it how many decisions each point stands for.

use plotters::style::text_anchor::HPos;
use tinymood_eval::bootstrap::Interval;

use super::{GRID, MUTED, SURFACE, disc, draw, line, rectangle, series, solid, text, text_upwards};
use crate::error::ReportError;
use crate::figures::ReliabilityPoint;

const SIZE: (f64, f64) = (440.0, 430.0);
const LEFT: f64 = 62.0;
const SIDE: f64 = 300.0;
const TOP: f64 = 8.0;
const GAP: f64 = 18.0;
/// Height of the bars.
const BARS: f64 = 60.0;
const RIGHT_EDGE: f64 = LEFT + SIDE + 60.0;

/// Draws the points of each run; bars are of a lone run.
pub(crate) fn reliability_chart(
    title: &str,
    runs: &[&[ReliabilityPoint]],
) -> Result<Option<String>, ReportError> {
    if runs.iter().all(|points| points.iter().all(|point| point.bin.count == 0)) {
        return Ok(None);
    }
    let alone = runs.len() == 1;
    let x = |value: f64| LEFT + (RIGHT_EDGE - LEFT) * value;
    let y = |value: f64| TOP + SIDE * (1.0 - value);
    let foot = TOP + SIDE + if alone { GAP + BARS } else { 0.0 };
    draw(title, (SIZE.0, foot + 40.0), |area| {
        for tick in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
            line(area, (x(0.0), y(tick)), (x(1.0), y(tick)), &GRID, 1.0)?;
            text(area, (LEFT - 8.0, y(tick)), &format!("{tick:.1}"), 12.0, &MUTED, HPos::Right)?;
            let words = format!("{tick:.1}");
            text(area, (x(tick), foot + 12.0), &words, 12.0, &MUTED, HPos::Center)?;
        }
        let middle = (LEFT + RIGHT_EDGE) / 2.0;
        text(area, (middle, foot + 30.0), "mean probability", 12.0, &MUTED, HPos::Center)?;
        text_upwards(area, (12.0, y(0.31)), "share that is true", 12.0, &MUTED)?;
        line(area, (x(0.0), y(0.0)), (x(1.0), y(1.0)), &MUTED, 1.0)?;
        for (run, points) in runs.iter().enumerate() {
            let places: Vec<(f64, f64)> = points
                .iter()
                .filter_map(|point| Some((x(point.mean_probability?), y(point.share_positive?))))
                .collect();
            for pair in places.windows(2) {
                line(area, pair[0], pair[1], &series(run), 2.0)?;
            }
            for point in *points {
                if let (Some(mean), Some(Interval([low, high]))) =
                    (point.mean_probability, point.share_positive_interval)
                {
                    line(area, (x(mean), y(low)), (x(mean), y(high)), &solid(run), 1.5)?;
                }
            }
            for place in places {
                disc(area, place, 4.5, &SURFACE)?;
                disc(area, place, 3.5, &solid(run))?;
            }
        }
        if alone {
            let most = runs[0].iter().map(|point| point.bin.count).max().unwrap_or(1);
            text_upwards(area, (12.0, foot), "decisions", 12.0, &MUTED)?;
            for point in runs[0].iter().filter(|point| point.bin.count > 0) {
                // By factors: nearly all decisions are a sure no.
                let height = height(point.bin.count, most);
                let corner = (x(point.to) - 1.0, foot);
                rectangle(area, (x(point.from) + 1.0, foot - height), corner, &solid(0))?;
            }
        }
        Ok(())
    })
    .map(Some)
}

/// A bar's height for a count: a decade has the same height everywhere, one row a little.
fn height(count: u64, most: u64) -> f64 {
    BARS * ((count as f64).log10() + 0.3) / ((most as f64).log10() + 0.3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_factors_within_their_room() {
        assert_eq!(height(1000, 1000), BARS);
        assert!(height(1, 1000) > 1.0 && height(1, 1) == BARS);
        let step = height(100, 1000) - height(10, 1000);
        assert!((height(1000, 1000) - height(100, 1000) - step).abs() < 1e-9);
    }
}
