//! AdamW for a table of which each step touches few rows: exact, and late.
//!
//! A row without a gradient still moves: its moments decay, its momentum goes on, weight decay
//! shrinks it. That depends on the row and on the steps' coefficients alone, so it is done when the
//! row is next needed: the missed steps are replayed in registers, bit for bit what the dense
//! update gives, and the table's 100 MB stay where they are.
//!
//! Most replayed steps are cheap. Momentum decays by `beta1` a step; some hundred steps after a
//! row's last gradient its part of the update is below the rounding of the weight, so that
//! `fl(w keep - u) = fl(w keep)` and square root and division can be left out. `Bounds` says when
//! this is certain.

use std::ops::Range;

use crate::Cpu;
use crate::adamw::{AdamW, Coefficients, Tensors};
use crate::rows::RowsMut;

/// Steps that share one [`Bounds`].
const BLOCK: usize = 64;
/// Steps after which all rows are brought up to date, so that the history stays small.
const MAX_STEPS: usize = 4096;
/// Elements replayed together: enough for the latencies of one to hide behind the others.
const LANES: usize = 64;
/// Rows a task takes at a time.
const TASK_ROWS: usize = 8;

/// A step that some rows have yet to take.
#[derive(Clone, Copy, Debug)]
struct MissedStep {
    coefficients: Coefficients,
    /// Decay of the average of weights, where one is kept.
    average_decay: Option<f32>,
}

/// What holds for all steps of a block.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Largest step size.
    step_size: f32,
    /// Smallest `keep` to the power of [`BLOCK`].
    keep: f32,
    /// Smallest `beta2` to the power of [`BLOCK`].
    beta2: f32,
    root_correction: f32,
    epsilon: f32,
    /// Whether all are in the ranges that the argument of [`Bounds::negligible`] needs.
    usual: bool,
}

impl Bounds {
    fn new(steps: &[MissedStep]) -> Self {
        let of = |value: fn(&Coefficients) -> f32, start: f32, pick: fn(f32, f32) -> f32| {
            steps.iter().map(|step| value(&step.coefficients)).fold(start, pick)
        };
        let keep = of(|c| c.keep, 1.0, f32::min);
        let beta2 = of(|c| c.beta2, 1.0, f32::min);
        let beta1 = of(|c| c.beta1, 0.0, f32::max);
        let most_keep = of(|c| c.keep, 0.0, f32::max);
        let epsilon = of(|c| c.epsilon, f32::INFINITY, f32::min);
        Self {
            step_size: of(|c| c.step_size.abs(), 0.0, f32::max),
            keep: keep.max(0.0).powi(BLOCK as i32),
            beta2: beta2.max(0.0).powi(BLOCK as i32),
            root_correction: of(|c| c.root_correction, f32::INFINITY, f32::min),
            epsilon,
            usual: epsilon > 0.0 && beta1 < 1.0 && most_keep <= 1.0,
        }
    }

    /// Whether no step of the block moves a weight by momentum.
    ///
    /// With `|m|` and `v` falling and `|w|` shrinking by `keep` at most, every update of the block
    /// is below `step_size |m| / (sqrt(v_end) root_correction + epsilon)`. Below `2^-26` of the
    /// weight it is under half the distance to the next float; one more factor of 2 covers the
    /// rounding of this bound itself.
    #[inline(always)]
    fn negligible(&self, w: &[f32], m: &[f32], v: &[f32]) -> bool {
        const SMALLEST: f32 = 1e-30; // far from where floats lose precision
        const SHARE: f32 = 1.0 / (1_u32 << 27) as f32;
        if !self.usual {
            return false;
        }
        let mut all = true;
        for ((&w, &m), &v) in w.iter().zip(m).zip(v) {
            let v_end = if v > SMALLEST { v * self.beta2 * 0.9 } else { 0.0 };
            let denominator = v_end.sqrt() * self.root_correction + self.epsilon;
            let w_end = w.abs() * self.keep * 0.9;
            let moves_nothing = self.step_size * m.abs() < SHARE * w_end * denominator;
            let momentum_is_zero = m.to_bits() == 0;
            all &= momentum_is_zero | (moves_nothing & (w_end > SMALLEST));
        }
        all
    }
}

/// Which steps each row of a table has yet to take.
#[derive(Clone, Debug)]
pub struct LazyRows {
    width: usize,
    steps: Vec<MissedStep>,
    /// One for each begun block of `steps`; that of the last is made when it is asked for.
    bounds: Vec<Bounds>,
    /// For each row, how many of `steps` it has taken.
    taken: Vec<u32>,
}

/// A table (V, H) with its moments, and the average of its weights where one is kept.
#[derive(Debug)]
pub struct LazyTable<'a> {
    /// Parameters and moments, (V, H) each.
    pub tensors: Tensors<'a>,
    /// The average of the parameters; (V, H).
    pub average: Option<&'a mut [f32]>,
}

impl LazyRows {
    /// A table of `rows` rows of `width` values that has missed nothing.
    ///
    /// # Panics
    /// When the width is 0.
    pub fn new(rows: usize, width: usize) -> Self {
        assert!(width > 0, "rows hold values");
        Self { width, steps: Vec::new(), bounds: Vec::new(), taken: vec![0; rows] }
    }

    /// Whether no row has missed a step.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty()
    }

    /// Lets the given rows (ascending) take the steps they have missed.
    ///
    /// # Panics
    /// When rows are out of order or outside the table, or sizes differ.
    pub fn catch_up(&mut self, cpu: &Cpu, rows: &[u32], table: &mut LazyTable<'_>) {
        let behind = self.steps.len() as u32;
        self.for_rows(
            cpu,
            rows,
            table,
            None,
            #[inline(always)]
            |this, row, [w, m, v, _], average| this.replay(row, w, m, v, average),
        );
        for &row in rows {
            self.taken[row as usize] = behind;
        }
    }

    /// One step of AdamW: `rows` (ascending) have a gradient and have been caught up, all others
    /// have none and take the step later. The gradient of `rows` is cleared.
    ///
    /// # Panics
    /// As [`LazyRows::catch_up`], and when a row has not been caught up.
    pub fn step(
        &mut self,
        cpu: &Cpu,
        rows: &[u32],
        settings: &AdamW,
        average_decay: Option<f32>,
        gradients: &mut [f32],
        table: &mut LazyTable<'_>,
    ) {
        let behind = self.steps.len() as u32;
        let caught_up = rows.iter().all(|&row| self.taken[row as usize] == behind);
        assert!(caught_up, "rows with a gradient have been caught up");
        let (coefficients, scale) = (settings.coefficients(), settings.gradient_scale);
        self.for_rows(
            cpu,
            rows,
            table,
            Some(gradients),
            #[inline(always)]
            |_, _, [w, m, v, gradient], average| {
                let moments = m.iter_mut().zip(v.iter_mut());
                for ((w, (m, v)), gradient) in w.iter_mut().zip(moments).zip(gradient) {
                    coefficients.apply(*gradient * scale, w, m, v);
                    *gradient = 0.0;
                }
                if let (Some(decay), Some(average)) = (average_decay, average) {
                    follow(decay, w, average);
                }
            },
        );
        self.push(MissedStep { coefficients, average_decay });
        for &row in rows {
            self.taken[row as usize] = behind + 1;
        }
        if self.steps.len() >= MAX_STEPS {
            self.settle(cpu, table);
        }
    }

    /// Lets all rows take all steps they have missed.
    ///
    /// # Panics
    /// When sizes differ.
    pub fn settle(&mut self, cpu: &Cpu, table: &mut LazyTable<'_>) {
        if self.is_settled() {
            return;
        }
        let rows: Vec<u32> = (0..self.taken.len() as u32).collect();
        self.catch_up(cpu, &rows, table);
        self.steps.clear();
        self.bounds.clear();
        self.taken.fill(0);
    }

    /// What row `row` would be if it were caught up: from copies of its weights and moments, (H)
    /// each, which are changed to it, as is the copy of its average.
    pub fn replay_copy(&self, cpu: &Cpu, row: u32, copy: Tensors<'_>, average: Option<&mut [f32]>) {
        let Tensors { parameters, first_moment, second_moment } = copy;
        cpu.isa().run(
            #[inline(always)]
            || {
                self.replay(row as usize, parameters, first_moment, second_moment, average);
            },
        );
    }

    fn push(&mut self, step: MissedStep) {
        self.steps.push(step);
        let first = (self.steps.len() - 1) / BLOCK * BLOCK;
        self.bounds.truncate(first / BLOCK);
        self.bounds.push(Bounds::new(&self.steps[first..]));
    }

    /// Calls `body` (`#[inline(always)]`, as for [`crate::Isa::run`]) with the weights, moments and
    /// gradient of each row, on all threads. Without gradients that slice is empty.
    fn for_rows(
        &self,
        cpu: &Cpu,
        rows: &[u32],
        table: &mut LazyTable<'_>,
        gradients: Option<&mut [f32]>,
        body: impl Fn(&Self, usize, [&mut [f32]; 4], Option<&mut [f32]>) + Sync,
    ) {
        let (count, width) = (self.taken.len(), self.width);
        assert!(rows.is_sorted_by(|a, b| a < b), "rows ascend");
        assert!(rows.last().is_none_or(|&row| (row as usize) < count), "rows of the table");
        let whole = |values: &[f32]| assert_eq!(values.len(), count * width, "(V, H) values");
        let Tensors { parameters, first_moment, second_moment } = &mut table.tensors;
        let gradients = gradients.map(|values| {
            whole(values);
            RowsMut::new(values, width)
        });
        let average = table.average.as_deref_mut().map(|values| {
            whole(values);
            RowsMut::new(values, width)
        });
        let tables = [&mut **parameters, &mut **first_moment, &mut **second_moment].map(|values| {
            whole(values);
            RowsMut::new(values, width)
        });
        cpu.pool().run(rows.len().div_ceil(TASK_ROWS), &|task| {
            let mine = &rows[task * TASK_ROWS..((task + 1) * TASK_ROWS).min(rows.len())];
            for &row in mine {
                let row = row as usize;
                // SAFETY: rows ascend, so no two tasks share one, and all are in the table.
                let lend = |table: &RowsMut<'_, f32>| unsafe {
                    let values: *mut [f32] = table.lend(row..row + 1);
                    &mut *values
                };
                let [w, m, v] = [0, 1, 2].map(|part| lend(&tables[part]));
                let gradient = gradients.as_ref().map(lend).unwrap_or_default();
                let average = average.as_ref().map(lend);
                cpu.isa().run(
                    #[inline(always)]
                    || body(self, row, [w, m, v, gradient], average),
                );
            }
        });
    }

    /// Lets one row take the steps it has missed.
    #[inline(always)]
    fn replay(
        &self,
        row: usize,
        w: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        average: Option<&mut [f32]>,
    ) {
        let missed = self.taken[row] as usize..self.steps.len();
        if missed.is_empty() {
            return;
        }
        let moments = m.chunks_mut(LANES).zip(v.chunks_mut(LANES));
        let mut averages = average.map(|average| average.chunks_mut(LANES));
        for (w, (m, v)) in w.chunks_mut(LANES).zip(moments) {
            let average = averages.as_mut().and_then(Iterator::next);
            self.replay_lanes(missed.clone(), w, m, v, average);
        }
    }

    #[inline(always)]
    fn replay_lanes(
        &self,
        missed: Range<usize>,
        w: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        mut average: Option<&mut [f32]>,
    ) {
        let len = w.len();
        // Padded copies of fixed size stay in registers.
        let (mut ws, mut ms, mut vs) = ([1.0; LANES], [0.0; LANES], [0.0; LANES]);
        let mut averages = [0.0; LANES];
        ws[..len].copy_from_slice(w);
        ms[..len].copy_from_slice(m);
        vs[..len].copy_from_slice(v);
        if let Some(average) = &average {
            averages[..len].copy_from_slice(average);
        }
        let mut at = missed.start;
        while at < missed.end {
            let block = at / BLOCK;
            let end = ((block + 1) * BLOCK).min(missed.end);
            let steps = &self.steps[at..end];
            if self.bounds[block].negligible(&ws, &ms, &vs) {
                for MissedStep { coefficients: c, average_decay } in steps {
                    for lane in 0..LANES {
                        // As `Coefficients::apply` with a gradient of 0.
                        ms[lane] = c.beta1 * ms[lane] + 0.0;
                        vs[lane] = c.beta2 * vs[lane] + 0.0;
                        ws[lane] *= c.keep;
                    }
                    if let (Some(decay), true) = (average_decay, average.is_some()) {
                        follow(*decay, &ws, &mut averages);
                    }
                }
            } else {
                for MissedStep { coefficients, average_decay } in steps {
                    for lane in 0..LANES {
                        coefficients.apply(0.0, &mut ws[lane], &mut ms[lane], &mut vs[lane]);
                    }
                    if let (Some(decay), true) = (average_decay, average.is_some()) {
                        follow(*decay, &ws, &mut averages);
                    }
                }
            }
            at = end;
        }
        w.copy_from_slice(&ws[..len]);
        m.copy_from_slice(&ms[..len]);
        v.copy_from_slice(&vs[..len]);
        if let Some(average) = &mut average {
            average.copy_from_slice(&averages[..len]);
        }
    }
}

/// As [`crate::adamw::average`], on this thread.
#[inline(always)]
fn follow(decay: f32, parameters: &[f32], average: &mut [f32]) {
    for (average, &parameter) in average.iter_mut().zip(parameters) {
        *average = decay * *average + (1.0 - decay) * parameter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adamw;
    use crate::cpu::test_cpus;

    const ROWS: usize = 23;
    const WIDTH: usize = 70;

    /// A table, its moments and its average.
    #[derive(Clone, Debug, PartialEq)]
    struct State([Vec<f32>; 4]);

    impl State {
        fn new() -> Self {
            let mut w: Vec<f32> =
                (0..ROWS * WIDTH).map(|i| (i as f32 * 0.37).sin() * 0.05).collect();
            w[..WIDTH].fill(0.0); // as [PAD]'s row
            w[WIDTH] = 1e-35;
            w[WIDTH + 1] = -0.0;
            Self([w.clone(), vec![0.0; w.len()], vec![0.0; w.len()], w])
        }

        fn table(&mut self) -> LazyTable<'_> {
            let [parameters, first_moment, second_moment, average] = &mut self.0;
            LazyTable {
                tensors: Tensors { parameters, first_moment, second_moment },
                average: Some(average),
            }
        }

        fn bits(&self) -> [Vec<u32>; 4] {
            self.0.clone().map(|values| values.into_iter().map(f32::to_bits).collect())
        }
    }

    /// Warm-up, decay to zero, and a clipping factor that varies.
    fn settings(step: u64, total: u64) -> AdamW {
        let rate = 3e-3 * (step as f32 / 100.0).min(1.0 - step as f32 / total as f32);
        AdamW {
            learning_rate: rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            step,
            gradient_scale: 1.0 / (1.0 + (step % 7) as f32),
        }
    }

    /// Row 1 and up, each with a probability of its own: from every other step to almost never.
    fn touched(step: u64) -> Vec<u32> {
        let chosen = |row: &u32| {
            let hash = (step * 7919 + u64::from(*row) * 104_729) ^ (step >> 3);
            hash.is_multiple_of(1 << (row / 2 + 1))
        };
        (2..ROWS as u32).filter(chosen).collect()
    }

    fn gradient(step: u64, rows: &[u32]) -> Vec<f32> {
        let mut gradient = vec![0.0; ROWS * WIDTH];
        for &row in rows {
            let values = &mut gradient[row as usize * WIDTH..][..WIDTH];
            for (i, value) in values.iter_mut().enumerate() {
                *value = ((step as f32 + i as f32) * 1.3 + row as f32).sin() * 1e-3;
            }
        }
        gradient
    }

    /// Steps that take all rows along, and steps that leave most for later, with catching up as a
    /// batch needs it, and with a save in between where all is settled.
    #[test]
    fn late_rows_are_the_rows_of_the_dense_update_bit_for_bit() {
        const TOTAL: u64 = 6000;
        for cpu in test_cpus().into_iter().step_by(2) {
            let (mut dense, mut late) = (State::new(), State::new());
            let mut lazy = LazyRows::new(ROWS, WIDTH);
            let mut was_left_out = false;
            for step in 1..=TOTAL {
                let decay = (step > 50).then_some(0.99);
                let settings = settings(step, TOTAL);
                let rows = touched(step);
                let mut full = gradient(step, &rows);
                let mut sparse = full.clone();
                settings.update(&cpu, dense.table().tensors, &mut full);
                if let Some(decay) = decay {
                    let [parameters, _, _, average] = &mut dense.0;
                    adamw::average(&cpu, decay, parameters, average);
                }
                let mut table = late.table();
                lazy.catch_up(&cpu, &rows, &mut table);
                lazy.step(&cpu, &rows, &settings, decay, &mut sparse, &mut table);
                assert!(sparse.iter().all(|&value| value == 0.0), "the gradient is cleared");
                was_left_out |= late.0[0] != dense.0[0];
                if step == 3333 || step == TOTAL {
                    // What inference would see, before all is settled.
                    let row = ROWS as u32 - 1;
                    let at = row as usize * WIDTH..(row as usize + 1) * WIDTH;
                    let [mut w, mut m, mut v, mut average] =
                        late.0.clone().map(|values| values[at.clone()].to_vec());
                    let copy =
                        Tensors { parameters: &mut w, first_moment: &mut m, second_moment: &mut v };
                    lazy.replay_copy(&cpu, row, copy, Some(&mut average));
                    assert_eq!([w, m, v, average], dense.0.clone().map(|x| x[at.clone()].to_vec()));
                    lazy.settle(&cpu, &mut late.table());
                    assert!(lazy.is_settled());
                    assert_eq!(late.bits(), dense.bits(), "{cpu:?} step {step}");
                }
            }
            assert!(was_left_out, "nothing was ever late");
        }
    }

    #[test]
    fn most_steps_of_a_row_that_rests_are_cheap() {
        let steps: Vec<MissedStep> = (1..=BLOCK as u64)
            .map(|step| MissedStep {
                coefficients: settings(step + 500, 6000).coefficients(),
                average_decay: None,
            })
            .collect();
        let bounds = Bounds::new(&steps);
        let is_negligible = |m: f32| bounds.negligible(&[0.05], &[m], &[1e-8]);
        assert!(!is_negligible(1e-5), "right after a gradient");
        assert!(is_negligible(1e-5 * 0.9_f32.powi(200)), "200 steps later");
        assert!(bounds.negligible(&[0.0], &[0.0], &[0.0]), "a row that never had a gradient");
    }

    #[test]
    #[should_panic(expected = "caught up")]
    fn a_row_that_is_behind_takes_no_step() {
        let cpu = &test_cpus()[0];
        let mut state = State::new();
        let mut lazy = LazyRows::new(ROWS, WIDTH);
        let mut gradient = vec![0.0; ROWS * WIDTH];
        for rows in [[1], [2]] {
            let settings = settings(1, 10);
            lazy.step(cpu, &rows, &settings, None, &mut gradient, &mut state.table());
        }
    }
}
