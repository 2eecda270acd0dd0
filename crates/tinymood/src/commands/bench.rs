//! `tinymood bench`: samples a second in training, texts a second and milliseconds a text in
//! inference, beside what the machine could do at most. Answers are checked before they are timed.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tinymood_core::{
    Engine, Infer, ModelConfig, Objective, PackedBatch, Pooling, Randomness, Targets, Taxonomy,
    TensorMap, TensorSet,
};
use tinymood_engine::{CpuEngine, CpuSettings, Part};
use tinymood_eval::infer_split;
use tinymood_kernels::{Isa, Precision, matmul};
use tinymood_text::{EncodedSplit, Tokenizer, Wanted};
use tinymood_train::{BatchPlan, Recipe, RecipeOverrides, TrainSettings};

use super::{print, print_json};
use crate::args::{BenchArgs, BenchWhat, GlobalArgs, PrecisionArg};
use crate::data::DataSettings;
use crate::init::{Start, start};
use crate::model::{ModelError, TOKENS_PER_BATCH};

/// Steps before the clock starts.
const WARM_UP: usize = 5;
/// Texts of the check, and at most of the latencies.
const CHECKED: usize = 32;

/// Texts that are inferred between two looks at the clock, a validation split's worth.
const MANY: usize = 5_000;

/// What is measured with.
struct Bench {
    seconds: f64,
    settings: TrainSettings,
    config: ModelConfig,
    tensors: TensorMap,
    tokenizer: Tokenizer,
    texts: Vec<String>,
    split: EncodedSplit,
    threads: Option<usize>,
}

pub(super) fn run(args: BenchArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let isa = Isa::from_environment()?;
    let precisions = match global.precision {
        PrecisionArg::Auto => vec![Precision::F32, Precision::Bf16, Precision::Int8],
        PrecisionArg::F32 => vec![Precision::F32],
        PrecisionArg::Bf16 => vec![Precision::Bf16],
        PrecisionArg::Int8 => vec![Precision::Int8],
    };
    let trains = |precision| precision != Precision::Int8;
    if args.what == BenchWhat::Train && !precisions.iter().copied().any(trains) {
        return Err(ModelError::TrainInt8.into());
    }
    let wanted = |&precision: &Precision| {
        isa.supports(precision) && (args.what != BenchWhat::Train || trains(precision))
    };
    let precisions: Vec<Precision> = precisions.into_iter().filter(wanted).collect();
    if precisions.is_empty() {
        bail!("this CPU does not multiply in {:?} (its kernels are {isa})", global.precision);
    }
    let bench = Bench::new(&args, global)?;
    let mut results = Vec::new();
    for precision in precisions {
        let mut engine = bench.engine(isa, precision)?;
        let difference = bench.check(&engine)?;
        let limit = matmul::limit(engine.cpu(), (bench.seconds / 5.0).min(1.0));
        let mut result = json!({
            "engine": engine.describe(),
            "precision": precision.to_string(),
            "largest_difference_of_logits": difference,
            "limit_gflops": rounded(limit / 1e9),
        });
        if args.what != BenchWhat::Train {
            result["inference"] = bench.inference(&engine, limit)?;
        }
        if args.what != BenchWhat::Infer && trains(precision) {
            let of_size = |&size: &usize| bench.training(&mut engine, size, limit);
            let training: anyhow::Result<Vec<Value>> =
                args.batch_size.iter().map(of_size).collect();
            result["training"] = training?.into();
        }
        if !args.json {
            print(&describe(&result)?)?;
        }
        results.push(result);
    }
    let record = json!({
        "tinymood": env!("CARGO_PKG_VERSION"),
        "unix_time": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        "cpu": cpu_name(),
        "init": args.init,
        "data": args.data,
        "texts": bench.split.texts.len(),
        "mean_tokens": rounded(bench.mean_tokens()),
        "results": results,
    });
    if let Some(path) = &args.record {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{record}"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json { print_json(&record) } else { Ok(()) }
}

impl Bench {
    fn new(args: &BenchArgs, global: &GlobalArgs) -> anyhow::Result<Self> {
        let recipe = Recipe::load("seed")?
            .with(&RecipeOverrides { group_by_length: Some(true), ..RecipeOverrides::default() });
        let settings = TrainSettings::new(recipe)?;
        let data = DataSettings::named(&args.data, Taxonomy::Original);
        let train =
            data.open(global, Wanted::TRAIN)?.train.context("the data has no train split")?;
        let Start { config, tensors, tokenizer, .. } =
            start(&args.init, &train.labels, &settings, global)?;
        let split = EncodedSplit::new(&train, &tokenizer)?;
        let texts = train.examples.into_iter().map(|example| example.text).collect();
        let (seconds, threads) = (args.seconds, global.threads);
        Ok(Self { seconds, settings, config, tensors, tokenizer, texts, split, threads })
    }

    fn engine(&self, isa: Isa, precision: Precision) -> anyhow::Result<CpuEngine> {
        let settings =
            CpuSettings { threads: self.threads, isa: Some(isa), precision: Some(precision) };
        let mut engine = CpuEngine::new(self.config.clone(), self.split.num_labels, settings)?;
        engine.load_tensors(TensorSet::Parameters, &self.tensors)?;
        Ok(engine)
    }

    /// Holds the engine's logits against those of the plainest kernels, in f32. Returns the largest
    /// difference.
    fn check(&self, engine: &CpuEngine) -> anyhow::Result<f32> {
        let plain = self.engine(Isa::Portable, Precision::F32)?;
        let texts = &self.split.texts[..CHECKED.min(self.split.texts.len())];
        let expected = infer_split(&plain, texts, TOKENS_PER_BATCH)?.values;
        let found = infer_split(engine, texts, TOKENS_PER_BATCH)?.values;
        let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
        let scale = largest(&mut expected.iter().map(|x| x.abs())).max(1e-3);
        let difference = largest(&mut expected.iter().zip(&found).map(|(a, b)| (a - b).abs()));
        let allowed = match engine.cpu().precision() {
            Precision::F32 => 1e-4,
            Precision::Bf16 => 5e-2,
            Precision::Int8 => 1e-1,
        };
        if difference.is_nan() || difference > allowed * scale {
            bail!("{}: logits differ by {difference} of {scale}", engine.describe());
        }
        Ok(difference)
    }

    fn mean_tokens(&self) -> f64 {
        let tokens: usize = self.split.texts.iter().map(|text| text.ids.len()).sum();
        tokens as f64 / self.split.texts.len().max(1) as f64
    }

    /// Whole training steps, as the seed recipe with texts of like length together.
    fn training(
        &self,
        engine: &mut CpuEngine,
        batch_size: usize,
        limit: f64,
    ) -> anyhow::Result<Value> {
        engine.load_tensors(TensorSet::Parameters, &self.tensors)?;
        let recipe = self.settings.recipe().clone().with(&RecipeOverrides {
            batch_size: Some(batch_size as u64),
            ..RecipeOverrides::default()
        });
        let settings = TrainSettings::new(recipe)?;
        let plan = BatchPlan::new(&self.split.texts, &settings);
        let c = self.split.num_labels;
        let mut batch = PackedBatch::new();
        let mut targets = Targets { values: Vec::new(), num_labels: c };
        let (mut texts, mut tokens, mut operations) = (0, 0, Operations::default());
        let (mut step, mut timed) = (0_u64, 0_u64);
        let mut start = Instant::now();
        'epochs: for epoch in 0.. {
            for rows in plan.epoch(epoch) {
                if step == WARM_UP as u64 {
                    engine.start_profile();
                    start = Instant::now();
                }
                batch.clear();
                targets.values.clear();
                for &row in &rows {
                    batch.push(row, &self.split.texts[row].ids);
                    targets.values.extend_from_slice(&self.split.targets[row * c..(row + 1) * c]);
                }
                let at = Randomness { seed: 1, step, first_token: 0, first_text: 0 };
                engine.accumulate(&batch, &targets, &Objective::bce(), rows.len(), at)?;
                engine.step(&settings.update(step + 1, 2e-5));
                step += 1;
                if step > WARM_UP as u64 {
                    timed += 1;
                    texts += batch.num_texts();
                    tokens += batch.num_tokens();
                    // Backward multiplies twice for each multiplication of forward.
                    let of_batch = Operations::of(&self.config, &batch);
                    operations.linear += 3.0 * of_batch.linear;
                    operations.attention += 3.0 * of_batch.attention;
                    if start.elapsed().as_secs_f64() > self.seconds {
                        break 'epochs;
                    }
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let step_ms = 1e3 * seconds / timed as f64;
        let mut rest = step_ms;
        let mut in_linear = 0.0;
        let mut parts = serde_json::Map::new();
        for (part, time) in engine.profile() {
            let ms = 1e3 * time.as_secs_f64() / timed as f64;
            rest -= ms;
            if matches!(part, Part::LinearForward | Part::WeightGradients | Part::InputGradients) {
                in_linear += time.as_secs_f64();
            }
            parts.insert(part.name().to_owned(), rounded(ms).into());
        }
        parts.insert("all else".to_owned(), rounded(rest).into());
        Ok(json!({
            "batch_size": batch_size,
            "samples_per_second": rounded(texts as f64 / seconds),
            "tokens_per_second": rounded(tokens as f64 / seconds),
            "gflops": rounded(operations.total() / seconds / 1e9),
            "share_of_limit": rounded(operations.total() / seconds / limit),
            "linear_layers": {
                "gflops": rounded(operations.linear / in_linear / 1e9),
                "share_of_limit": rounded(operations.linear / in_linear / limit),
            },
            "step_ms": rounded(step_ms),
            "parts_ms": parts,
        }))
    }

    fn inference(&self, engine: &CpuEngine, limit: f64) -> anyhow::Result<Value> {
        let texts: Vec<&str> = self.texts.iter().take(MANY).map(String::as_str).collect();
        // Many: again and again.
        let (mut done, mut operations) = (0, 0.0);
        let per_text = {
            let mut batch = PackedBatch::new();
            for (row, text) in self.split.texts.iter().take(MANY).enumerate() {
                batch.push(row, &text.ids);
            }
            Operations::of(&self.config, &batch).total() / texts.len() as f64
        };
        let mut in_tokenizer = 0.0;
        infer_split(engine, &self.split.texts[..CHECKED.min(texts.len())], TOKENS_PER_BATCH)?;
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < self.seconds {
            let begun = Instant::now();
            let encoded = self.tokenizer.encode_all(&texts)?;
            in_tokenizer += begun.elapsed().as_secs_f64();
            infer_split(engine, &encoded, TOKENS_PER_BATCH)?;
            done += texts.len();
            operations += per_text * texts.len() as f64;
        }
        let seconds = start.elapsed().as_secs_f64();
        // One at a time, warm.
        let mut latencies = Vec::new();
        let start = Instant::now();
        for text in texts.iter().cycle() {
            let begun = Instant::now();
            let mut batch = PackedBatch::new();
            batch.push(0, &self.tokenizer.encode(text)?.ids);
            engine.infer(&batch)?;
            latencies.push(begun.elapsed().as_secs_f64() * 1e3);
            if start.elapsed().as_secs_f64() > self.seconds / 2.0 {
                break;
            }
        }
        latencies.sort_by(f64::total_cmp);
        let quantile = |q: f64| rounded(latencies[((latencies.len() - 1) as f64 * q) as usize]);
        Ok(json!({
            "texts_per_second": rounded(done as f64 / seconds),
            "share_of_tokenizer": rounded(in_tokenizer / seconds),
            "gflops": rounded(operations / seconds / 1e9),
            "share_of_limit": rounded(operations / seconds / limit),
            "one_text_ms": { "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99) },
        }))
    }
}

/// Multiplications and additions.
#[derive(Default)]
struct Operations {
    linear: f64,
    attention: f64,
}

impl Operations {
    /// Those of one forward pass. Of the last layer, pooling by `[CLS]` needs the keys and values of all
    /// tokens and else only the first.
    fn of(config: &ModelConfig, batch: &PackedBatch) -> Self {
        let (h, i) = (config.hidden_size as f64, config.intermediate_size as f64);
        let tokens = batch.num_tokens() as f64;
        let pairs: f64 = batch.ranges().map(|range| (range.len() * range.len()) as f64).sum();
        let mut operations = Self::default();
        for layer in 1..=config.num_hidden_layers {
            let first_only = layer == config.num_hidden_layers && config.pooling == Pooling::Cls;
            let (rows, pairs) =
                if first_only { (batch.num_texts() as f64, tokens) } else { (tokens, pairs) };
            operations.linear += 2.0 * (tokens * 3.0 * h * h + rows * (h * h + 2.0 * h * i));
            operations.attention += 4.0 * pairs * h;
        }
        operations
    }

    fn total(&self) -> f64 {
        self.linear + self.attention
    }
}

/// To four significant digits: more would be noise.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

fn describe(result: &Value) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{}\n  limit of multiplication {} GFLOP/s; logits within {:.1e} of the plainest kernels",
        result["engine"].as_str().unwrap_or_default(),
        result["limit_gflops"],
        result["largest_difference_of_logits"].as_f64().unwrap_or_default(),
    )?;
    let share = |of: &Value| 100.0 * of["share_of_limit"].as_f64().unwrap_or_default();
    if let Some(found) = result.get("inference") {
        writeln!(
            text,
            "  inference from text: {} texts/s ({} GFLOP/s, {:.0} % of the limit)",
            found["texts_per_second"],
            found["gflops"],
            share(found),
        )?;
        let one = &found["one_text_ms"];
        let (p50, p90, p99) = (&one["p50"], &one["p90"], &one["p99"]);
        writeln!(text, "  one text: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms")?;
    }
    for found in result["training"].as_array().into_iter().flatten() {
        writeln!(
            text,
            "  training, batch {}: {} samples/s ({} GFLOP/s, {:.0} % of the limit); {} ms a step:",
            found["batch_size"],
            found["samples_per_second"],
            found["gflops"],
            share(found),
            found["step_ms"],
        )?;
        let linear = &found["linear_layers"];
        writeln!(
            text,
            "    linear layers alone: {} GFLOP/s, {:.0} % of the limit",
            linear["gflops"],
            share(linear),
        )?;
        for (part, ms) in found["parts_ms"].as_object().into_iter().flatten() {
            writeln!(text, "    {part:<20} {ms:>8}")?;
        }
    }
    Ok(text)
}

/// What the system calls the CPU.
fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_four_digits() {
        assert_eq!(rounded(123_456.0), 123_500.0);
        assert_eq!(rounded(0.000_123_456), 0.000_123_5);
        assert_eq!(rounded(0.0), 0.0);
    }

    #[test]
    fn counts_the_operations_of_a_text() {
        let config = ModelConfig::preset("4L-312D").unwrap();
        let mut batch = PackedBatch::new();
        batch.push(0, &[1; 19]);
        let mean = ModelConfig { pooling: Pooling::Mean, ..config.clone() };
        let all = Operations::of(&mean, &batch);
        // 2 * 19 * 4 layers * (4 * 312² + 2 * 312 * 1200), and attention's 4 * 19² * 312 a layer.
        assert_eq!((all.linear, all.attention), (173_002_752.0, 1_802_112.0));
        // Without 2 * 18 * (312² + 2 * 312 * 1200) and 4 * 18 * 19 * 312 of the last layer.
        let first = Operations::of(&config, &batch);
        assert_eq!(all.linear - first.linear, 30_461_184.0);
        assert_eq!(all.attention - first.attention, 426_816.0);
    }
}
