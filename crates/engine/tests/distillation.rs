//! A student's loss against its definition, and its gradient against the loss.

mod suite;

use tinymood_core::{
    BatchLoss, Engine, EngineError, Infer, Matching, ModelConfig, PackedBatch, Projections,
    Relations, TeacherStates, TensorMap, TensorSet, Update,
};
use tinymood_engine::{CpuEngine, CpuSettings};
use tinymood_kernels::Precision;

const WIDTH: usize = 40;

fn engine(config: &ModelConfig, outputs: usize, threads: usize, precision: Precision) -> CpuEngine {
    let settings = CpuSettings { threads: Some(threads), precision: Some(precision), isa: None };
    let mut engine = CpuEngine::new(config.clone(), outputs, settings).unwrap();
    suite::initialise(&mut engine);
    engine
}

fn student_config() -> ModelConfig {
    ModelConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        projections: Some(Projections { width: WIDTH, states: vec![0, 1, 2] }),
        ..suite::tiny_config()
    }
}

fn matching() -> Matching {
    let relations = Some(Relations { weight: 0.8, heads: 4 });
    Matching { state_weights: vec![0.5, 0.7, 3.0], mean_weight: 1.3, head_weight: 0.9, relations }
}

fn teacher_states(batch: &PackedBatch) -> TeacherStates {
    let config = ModelConfig {
        hidden_size: WIDTH,
        num_hidden_layers: 3,
        intermediate_size: 64,
        ..suite::tiny_config()
    };
    let teacher = engine(&config, 1, 1, Precision::F32);
    let states = teacher.teacher_states(batch, &[0, 2, 3], Some(3)).unwrap();
    assert_eq!(states.states, teacher.hidden_states(batch, &[0, 2, 3]).unwrap());
    states
}

fn accumulate(student: &mut CpuEngine, batch: &PackedBatch, rows: usize) -> BatchLoss {
    let teacher = teacher_states(batch);
    student.accumulate_states(batch, &teacher, &matching(), rows, suite::at_step(0)).unwrap()
}

/// The gradient gathered so far, read from the first moment of a step that moves nothing.
fn gradient(student: &mut CpuEngine) -> TensorMap {
    let update = Update { learning_rate: 0.0, beta1: 0.0, max_grad_norm: None, ..suite::update(1) };
    student.step(&update);
    let [_, _, first_moment, _] = suite::snapshot(student).try_into().expect("four sets");
    first_moment
}

/// What [`Relations`] say, in f64 from the student's own queries, keys and values.
fn relations_by_definition(student: &CpuEngine, batch: &PackedBatch) -> f64 {
    let relations = matching().relations.unwrap();
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let layers = student.config().num_hidden_layers;
    let mine = wide(&student.teacher_states(batch, &[], Some(layers)).unwrap().qkv);
    let theirs = wide(&teacher_states(batch).qkv);
    let hidden = student.config().hidden_size;
    let mut loss = 0.0;
    for text in batch.ranges() {
        let mut divergence = 0.0;
        for (part, head) in (0..3).flat_map(|part| (0..relations.heads).map(move |h| (part, h))) {
            // log softmax(X Xᵀ / sqrt(size)), row by row
            let relations = |qkv: &[f64], width: usize| -> Vec<Vec<f64>> {
                let size = width / relations.heads;
                let at = |token: usize| {
                    let start = token * 3 * width + part * width + head * size;
                    &qkv[start..start + size]
                };
                let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                let row = |i: usize| {
                    let scores = text.clone().map(|j| dot(at(i), at(j)) / (size as f64).sqrt());
                    let scores: Vec<f64> = scores.collect();
                    let total = scores.iter().map(|score| score.exp()).sum::<f64>().ln();
                    scores.iter().map(|score| score - total).collect()
                };
                text.clone().map(row).collect()
            };
            let (p, g) = (relations(&mine, hidden), relations(&theirs, WIDTH));
            let pairs = p.iter().flatten().zip(g.iter().flatten());
            divergence += pairs.map(|(p, g)| g.exp() * (g - p)).sum::<f64>();
        }
        loss += divergence / (text.len() * relations.heads) as f64;
    }
    loss / batch.num_texts() as f64
}

/// What [`Matching`] says, in f64 from the student's own states.
fn definition(student: &mut CpuEngine, batch: &PackedBatch) -> f64 {
    let (teacher, matching) = (teacher_states(batch), matching());
    let states = student.hidden_states(batch, &[0, 1, 2]).unwrap();
    let logits = student.infer(batch).unwrap().values;
    let [parameters, ..] = &suite::snapshot(student)[..] else { unreachable!("four sets") };
    let hidden = student.config().hidden_size;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let error = |x: &[f64], y: &[f64]| {
        let gap: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
        dot(&gap, &gap) / dot(y, y)
    };
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let mean = |rows: &[Vec<f64>]| -> Vec<f64> {
        let sum = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>();
        (0..WIDTH).map(|at| sum(at) / rows.len() as f64).collect()
    };
    let mut loss = 0.0;
    for (text, range) in batch.ranges().enumerate() {
        for (index, weight) in matching.state_weights.iter().enumerate() {
            let name = Projections::name(index);
            let parameter = |kind| wide(&parameters[&format!("{name}.{kind}")].values);
            let (matrix, bias) = (parameter("weight"), parameter("bias"));
            let (mut found, mut wanted) = (Vec::new(), Vec::new());
            for token in range.clone() {
                let x = wide(&states[index][token * hidden..(token + 1) * hidden]);
                let rows = matrix.chunks_exact(hidden).zip(&bias);
                found.push(rows.map(|(row, bias)| dot(row, &x) + bias).collect::<Vec<f64>>());
                wanted.push(wide(&teacher.states[index][token * WIDTH..(token + 1) * WIDTH]));
            }
            let errors = found.iter().zip(&wanted).map(|(x, y)| error(x, y)).sum::<f64>();
            loss += f64::from(*weight) * errors / range.len() as f64;
            if index == 2 {
                let (x, y) = (mean(&found), mean(&wanted));
                let cosine = dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt();
                loss += f64::from(matching.mean_weight) * (1.0 - cosine);
                let output = wide(&logits[text * WIDTH..(text + 1) * WIDTH]);
                loss += f64::from(matching.head_weight) * error(&output, &y);
            }
        }
    }
    let relations = f64::from(matching.relations.unwrap().weight);
    loss / batch.num_texts() as f64 + relations * relations_by_definition(student, batch)
}

#[test]
fn the_loss_is_its_definition() {
    let (batch, _) = suite::texts(6, 0);
    let mut student = engine(&student_config(), WIDTH, 2, Precision::F32);
    let loss = accumulate(&mut student, &batch, batch.num_texts()).loss;
    let wanted = definition(&mut student, &batch);
    assert!((loss - wanted).abs() < 1e-5 * wanted, "{loss} {wanted}");
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    let (batch, _) = suite::texts(6, 0);
    let rows = batch.num_texts();
    let mut student = engine(&student_config(), WIDTH, 2, Precision::F32);
    accumulate(&mut student, &batch, rows);
    let gradient = gradient(&mut student);
    suite::initialise(&mut student);
    let [parameters, ..] = &suite::snapshot(&mut student)[..] else { unreachable!("four sets") };
    let mut flat = Vec::new();
    for (name, slope) in &gradient {
        let square: f64 = slope.values.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        if square < 1e-9 {
            flat.push(name.as_str());
            continue;
        }
        // Along the gradient the loss rises by its square.
        let mut loss_at = |by: f64| {
            let mut moved = parameters.clone();
            let tensor = moved.get_mut(name).unwrap();
            let values = tensor.values.iter().zip(slope.values.iter());
            let values = values.map(|(&p, &g)| p + (by * f64::from(g) / square) as f32);
            tensor.values = values.collect::<Vec<f32>>().into();
            student.load_tensors(TensorSet::Parameters, &moved).unwrap();
            accumulate(&mut student, &batch, rows).loss
        };
        let step = 4e-3 * square.sqrt().min(1.0);
        let found = (loss_at(step) - loss_at(-step)) / (2.0 * step);
        assert!((found - 1.0).abs() < 2e-2, "{name}: {found} of what it should be");
    }
    // Attention does not see what is added to all keys alike; the relations of the last layer's do.
    assert_eq!(flat, ["bert.encoder.layer.0.attention.self.key.bias"]);
    let projections = gradient.keys().filter(|name| name.starts_with("distillation."));
    assert_eq!(projections.count(), 6);
}

#[test]
fn neither_splitting_a_step_nor_threads_change_it() {
    let (batch, _) = suite::texts(6, 0);
    for precision in [Precision::F32, Precision::Bf16] {
        if !tinymood_kernels::Isa::best().supports(precision) {
            continue;
        }
        let mut whole = engine(&student_config(), WIDTH, 1, precision);
        let loss = accumulate(&mut whole, &batch, 6).loss;
        let mut threaded = engine(&student_config(), WIDTH, 3, precision);
        assert_eq!(accumulate(&mut threaded, &batch, 6).loss, loss);
        let whole = gradient(&mut whole);
        assert_eq!(gradient(&mut threaded), whole);

        let mut parts = engine(&student_config(), WIDTH, 2, precision);
        let mut sum = 0.0;
        for rows in [0..2, 2..6] {
            let mut part = PackedBatch::new();
            for row in rows {
                let range = batch.ranges().nth(row).unwrap();
                part.push(row, &batch.token_ids()[range]);
            }
            sum += accumulate(&mut parts, &part, 6).loss;
        }
        assert!((sum - loss).abs() < 1e-6 * loss, "{sum} {loss}");
        for (name, part) in gradient(&mut parts) {
            for (&a, &b) in part.values.iter().zip(whole[&name].values.iter()) {
                assert!((a - b).abs() < 1e-4 * b.abs().max(0.1), "{name}: {a} {b}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (batch, _) = suite::texts(2, 0);
    let teacher = teacher_states(&batch);
    let at = suite::at_step(0);
    let refused = |outputs: usize, teacher: &TeacherStates, matching: &Matching| {
        let mut student = engine(&student_config(), outputs, 1, Precision::F32);
        student.accumulate_states(&batch, teacher, matching, 2, at).unwrap_err().to_string()
    };
    let short = Matching { state_weights: vec![1.0], ..matching() };
    assert!(refused(WIDTH, &teacher, &short).contains("weights of states: 1"));
    for heads in [0, 3, 5] {
        let uneven = Matching { relations: Some(Relations { weight: 1.0, heads }), ..matching() };
        let error = refused(WIDTH, &teacher, &uneven);
        assert!(error.ends_with("these numbers do: 1, 2, 4"), "{error}");
    }
    let silent = TeacherStates { qkv: Vec::new(), ..teacher.clone() };
    assert!(
        refused(WIDTH, &silent, &matching()).contains("queries, keys and values of the teacher: 0")
    );
    assert!(refused(7, &teacher, &matching()).contains("outputs of the head: 7"));
    let few = TeacherStates { states: teacher.states[..2].to_vec(), ..teacher.clone() };
    assert!(refused(WIDTH, &few, &matching()).contains("states of the teacher: 2"));
    let mut other = teacher.clone();
    other.states[1].pop();
    assert!(refused(WIDTH, &other, &matching()).contains("values of a state"));

    let mut no_student = engine(&suite::tiny_config(), WIDTH, 1, Precision::F32);
    let error = no_student.accumulate_states(&batch, &teacher, &matching(), 2, at).unwrap_err();
    assert!(matches!(error, EngineError::Matching(_)), "{error}");
    let error = no_student.hidden_states(&batch, &[3]).unwrap_err();
    assert!(error.to_string().contains("the model has 2 layers"), "{error}");
    for layer in [0, 3] {
        let error = no_student.teacher_states(&batch, &[], Some(layer)).unwrap_err();
        assert!(error.to_string().contains(&format!("values of layer {layer}")), "{error}");
    }
}

#[test]
fn a_student_comes_to_its_teacher() {
    let (batch, _) = suite::texts(6, 0);
    let mut student = engine(&student_config(), WIDTH, 2, Precision::F32);
    let first = accumulate(&mut student, &batch, 6).loss;
    let first_relations = relations_by_definition(&student, &batch);
    for step in 1..=60 {
        student.step(&Update { weight_decay: 0.0, ..suite::update(step) });
        accumulate(&mut student, &batch, 6);
    }
    let last = definition(&mut student, &batch);
    assert!(last < 0.4 * first, "{first} {last}");
    let last_relations = relations_by_definition(&student, &batch);
    assert!(last_relations < 0.4 * first_relations, "{first_relations} {last_relations}");
}

#[test]
fn relations_alone_are_learned_and_without_them_nothing_is() {
    let (batch, _) = suite::texts(6, 0);
    let teacher = teacher_states(&batch);
    let nothing = Matching {
        state_weights: vec![0.0; 3],
        mean_weight: 0.0,
        head_weight: 0.0,
        relations: None,
    };
    let relations = Some(Relations { weight: 1.0, ..matching().relations.unwrap() });
    let alone = Matching { relations, ..nothing.clone() };
    let mut student = engine(&student_config(), WIDTH, 2, Precision::F32);
    let loss_of = |student: &mut CpuEngine, matching: &Matching, step: u64| {
        let at = suite::at_step(step);
        student.accumulate_states(&batch, &teacher, matching, 6, at).unwrap().loss
    };
    assert_eq!(loss_of(&mut student, &nothing, 0), 0.0);
    let first = relations_by_definition(&student, &batch);
    for step in 1..=40 {
        let before = relations_by_definition(&student, &batch);
        let loss = loss_of(&mut student, &alone, step);
        assert!((loss - before).abs() < 1e-5 * first, "{step}: {loss} {before}");
        student.step(&Update { weight_decay: 0.0, ..suite::update(step) });
    }
    let last = relations_by_definition(&student, &batch);
    assert!(last < 0.3 * first, "{first} {last}");
}
