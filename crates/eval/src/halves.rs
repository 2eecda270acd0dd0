//! Halves of a split, to fit on one and judge on the other.

use crate::bootstrap::below;

/// How often a split is halved anew: a single halving of few rows says more of itself than of the model.
const HALVINGS: usize = 10;

/// Both halves of `n` rows, [`HALVINGS`] times, each time shuffled anew and the same for the same `n`. Files
/// have an order, and every other row of one may be of a kind.
pub(crate) fn halvings(n: usize) -> impl Iterator<Item = [Vec<usize>; 2]> {
    (0..HALVINGS).map(move |halving| {
        let mut rows: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            rows.swap(last, below(last + 1, halving as u64, last as u64));
        }
        let second = rows.split_off(n.div_ceil(2));
        [rows, second]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_every_row_once_and_keep_no_order() {
        for n in 0..9 {
            for [first, second] in halvings(n) {
                assert!(first.len() - second.len() <= 1, "{first:?} {second:?}");
                let mut rows = [first, second].concat();
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..n));
            }
        }
        let even = |half: &[usize]| half.iter().filter(|row| *row % 2 == 0).count();
        for [first, second] in halvings(1000) {
            assert!((200..300).contains(&even(&first)) && (200..300).contains(&even(&second)));
        }
        let all: Vec<_> = halvings(1000).collect();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
