//! Labels beside labels: a cell for each pair, darker for a larger share, with the share in it.

use plotters::style::text_anchor::HPos;

use super::{INK, draw, heat, heat_ink, rectangle, shortened, text, text_upwards};
use crate::error::ReportError;

const CELL: f64 = 25.0;
const LEFT: f64 = 120.0;
const TOP: f64 = 110.0;
/// Characters of a name that have room.
const NAME: usize = 17;

/// Least shares of the colours, from 0: steps grow, since most pairs are rare.
pub(crate) const HEAT_CLASSES: [f64; 7] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// Shares by pairs of labels.
pub(crate) struct HeatMap<'a> {
    /// What a screen reader says.
    pub(crate) title: &'a str,
    /// The labels.
    pub(crate) names: Vec<&'a str>,
    /// From 0 to 1, row-major; nothing where there is nothing to share.
    pub(crate) shares: Vec<Option<f64>>,
}

/// Which of the colours a share has.
fn class(share: f64) -> usize {
    HEAT_CLASSES.iter().rposition(|least| share >= *least).unwrap_or(0)
}

/// Draws the map; `None` without labels.
pub(crate) fn heat_map(map: &HeatMap<'_>) -> Result<Option<String>, ReportError> {
    let c = map.names.len();
    if c == 0 {
        return Ok(None);
    }
    let side = CELL * c as f64;
    draw(map.title, (LEFT + side + 2.0, TOP + side + 2.0), |area| {
        for (index, name) in map.names.iter().enumerate() {
            let middle = CELL * (index as f64 + 0.5);
            let name = shortened(name, NAME);
            text(area, (LEFT - 6.0, TOP + middle), &name, 12.0, &INK, HPos::Right)?;
            text_upwards(area, (LEFT + middle, TOP - 6.0), &name, 12.0, &INK)?;
        }
        for (index, share) in map.shares.iter().enumerate() {
            let Some(share) = share else { continue };
            let (x, y) = (LEFT + CELL * (index % c) as f64, TOP + CELL * (index / c) as f64);
            let class = class(*share);
            rectangle(area, (x, y), (x + CELL - 1.0, y + CELL - 1.0), &heat(class))?;
            let percent = (share * 100.0).round();
            if percent > 0.0 {
                let middle = (x + (CELL - 1.0) / 2.0, y + (CELL - 1.0) / 2.0);
                let words = format!("{percent:.0}");
                text(area, middle, &words, 10.5, &heat_ink(class), HPos::Center)?;
            }
        }
        Ok(())
    })
    .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_has_its_colour_and_its_number() {
        assert_eq!([0.0, 0.0099, 0.01, 0.49, 0.5, 1.0].map(class), [0, 0, 1, 5, 6, 6]);
        let map = HeatMap {
            title: "map",
            names: vec!["joy", "<i>"],
            shares: vec![Some(1.0), Some(0.004), None, Some(0.12)],
        };
        let svg = heat_map(&map).unwrap().unwrap();
        assert!(svg.contains(">100</text>") && svg.contains(">12</text>"), "{svg}");
        assert!(!svg.contains(">0</text>"), "{svg}");
        assert_eq!(svg.matches("var(--h").count(), 3, "{svg}");
        assert!(svg.contains("&lt;i&gt;") && !svg.contains("<i>"), "{svg}");
    }
}
