//! What the Rust peers share: GoEmotions' texts as token ids, batches, arguments, and the two clocks.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{Tokenizer, TruncationParams};

pub const NUM_LABELS: usize = 28;
pub const VOCAB_SIZE: usize = 30_522;
pub const HIDDEN_SIZE: usize = 312;
pub const NUM_LAYERS: usize = 4;
pub const NUM_HEADS: usize = 12;
pub const INTERMEDIATE_SIZE: usize = 1200;
pub const MAX_POSITIONS: usize = 512;

const MAX_LENGTH: usize = 128;
const WARM_UP: usize = 5;
const ROUNDS: usize = 3;

/// `train FILE` or `infer FILE`, then `--name value` pairs.
pub struct Arguments {
    pub what: String,
    pub path: String,
    options: HashMap<String, String>,
}

impl Arguments {
    pub fn parse() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let usage = "usage: train TRAIN.tsv [--batch-size 16] [--steps 200] [--dropout 0.1]\n   \
                     or: infer DEV.tsv [--batch-size 32]";
        let what = words.next().context(usage)?;
        let path = words.next().context(usage)?;
        let mut options = HashMap::new();
        while let Some(name) = words.next() {
            let known = ["--batch-size", "--steps", "--dropout"].contains(&name.as_str());
            ensure!(known, "{name} is not an option\n{usage}");
            let value = words.next().with_context(|| format!("{name} wants a value"))?;
            options.insert(name, value);
        }
        Ok(Self { what, path, options })
    }

    /// The value of an option, or `default` where it was not given.
    pub fn get<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T> {
        let Some(value) = self.options.get(name) else { return Ok(default) };
        value.parse().ok().with_context(|| format!("{name} {value}: not a number that fits"))
    }
}

/// A split: token ids of each text, and its labels.
pub struct Split {
    pub ids: Vec<Vec<u32>>,
    pub labels: Vec<Vec<usize>>,
    tokenizing_seconds: f64,
}

impl Split {
    pub fn read(path: &str) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .has_headers(false)
            .from_path(path)
            .with_context(|| format!("cannot read {path}"))?;
        let (mut texts, mut labels) = (Vec::new(), Vec::new());
        for row in reader.records() {
            let row = row?;
            let (text, of_text) =
                row.get(0).zip(row.get(1)).context("a row has text and labels")?;
            texts.push(text.to_owned());
            labels.push(of_text.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?);
        }
        let tokenizer = tokenizer()?;
        let start = Instant::now();
        let encodings = tokenizer.encode_batch(texts, true).map_err(anyhow::Error::msg)?;
        let tokenizing_seconds = start.elapsed().as_secs_f64();
        let ids = encodings.iter().map(|encoding| encoding.get_ids().to_vec()).collect();
        Ok(Self { ids, labels, tokenizing_seconds })
    }

    /// Indices of each training batch: shuffled, by length within 50 batches, batches shuffled again.
    /// The procedure of `peers/pytorch_train.py --group`.
    fn training_batches(&self, size: usize) -> Vec<Vec<usize>> {
        let mut random = 0x9e37_79b9_7f4a_7c15;
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        shuffle(&mut order, &mut random);
        for span in order.chunks_mut(50 * size) {
            span.sort_by_key(|&i| std::cmp::Reverse(self.ids[i].len()));
        }
        let mut batches: Vec<Vec<usize>> = order.chunks(size).map(<[usize]>::to_vec).collect();
        shuffle(&mut batches, &mut random);
        batches
    }

    /// The batch of these rows, padded to its longest text.
    pub fn collate(&self, rows: &[usize]) -> Batch {
        let width = rows.iter().map(|&i| self.ids[i].len()).max().unwrap_or(0);
        let mut batch = Batch { texts: rows.len(), width, ..Batch::default() };
        for &row in rows {
            let ids = &self.ids[row];
            for position in 0..width {
                batch.tokens.push(ids.get(position).copied().unwrap_or(0));
                batch.is_padding.push(position >= ids.len());
            }
            let mut targets = [0.0; NUM_LABELS];
            self.labels[row].iter().for_each(|&label| targets[label] = 1.0);
            batch.targets.extend(targets);
        }
        batch
    }

    /// Times `step`, which trains on a batch and returns its loss. First one batch is trained on again
    /// and again: its loss must be finite and fall.
    pub fn time_training(
        &self,
        name: &str,
        arguments: &Arguments,
        mut step: impl FnMut(&Batch) -> Result<f32>,
    ) -> Result<()> {
        let (size, steps) = (arguments.get("--batch-size", 16)?, arguments.get("--steps", 200)?);
        ensure!(size > 0, "--batch-size is at least 1");
        let batches = self.training_batches(size);
        let batches = &batches[..batches.len().min(WARM_UP + steps)];
        ensure!(batches.len() > WARM_UP, "{}: too few rows for these steps", arguments.path);
        let repeated = self.collate(&batches[0]);
        let losses = (0..30).map(|_| step(&repeated)).collect::<Result<Vec<f32>>>()?;
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        let falls = losses.iter().all(|loss| loss.is_finite()) && last < 0.95 * first;
        ensure!(falls, "the loss of a repeated batch does not fall: {losses:?}");

        for rows in &batches[..WARM_UP] {
            step(&self.collate(rows))?;
        }
        let start = Instant::now();
        for rows in &batches[WARM_UP..] {
            step(&self.collate(rows))?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let samples: usize = batches[WARM_UP..].iter().map(Vec::len).sum();
        eprintln!("checked: the loss of a repeated batch fell from {first:.3} to {last:.3}");
        println!("{name}, batch {size}: {:.1} samples/s", samples as f64 / seconds);
        Ok(())
    }

    /// Times `forward`, which returns a batch's logits, over all texts sorted by length. First the
    /// logits of a text alone must equal those of the same text among longer ones.
    pub fn time_inference(
        &self,
        name: &str,
        arguments: &Arguments,
        forward: impl Fn(&Batch) -> Result<Vec<f32>>,
    ) -> Result<()> {
        let size = arguments.get("--batch-size", 32)?;
        ensure!(size > 0, "--batch-size is at least 1");
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by_key(|&i| self.ids[i].len());
        let (short, long) = (order[0], order[order.len() - 1]);
        let alone = forward(&self.collate(&[short]))?;
        let padded = forward(&self.collate(&[short, long]))?;
        for (a, b) in alone.iter().zip(&padded) {
            ensure!((a - b).abs() < 1e-4, "padding changes the logits: {a} and {b}");
        }
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for rows in order.chunks(size) {
                forward(&self.collate(rows))?;
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        let rate = |seconds: f64| order.len() as f64 / seconds;
        println!(
            "{name}, batch {size}: {:.0} texts/s from text, {:.0} texts/s from ids",
            rate(best + self.tokenizing_seconds),
            rate(best),
        );
        Ok(())
    }
}

/// Texts side by side, row-major: `tokens` and `is_padding` are (texts, width).
#[derive(Default)]
pub struct Batch {
    pub texts: usize,
    pub width: usize,
    pub tokens: Vec<u32>,
    pub is_padding: Vec<bool>,
    /// (texts, NUM_LABELS)
    pub targets: Vec<f32>,
}

/// `train` or `infer`, as the arguments say.
pub fn run(
    train: impl FnOnce(&Split, &Arguments) -> Result<()>,
    infer: impl FnOnce(&Split, &Arguments) -> Result<()>,
) -> Result<()> {
    let arguments = Arguments::parse()?;
    let split = Split::read(&arguments.path)?;
    ensure!(!split.ids.is_empty(), "{} has no rows", arguments.path);
    match arguments.what.as_str() {
        "train" => train(&split, &arguments),
        "infer" => infer(&split, &arguments),
        other => bail!("{other} is neither train nor infer"),
    }
}

/// BERT's uncased WordPiece over the repository's vocabulary.
fn tokenizer() -> Result<Tokenizer> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/vocab/vocab.txt");
    let path = path.to_str().context("the repository's path is not UTF-8")?;
    let model = WordPiece::from_file(path).build().map_err(anyhow::Error::msg)?;
    let mut tokenizer = Tokenizer::new(model);
    let id = |name: &str, id: u32| (name.to_owned(), id);
    tokenizer
        .with_normalizer(Some(BertNormalizer::default()))
        .map_err(anyhow::Error::msg)?
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(BertProcessing::new(id("[SEP]", 102), id("[CLS]", 101))))
        .with_truncation(Some(TruncationParams { max_length: MAX_LENGTH, ..Default::default() }))
        .map_err(anyhow::Error::msg)?;
    Ok(tokenizer)
}

/// Fisher and Yates, drawn by xorshift: the same order in each run.
fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for last in (1..items.len()).rev() {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        items.swap(last, (*random % (last as u64 + 1)) as usize);
    }
}
