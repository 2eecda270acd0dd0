use proptest::prelude::*;

use super::*;

/// Numbers in -1..1 that follow from a seed.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn random(seed: u64, rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_iterator(rows, columns, noise(seed, rows * columns).into_iter().map(f64::from))
}

fn config(hidden: usize, heads: usize, intermediate: usize, layers: usize) -> ModelConfig {
    ModelConfig {
        vocab_size: 30,
        hidden_size: hidden,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        intermediate_size: intermediate,
        max_position_embeddings: 10,
        ..ModelConfig::preset("4L-312D").unwrap()
    }
}

/// Every tensor random, norms and biases as well.
fn tensors(config: &ModelConfig) -> TensorMap {
    let specs = config.parameters(3).into_iter().enumerate();
    let tensors = specs.map(|(i, spec)| {
        let values = noise(i as u64 + 1, spec.len()).into();
        (spec.name, Tensor { shape: spec.shape, values })
    });
    tensors.collect()
}

/// A basis that random states give.
fn basis(hidden: usize, student_hidden: usize) -> Basis {
    let mut moment = SecondMoment::new(hidden);
    moment.add_rows(&noise(99, 200 * hidden)).unwrap();
    moment.basis(student_hidden).unwrap()
}

fn matrix(tensors: &TensorMap, name: &str) -> DMatrix<f64> {
    let tensor = &tensors[name];
    let columns = tensor.shape.get(1).copied().unwrap_or(1);
    columns_of_rows(&tensor.values, columns).transpose()
}

/// `W x + b` of each column of `x`.
fn linear(tensors: &TensorMap, name: &str, x: &DMatrix<f64>) -> DMatrix<f64> {
    let bias = matrix(tensors, &format!("{name}.bias")).column(0).into_owned();
    let mut y = matrix(tensors, &format!("{name}.weight")) * x;
    y.column_iter_mut().for_each(|mut column| column += &bias);
    y
}

/// What a head makes of states, the columns of `x`: scores between all pairs, (N, N), and what
/// it would add to the hidden states for each, (H, N).
fn head(
    config: &ModelConfig,
    tensors: &TensorMap,
    layer: usize,
    head: usize,
    x: &DMatrix<f64>,
) -> (DMatrix<f64>, DMatrix<f64>) {
    let at = format!("bert.encoder.layer.{layer}.attention");
    let size = config.head_size();
    let part = |name: &str| {
        let all = linear(tensors, &format!("{at}.self.{name}"), x);
        all.rows(head * size, size).into_owned()
    };
    let output = matrix(tensors, &format!("{at}.output.dense.weight"));
    let scores = part("query").transpose() * part("key") / (size as f64).sqrt();
    (scores, output.columns(head * size, size) * part("value"))
}

fn assert_close(found: &DMatrix<f64>, expected: &DMatrix<f64>, tolerance: f64, what: &str) {
    let error = (found - expected).norm() / expected.norm();
    assert!(error < tolerance, "{what}: relative error {error:e}");
}

#[test]
fn layers_are_spread_over_the_teacher() {
    assert_eq!(default_layers(6, 4), [0, 1, 3, 5]);
    assert_eq!(default_layers(12, 4), [0, 3, 7, 11]);
    assert_eq!(default_layers(12, 2), [0, 11]);
    assert_eq!(default_layers(6, 1), [5]);
    assert_eq!(default_layers(3, 3), [0, 1, 2]);
    assert_eq!(default_layers(2, 4), [0, 0, 0, 1]);
    assert_eq!(default_layers(1, 2), [0, 0]);
    assert!(default_layers(0, 2).is_empty() && default_layers(6, 0).is_empty());
}

#[test]
fn a_student_of_equal_sizes_is_the_teacher() {
    let teacher = config(12, 3, 20, 3);
    let given = tensors(&teacher);
    let student = ModelConfig { num_hidden_layers: 2, ..teacher.clone() };
    let made = student_from_teacher(&teacher, &given, &student, &[0, 2], &basis(12, 12)).unwrap();
    let specs = student.parameters(3).into_iter().filter(|spec| !spec.name.starts_with("class"));
    let mut count = 0;
    for spec in specs {
        let name = spec.name.replace("layer.1.", "layer.2.");
        assert_eq!(made.get(&spec.name), Some(&given[&name]), "{}", spec.name);
        count += 1;
    }
    assert_eq!(made.len(), count);
}

#[test]
fn names_and_shapes_are_the_students() {
    let teacher = config(24, 6, 40, 3);
    let student =
        ModelConfig { max_position_embeddings: 7, type_vocab_size: 1, ..config(20, 4, 30, 2) };
    let layers = default_layers(3, 2);
    let mut given = tensors(&teacher);
    let make = |given: &TensorMap, student: &ModelConfig| {
        student_from_teacher(&teacher, given, student, &layers, &basis(24, 20)).unwrap()
    };
    let made = make(&given, &student);
    for spec in student.parameters(3) {
        let shape = made.get(&spec.name).map(|tensor| &tensor.shape);
        let expected = (!spec.name.starts_with("classifier.")).then_some(&spec.shape);
        assert_eq!(shape, expected, "{}", spec.name);
    }
    assert_eq!(made.len(), student.parameters(3).len() - 2);

    let is_pooler = |name: &String| name.starts_with("bert.pooler.");
    let mean = ModelConfig { pooling: Pooling::Mean, ..student.clone() };
    assert!(!make(&given, &mean).keys().any(is_pooler));
    given.retain(|name, _| !is_pooler(name) && !name.contains("token_type"));
    let fewer = make(&given, &student);
    assert_eq!(fewer.len(), made.len() - 3);
    assert!(fewer.iter().all(|(name, tensor)| made[name] == *tensor));
}

#[test]
fn tables_biases_and_norms_are_in_the_students_coordinates() {
    let (teacher, student) = (config(24, 6, 40, 2), config(20, 4, 30, 2));
    let (given, basis) = (tensors(&teacher), basis(24, 20));
    let made = student_from_teacher(&teacher, &given, &student, &[0, 1], &basis).unwrap();
    let (weight, bias) = basis.projection();
    assert_eq!((&*weight.shape, &*bias.shape), (&[24, 20][..], &[24][..]));
    assert!(bias.values.iter().all(|&value| value == 0.0));
    let p = columns_of_rows(&weight.values, 20).transpose();
    for table in ["word", "position", "token_type"] {
        let name = format!("bert.embeddings.{table}_embeddings.weight");
        assert_close(&matrix(&made, &name), &(matrix(&given, &name) * &p), 1e-6, &name);
    }
    let at = "bert.encoder.layer.1";
    for name in ["attention.output.dense", "attention.output.LayerNorm", "output.dense"] {
        let name = format!("{at}.{name}.bias");
        assert_close(&matrix(&made, &name), &(p.transpose() * matrix(&given, &name)), 1e-6, &name);
    }
    let name = format!("{at}.output.LayerNorm.weight");
    let scales = DMatrix::from_diagonal(&matrix(&given, &name).column(0));
    let expected =
        DMatrix::from_column_slice(20, 1, (p.transpose() * scales * &p).diagonal().as_slice());
    assert_close(&matrix(&made, &name), &expected, 1e-6, &name);
}

/// Heads of rank 3 that read and write only 12 of 24 dimensions: nothing is lost.
#[test]
fn heads_within_the_students_reach_keep_their_products() {
    let (teacher, student) = (config(24, 4, 8, 1), config(12, 4, 8, 1));
    let reach = random(7, 24, 12).qr().q();
    let mut given = tensors(&teacher);
    let at = "bert.encoder.layer.0.attention";
    let mut put = |name: &str, matrix: &DMatrix<f64>| {
        let shape = given[name].shape.clone();
        given.insert(name.to_owned(), Tensor { shape, ..to_tensor(matrix) });
    };
    for (seed, name) in [(1, "query"), (2, "key"), (3, "value")] {
        // Weight and bias of a head: (6, 3) times (3, 24 + 1).
        let (mut weight, mut bias) = (DMatrix::zeros(24, 24), DMatrix::zeros(24, 1));
        for head in 0..4 {
            let left = random(10 * seed + head, 6, 3);
            let right = random(100 * seed + head, 3, 12) * reach.transpose();
            let rows = 6 * head as usize;
            weight.rows_mut(rows, 6).copy_from(&(&left * right));
            bias.rows_mut(rows, 6).copy_from(&(left * random(1000 * seed + head, 3, 1)));
        }
        put(&format!("{at}.self.{name}.weight"), &weight);
        put(&format!("{at}.self.{name}.bias"), &bias);
    }
    let output = &reach * random(5, 12, 24);
    put(&format!("{at}.output.dense.weight"), &output);

    let x = &reach * random(8, 12, 50);
    let mut moment = SecondMoment::new(24);
    moment.add_rows(&x.iter().map(|&value| value as f32).collect::<Vec<_>>()).unwrap();
    let basis = moment.basis(12).unwrap();
    assert!((basis.energy_kept() - 1.0).abs() < 1e-6);
    let made = student_from_teacher(&teacher, &given, &student, &[0], &basis).unwrap();
    let projected = basis.project(x.clone());
    for index in 0..4 {
        let (scores, added) = head(&teacher, &given, 0, index, &x);
        let (found_scores, found_added) = head(&student, &made, 0, index, &projected);
        assert_close(&found_scores, &scores, 1e-5, "scores");
        assert_close(&found_added, &basis.project(added), 1e-5, "values");
    }
}

/// Six heads of 4 to four of 5: heads 0, 1, 3 and 4, whole.
#[test]
fn fewer_heads_are_taken_evenly() {
    let (teacher, student) = (config(24, 6, 8, 1), config(20, 4, 8, 1));
    let (given, basis) = (tensors(&teacher), basis(24, 20));
    let made = student_from_teacher(&teacher, &given, &student, &[0], &basis).unwrap();
    let y = random(4, 20, 30);
    let x = basis.columns.as_ref().unwrap() * &y;
    for (to, from) in [(0, 0), (1, 1), (2, 3), (3, 4)] {
        let (scores, added) = head(&teacher, &given, 0, from, &x);
        let (found_scores, found_added) = head(&student, &made, 0, to, &y);
        assert_close(&found_scores, &scores, 1e-5, "scores");
        assert_close(&found_added, &basis.project(added), 1e-5, "values");
    }
    let at = "bert.encoder.layer.0.attention";
    for (zero, other) in [("self.query", "self.key"), ("output.dense", "self.value")] {
        let weight = matrix(&made, &format!("{at}.{zero}.weight"));
        let zero =
            if zero == "output.dense" { weight.column(4).norm() } else { weight.row(4).norm() };
        let other = matrix(&made, &format!("{at}.{other}.weight")).row(4).norm();
        assert!(zero == 0.0 && other > 0.1, "training cannot reach the fifth dimension");
    }
}

/// Against the states themselves; and by norms of weights where none were seen.
#[test]
fn the_neurons_that_do_most_stay() {
    let teacher = config(24, 6, 16, 1);
    let given = tensors(&teacher);
    let at = "bert.encoder.layer.0";
    let (inner, outer) = (format!("{at}.intermediate.dense"), format!("{at}.output.dense"));
    // Directions of much and of little energy, and a mean.
    let mut states = DMatrix::from_vec(24, 300, noise(99, 24 * 300));
    for (dimension, mut row) in states.row_iter_mut().enumerate() {
        row.apply(|value| *value = (*value + 0.5) * (1.0 + dimension as f32));
    }
    let mut moment = SecondMoment::new(24);
    moment.add_rows(states.as_slice()).unwrap();
    let states = states.map(f64::from);
    let mut choices = Vec::new();
    for basis in [moment.basis(20).unwrap(), moment.basis(24).unwrap(), Basis::identity(24)] {
        let make = |intermediate| {
            let hidden = basis.student_hidden();
            let student = config(hidden, if hidden == 24 { 6 } else { 4 }, intermediate, 1);
            student_from_teacher(&teacher, &given, &student, &[0], &basis).unwrap()
        };
        let (whole, made) = (make(16), make(5));
        let (weight, bias) = (format!("{inner}.weight"), format!("{inner}.bias"));
        let ingoing: Vec<f64> = if basis.inputs.is_some() {
            linear(&given, &inner, &states).row_iter().map(|row| row.norm()).collect()
        } else {
            let (weight, bias) = (matrix(&given, &weight), matrix(&given, &bias));
            weight.row_iter().zip(bias.iter()).map(|(w, b)| w.norm().hypot(*b)).collect()
        };
        let weights = matrix(&given, &weight).transpose();
        let found = basis.root_mean_squares(&weights, &given[&bias].values);
        let rows = if basis.inputs.is_some() { 300_f64 } else { 1.0 };
        for (found, sum) in found.iter().zip(&ingoing) {
            assert!((found * rows.sqrt() / sum - 1.0).abs() < 1e-6, "{found} {sum}");
        }
        let outgoing = matrix(&whole, &format!("{outer}.weight"));
        let does = |&neuron: &usize| ingoing[neuron] * outgoing.column(neuron).norm();
        let mut kept: Vec<usize> = (0..16).collect();
        kept.sort_by(|i, j| does(j).total_cmp(&does(i)));
        kept.truncate(5);
        kept.sort();
        for name in [&weight, &bias] {
            assert_eq!(matrix(&made, name), matrix(&whole, name).select_rows(&kept), "{name}");
        }
        let found = matrix(&made, &format!("{outer}.weight"));
        assert_eq!(found, outgoing.select_columns(&kept));
        choices.push(kept);
    }
    assert_ne!(choices[1], choices[2], "the states do not matter");
}

#[test]
fn what_cannot_be_names_what_is_wrong() {
    let (teacher, student) = (config(24, 6, 40, 3), config(20, 4, 30, 2));
    let given = tensors(&teacher);
    let narrow = basis(24, 20);
    let fails = |given: &TensorMap, student: &ModelConfig, layers: &[usize], basis: &Basis| {
        let made = student_from_teacher(&teacher, given, student, layers, basis);
        made.unwrap_err().to_string()
    };
    type Change = fn(&mut ModelConfig);
    let changes: [(Change, &[&str]); 11] = [
        (|c| c.hidden_size = 28, &["hidden_size", "28", "24"]),
        (|c| c.hidden_size = 0, &["hidden_size", "0", "24"]),
        (|c| c.hidden_size = 16, &["24 to 20", "24 to 16"]),
        (|c| c.num_attention_heads = 10, &["num_attention_heads", "10", "6"]),
        (|c| c.num_attention_heads = 3, &["student", "3 heads", "20"]),
        (|c| c.num_attention_heads = 0, &["student", "0 heads"]),
        (|c| c.intermediate_size = 41, &["intermediate_size", "41", "40"]),
        (|c| c.intermediate_size = 0, &["intermediate_size", "0", "40"]),
        (|c| c.vocab_size = 29, &["vocab_size", "29", "30"]),
        (|c| c.max_position_embeddings = 11, &["max_position_embeddings", "11", "10"]),
        (|c| c.type_vocab_size = 3, &["type_vocab_size", "3", "2"]),
    ];
    for (change, expected) in changes {
        let mut changed = student.clone();
        change(&mut changed);
        let message = fails(&given, &changed, &[0, 2], &narrow);
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    }
    for (layers, expected) in [
        (&[][..], "0 teacher layers are named for the student's 2"),
        (&[0, 1, 2], "3 teacher layers are named for the student's 2"),
        (&[0, 3], "no teacher layer 3: it has 3"),
    ] {
        let message = fails(&given, &student, layers, &narrow);
        assert!(message.contains(expected), "{message}");
    }
    let message = fails(&given, &student, &[0, 2], &Basis::identity(24));
    assert!(message.contains("24 to 24"), "{message}");

    let optional = |name: &str| {
        ["classifier", "token_type", "layer.1.", "pooler.dense.weight"]
            .iter()
            .any(|part| name.contains(part))
    };
    for name in given.keys().filter(|name| !optional(name)) {
        let mut without = given.clone();
        without.remove(name);
        let message = fails(&without, &student, &[0, 2], &narrow);
        assert!(message.contains(&format!("lacks the tensor {name:?}")), "{message}");
        let mut other = given.clone();
        other.insert(name.clone(), Tensor { shape: vec![1, 1], values: vec![0.0].into() });
        let message = fails(&other, &student, &[0, 2], &narrow);
        assert!(message.contains(name) && message.contains("[1, 1]"), "{message}");
        let shape = given[name].shape.clone();
        other.insert(name.clone(), Tensor { shape, values: vec![0.0].into() });
        assert!(fails(&other, &student, &[0, 2], &narrow).contains(name));
        let Tensor { shape, values } = given[name].clone();
        let mut values = values.to_vec();
        values[0] = f32::NAN;
        other.insert(name.clone(), Tensor { shape, values: values.into() });
        let message = fails(&other, &student, &[0, 2], &narrow);
        assert!(message.contains(name) && message.contains("not finite"), "{message}");
    }
}

#[test]
fn moments_that_give_no_basis() {
    let mut moment = SecondMoment::new(4);
    assert_eq!(moment.basis(2), Err(StudentError::NoStates));
    moment.add_rows(&[]).unwrap();
    moment.add_rows(&[0.0; 8]).unwrap();
    assert_eq!(moment.basis(2), Err(StudentError::NoStates));
    let rows = moment.add_rows(&[1.0; 5]);
    assert_eq!(rows, Err(StudentError::Rows { found: 5, width: 4 }));
    assert_eq!(moment.basis(2), Err(StudentError::NoStates), "part of the rows was added");
    moment.add_rows(&[1.0; 4]).unwrap();
    assert!(moment.basis(2).is_ok());
    let message = moment.basis(5).unwrap_err().to_string();
    assert!(message.contains('5') && message.contains('4'), "{message}");
    assert!(moment.basis(0).is_err());
    moment.add_rows(&[f32::INFINITY, 1.0, 1.0, 1.0]).unwrap();
    assert!(matches!(moment.basis(2), Err(StudentError::NotFinite(_))));
    let empty = SecondMoment::new(0);
    assert!(empty.basis(0).is_err() && empty.clone().add_rows(&[1.0]).is_err());
}

#[test]
fn the_basis_is_the_same_however_states_arrive() {
    let states = noise(5, 3000 * 16);
    let mut whole = SecondMoment::new(16);
    whole.add_rows(&states).unwrap();
    let mut parts = SecondMoment::new(16);
    for part in states.chunks(16 * 37).rev() {
        parts.add_rows(part).unwrap();
    }
    let (whole_basis, parts) = (whole.basis(9).unwrap(), parts.basis(9).unwrap());
    assert_eq!(whole_basis, whole.basis(9).unwrap());
    let columns = whole_basis.columns.as_ref().unwrap();
    assert_close(parts.columns.as_ref().unwrap(), columns, 1e-9, "basis");
    for column in columns.column_iter() {
        assert_eq!(column.amax(), column.max(), "the largest component is positive");
    }
    let gram = columns.transpose() * columns;
    assert_close(&gram, &DMatrix::identity(9, 9), 1e-12, "not orthonormal");
    let kept = (columns.transpose() * &whole.squares * columns).trace() / whole.squares.trace();
    assert!((whole_basis.energy_kept() - kept).abs() < 1e-12);
    // Energies fall, and no direction left out has more energy than the last kept.
    let energies = (columns.transpose() * &whole.squares * columns).diagonal();
    assert!(energies.as_slice().windows(2).all(|pair| pair[0] >= pair[1]));
    let eigenvalues = whole.squares.symmetric_eigenvalues();
    let below = eigenvalues.iter().filter(|&&value| value < energies[8] * (1.0 - 1e-9)).count();
    assert_eq!(below, 7);
}

proptest! {
    /// Against the singular values of the whole product (Eckart & Young, 1936).
    #[test]
    fn no_product_of_the_rank_is_closer(
        seed: u64, rows in 1..12_usize, columns in 1..12_usize, inner in 1..8_usize,
        true_rank in 0..8_usize, rank in 1..10_usize, scale in -30..30_i32,
    ) {
        let scale = 2_f64.powi(scale);
        let left = random(seed, rows, true_rank) * random(seed ^ 1, true_rank, inner) * scale;
        let right = random(seed ^ 2, columns, inner);
        let product = &left * right.transpose();
        let (a, b) = cut_product(left, right, rank).ok().unwrap();
        prop_assert_eq!((a.shape(), b.shape()), ((rows, rank), (columns, rank)));
        let gram = product.transpose() * &product;
        let mut squares = gram.symmetric_eigenvalues().as_slice().to_vec();
        squares.sort_by(|a, b| b.total_cmp(a));
        let left_out: f64 = squares.iter().skip(rank).map(|value| value.max(0.0)).sum();
        let error = (&product - a * b.transpose()).norm();
        let difference = (error - left_out.sqrt()).abs();
        prop_assert!(difference <= 1e-6 * product.norm(), "{error:e} {:e}", left_out.sqrt());
    }
}
