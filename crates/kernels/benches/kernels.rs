//! Kernels at the shapes of TinyBERT (4L-312D) in a batch of 16 texts of GoEmotions: GFLOP/s beside
//! the limit of the register blocks. `cargo bench -p tinymood-kernels [-- NAME]`
//!
//! Answers are checked in each module's tests; what is printed here is the fastest of many runs.

use std::hint::black_box;
use std::time::Instant;

use tinymood_kernels::adamw::{AdamW, Tensors};
use tinymood_kernels::attention::{self, Queries, Shape};
use tinymood_kernels::matmul::{limit, matmul, matmul_transposed, update_weight};
use tinymood_kernels::{Buffer, Cpu, Dropout, Isa, Operand, PackedMatrix, Precision, relations};

const TEXTS: u32 = 16;
const TOKENS: u32 = 19;

fn main() {
    let only: Option<String> = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let isa = Isa::best();
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        if !isa.supports(precision) {
            continue;
        }
        for threads in [1, 2] {
            let cpu = Cpu::new(isa, precision, threads).unwrap();
            let limit = limit(&cpu, 0.3);
            println!("{isa} {precision}, {threads} threads: limit {:.0} GFLOP/s", limit / 1e9);
            let report = |name: String, operations: f64, body: &mut dyn FnMut()| {
                if wanted(&name) {
                    let seconds = fastest(body);
                    let share = 100.0 * operations / seconds / limit;
                    let rate = operations / seconds / 1e9;
                    println!(
                        "  {name:<34} {:8.1} us {rate:7.0} GFLOP/s {share:4.0} %",
                        seconds * 1e6
                    );
                }
            };
            let m = (TEXTS * TOKENS) as usize;
            for (k, n) in [(312, 936), (312, 312), (312, 1200), (1200, 312)] {
                let operations = (2 * m * k * n) as f64;
                let (a, mut c) = (operand(&cpu, m, k), cpu.buffer(m * n));
                let mut b = PackedMatrix::new(&cpu, k, n);
                b.pack(&cpu, &waves(&cpu, k * n));
                report(format!("matmul {m} x {k} x {n}"), operations, &mut || {
                    matmul(&cpu, a.view(), &b, &mut c);
                });
                if precision == Precision::Int8 {
                    continue; // only infers
                }
                let d_y = operand(&cpu, m, n);
                let (mut d_w, mut d_b) = (cpu.buffer(n * k), cpu.buffer(n));
                report(format!("weight gradient {n} x {m} x {k}"), operations, &mut || {
                    let (d_y, a) = (d_y.view(), a.view());
                    matmul_transposed(&cpu, d_y, a, false, &mut d_w, &mut d_b);
                });
            }
            // All weights of four layers in turn: more than the nearer caches hold.
            for m in [TOKENS as usize, m, 512] {
                let shapes = [(312, 936), (312, 312), (312, 1200), (1200, 312)];
                let mut layers: Vec<_> = (shapes.iter().cycle().take(4 * shapes.len()))
                    .map(|&(k, n)| {
                        let mut b = PackedMatrix::new(&cpu, k, n);
                        b.pack(&cpu, &waves(&cpu, k * n));
                        (operand(&cpu, m, k), b, cpu.buffer(m * n))
                    })
                    .collect();
                let products: usize = shapes.iter().map(|(k, n)| k * n).sum();
                report(format!("4 layers of {m} tokens"), (8 * m * products) as f64, &mut || {
                    for (a, b, c) in &mut layers {
                        matmul(&cpu, a.view(), b, c);
                    }
                });
            }
            if precision == Precision::Int8 {
                continue;
            }
            let lengths: Vec<u32> = (0..=TEXTS).map(|text| text * TOKENS).collect();
            let shape = Shape {
                cumulative_lengths: &lengths,
                heads: 12,
                head_size: 26,
                queries: Queries::All,
            };
            let (qkv, d_context) = (operand(&cpu, m, 936), operand(&cpu, m, 312));
            let (qkv, d_context) = (qkv.view(), d_context.view());
            let mut kept = cpu.buffer(shape.probabilities_len());
            let (mut context, mut d_qkv) = (operand(&cpu, m, 312), operand(&cpu, m, 936));
            let dropout = Dropout::new(0.1, 1, 2, 3, 4);
            let operations = f64::from(4 * TEXTS * TOKENS * TOKENS * 312);
            report("attention forward".to_owned(), operations, &mut || {
                attention::forward(&cpu, shape, qkv, dropout, Some(&mut kept), &mut context);
            });
            report("attention backward".to_owned(), 2.0 * operations, &mut || {
                attention::backward(
                    &cpu,
                    shape,
                    qkv,
                    dropout,
                    &kept,
                    context.view(),
                    d_context,
                    &mut d_qkv,
                );
            });
            let teacher = waves(&cpu, m * 3 * 384);
            let (weights, mut losses) = (vec![1.0 / m as f32; m], vec![0.0; 12 * m]);
            let operations = f64::from(2 * TEXTS * TOKENS * TOKENS * (6 * 312 + 3 * 384));
            report("relations".to_owned(), operations, &mut || {
                let d_qkv = &mut d_qkv;
                relations::forward_backward(
                    &cpu,
                    shape,
                    qkv,
                    &teacher,
                    &weights,
                    &mut losses,
                    d_qkv,
                );
            });
            let (n, k) = (1200, 312);
            let [mut w, mut g, mut m, mut v] = [(); 4].map(|()| waves(&cpu, n * k));
            v.iter_mut().for_each(|v| *v *= *v);
            let mut forward = PackedMatrix::new(&cpu, k, n);
            let mut backward = PackedMatrix::new(&cpu, n, k);
            report("update and pack 1200 x 312".to_owned(), 0.0, &mut || {
                let tensors =
                    Tensors { parameters: &mut w, first_moment: &mut m, second_moment: &mut v };
                update_weight(&cpu, &SETTINGS, tensors, &mut g, &mut forward, &mut backward);
            });
        }
    }
}

const SETTINGS: AdamW = AdamW {
    learning_rate: 1e-4,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
    step: 10,
    gradient_scale: 1.0,
};

fn waves(cpu: &Cpu, len: usize) -> Buffer<f32> {
    let mut values = cpu.buffer(len);
    values.iter_mut().enumerate().for_each(|(i, x): (usize, &mut f32)| *x = (i as f32).sin());
    values
}

fn operand(cpu: &Cpu, rows: usize, width: usize) -> Operand {
    let mut operand = Operand::default();
    operand.set(cpu, &waves(cpu, rows * width), width);
    operand
}

/// Seconds of the fastest run in a fifth of a second.
fn fastest(body: &mut dyn FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 0.2 {
        let run = Instant::now();
        body();
        best = best.min(run.elapsed().as_secs_f64());
        black_box(());
    }
    best
}
