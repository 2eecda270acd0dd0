//! The sum of word, position and token type embeddings, normalised and dropped out
//! (`transformers.models.bert.BertEmbeddings`).
//!
//! Letters: `T` tokens, `H` hidden size.

use crate::Cpu;
use crate::dropout::Dropout;
use crate::math::dot;
use crate::matmul::with_scratch;
use crate::norm::{NormSaved, NormWeights, Saving};
use crate::operand::Hidden;
use crate::rows::{RowsMut, for_column_blocks, for_row_blocks};

/// The tables; all tokens are of type 0.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Word embeddings; (V, H).
    pub word: &'a [f32],
    /// Position embeddings; (P, H).
    pub position: &'a [f32],
    /// Token type embeddings; (2, H), of which the first row is used.
    pub token_type: &'a [f32],
}

/// `output = dropout(norm(word[id] + position[p] + type[0]))`; (T, H), overwritten, as is what the norm
/// saves, where that is wanted.
///
/// # Panics
/// When an id or position is outside its table, or sizes do not fit.
pub fn forward(
    cpu: &Cpu,
    tables: Tables<'_>,
    (ids, positions): (&[u32], &[u32]),
    norm: NormWeights<'_>,
    saved: Option<NormSaved<'_>>,
    dropout: Dropout<'_>,
    output: &mut Hidden,
) {
    let width = norm.weight.len();
    let (output, rounded) = output.parts_mut(ids.len(), width);
    assert_eq!(ids.len(), positions.len(), "(T) each");
    let saving = Saving::new(saved, ids.len(), width);
    let token_type = &tables.token_type[..width];
    for_row_blocks(cpu, ids.len(), 16, [RowsMut::new(output, width)], |rows, [output]| {
        with_scratch(width, |scratch: &mut [f32]| {
            cpu.isa().run(
                #[inline(always)]
                || {
                    for (row, output) in rows.zip(output.chunks_exact_mut(width)) {
                        let word = &tables.word[ids[row] as usize * width..][..width];
                        let position = &tables.position[positions[row] as usize * width..][..width];
                        let parts = word.iter().zip(position).zip(token_type);
                        for (x, ((&word, &position), &token_type)) in output.iter_mut().zip(parts) {
                            *x = word + token_type + position;
                        }
                        // SAFETY: each row is of one task.
                        unsafe { saving.forward_row(&norm, row, output, scratch) };
                        dropout.apply(row, output);
                        // SAFETY: as above.
                        unsafe { rounded.store(row, output) };
                    }
                },
            );
        });
    });
}

/// Adds the gradient of the sum, `d_sum` (T, H), to the rows of the tables it came from, in token
/// order.
///
/// # Panics
/// When an id or position is outside its table, or sizes do not fit.
pub fn backward(
    cpu: &Cpu,
    d_sum: &[f32],
    (ids, positions): (&[u32], &[u32]),
    width: usize,
    d_word: &mut [f32],
    d_position: &mut [f32],
    d_token_type: &mut [f32],
) {
    assert_eq!(d_sum.len(), ids.len() * width, "(T, H) gradients");
    assert_eq!(ids.len(), positions.len(), "(T) each");
    let fits = |indices: &[u32], table: &[f32]| {
        indices.iter().all(|&index| (index as usize + 1) * width <= table.len())
    };
    assert!(fits(ids, d_word) && fits(positions, d_position), "ids and positions in their tables");
    assert!(d_token_type.len() >= width, "a row for type 0");
    let d_word = RowsMut::new(d_word, width);
    let d_position = RowsMut::new(d_position, width);
    let d_token_type = RowsMut::new(d_token_type, width);
    for_column_blocks(cpu, width, 64, |columns| {
        for (token, d_row) in d_sum.chunks_exact(width).enumerate() {
            let d_row = &d_row[columns.clone()];
            let targets = [
                (&d_word, ids[token] as usize),
                (&d_position, positions[token] as usize),
                (&d_token_type, 0),
            ];
            for (table, row) in targets {
                // SAFETY: rows were checked above; each task has its own columns.
                let d_table = unsafe { table.lend_part(row, columns.clone()) };
                d_table.iter_mut().zip(d_row).for_each(|(sum, &d)| *sum += d);
            }
        }
    });
}

/// Sum of squares over the given rows of a (V, H) table, in their order.
///
/// # Panics
/// When a row is outside the table.
pub fn rows_sum_of_squares(cpu: &Cpu, table: &[f32], width: usize, rows: &[u32]) -> f64 {
    cpu.isa().run(
        #[inline(always)]
        || {
            let row = |&row: &u32| &table[row as usize * width..][..width];
            rows.iter().map(row).map(|row| f64::from(dot(row, row))).sum()
        },
    )
}

/// Applies dropout to each row of (T, H) values in place: the backward of dropout on an output.
///
/// # Panics
/// When the slice is not whole rows.
pub fn dropout_backward(cpu: &Cpu, dropout: Dropout<'_>, values: &mut [f32], width: usize) {
    if dropout.is_none() {
        return;
    }
    let rows = values.len() / width;
    for_row_blocks(cpu, rows, 32, [RowsMut::new(values, width)], |rows, [values]| {
        cpu.isa().run(
            #[inline(always)]
            || {
                for (row, values) in rows.zip(values.chunks_exact_mut(width)) {
                    dropout.apply(row, values);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    #[test]
    fn gathers_and_scatters() {
        for cpu in test_cpus() {
            let width = 70;
            let (word, position, token_type) =
                (waves(9 * width, 0.1), waves(5 * width, 0.2), waves(2 * width, 0.3));
            let (ids, positions) = ([3_u32, 8, 3, 0], [0_u32, 1, 2, 0]);
            let (weight, bias) = (waves(width, 0.4), waves(width, 0.5));
            let norm = NormWeights { weight: &weight, bias: &bias, epsilon: 1e-3 };
            let dropout = Dropout::new(0.2, 1, 1, 0, 0);
            let mut output = Hidden::default();
            output.resize(&cpu, 4, width);
            let (mut normalised, mut inverse_std) = (vec![0.0; 4 * width], vec![0.0; 4]);
            let saved = NormSaved { normalised: &mut normalised, inverse_std: &mut inverse_std };
            let tables = Tables { word: &word, position: &position, token_type: &token_type };
            forward(&cpu, tables, (&ids, &positions), norm, Some(saved), dropout, &mut output);
            for token in 0..4 {
                let mut row: Vec<f32> = (0..width)
                    .map(|h| {
                        word[ids[token] as usize * width + h]
                            + token_type[h]
                            + position[positions[token] as usize * width + h]
                    })
                    .collect();
                norm.forward_row(&mut row, &mut vec![0.0; width]);
                dropout.apply(token, &mut row);
                let found = &output.values()[token * width..(token + 1) * width];
                assert!(found.iter().zip(&row).all(|(a, b)| (a - b).abs() < 1e-6));
            }

            let d_sum = waves(4 * width, 0.6);
            let (mut d_word, mut d_position, mut d_type) =
                (vec![0.0; word.len()], vec![0.0; position.len()], vec![0.0; token_type.len()]);
            backward(
                &cpu,
                &d_sum,
                (&ids, &positions),
                width,
                &mut d_word,
                &mut d_position,
                &mut d_type,
            );
            for h in 0..width {
                let d = |token: usize| d_sum[token * width + h];
                assert_eq!(d_word[3 * width + h], d(0) + d(2));
                assert_eq!(d_word[8 * width + h], d(1));
                assert_eq!(d_word[width + h], 0.0);
                assert_eq!(d_position[h], d(0) + d(3));
                assert_eq!(d_type[h], d(0) + d(1) + d(2) + d(3));
                assert_eq!(d_type[width + h], 0.0);
            }
            let squares = |row: usize| -> f64 {
                let row = &d_word[row * width..(row + 1) * width];
                row.iter().map(|&x| f64::from(x * x)).sum()
            };
            let found = rows_sum_of_squares(&cpu, &d_word, width, &[3, 8]);
            assert!((found - squares(3) - squares(8)).abs() < 1e-4);
        }
    }
}
