//! `tinymood data`: what a dataset is like, and fetching one.

use anyhow::Context;
use serde_json::json;
use tinymood_core::printable::one_line;
use tinymood_core::{Taxonomy, shortest_decimal};
use tinymood_text::{EncodedSplit, SplitStats, Stats, Tokenizer, Wanted, goemotions};

use super::{print, print_json};
use crate::args::{DataArgs, DataCommand, DatasetArgs, GlobalArgs, SplitArg, StatsArgs};
use crate::data::{DataSettings, goemotions_source};

pub(super) fn run(args: DataArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    match args.command {
        DataCommand::Stats(args) => stats(&args, global),
        DataCommand::Fetch { test } => fetch(test, global),
        DataCommand::Show { dataset, split, rows } => show(&dataset, split, rows, global),
    }
}

fn stats(args: &StatsArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let settings = DataSettings::new(&args.dataset, Taxonomy::from(args.taxonomy))?;
    // That one is fetched when it is asked for by name.
    let wanted = match settings.data.as_str() {
        "goemotions" => Wanted::FOR_TRAINING,
        _ => Wanted::ALL,
    };
    let splits = settings.open(global, wanted)?;
    if let Some((_, split)) = splits.named().next() {
        settings.tell_labels(split, global);
    }
    let tokenizer = Tokenizer::bundled().with_max_length(args.max_length)?;
    let tokenizer = tokenizer.with_threads(global.threads);
    let stats = Stats::new(&splits, args.max_length, |split| EncodedSplit::new(split, &tokenizer))?;
    if args.json {
        return print_json(&serde_json::to_value(&stats).context("counts are plain values")?);
    }
    print(&table(&stats))
}

fn table(stats: &Stats) -> String {
    let order = ["train", "dev", "test"];
    let splits: Vec<(&str, &SplitStats)> =
        order.into_iter().filter_map(|name| Some((name, stats.splits.get(name)?))).collect();
    let mut text = format!("{:<28}", "");
    splits.iter().for_each(|(name, _)| text.push_str(&format!("{name:>14}")));
    text.push('\n');
    let share = |count: usize, split: &SplitStats| {
        format!("{count} {:>4.1}%", 100.0 * count as f64 / split.rows.max(1) as f64)
    };
    let mut line = |name: &str, value: &dyn Fn(&SplitStats) -> String| {
        text.push_str(&format!("{name:<28}"));
        splits.iter().for_each(|(_, split)| text.push_str(&format!("{:>14}", value(split))));
        text.push('\n');
    };
    line("rows", &|split| split.rows.to_string());
    line("malformed rows", &|split| split.bad_rows.to_string());
    line("duplicate texts", &|split| split.duplicates.to_string());
    line("mean length in tokens", &|split| format!("{:.1}", split.mean_length));
    line("longest", &|split| split.longest.to_string());
    line(&format!("cut at {} tokens", stats.max_length), &|split| split.truncated.to_string());
    let most = splits.iter().filter_map(|(_, split)| split.labels_per_row.keys().max()).max();
    for number in 0..=most.copied().unwrap_or(0) {
        line(&format!("rows with {number} labels"), &|split| {
            share(split.labels_per_row.get(&number).copied().unwrap_or(0), split)
        });
    }
    let bins = splits.first().map_or(0, |(_, split)| split.lengths.len());
    for bin in 0..bins {
        let (from, to) = (splits[0].1.lengths[bin].from, splits[0].1.lengths[bin].to);
        let name = match bin + 1 == bins {
            true => format!("length {from} and more"),
            false => format!("length {from} to {to}"),
        };
        line(&name, &|split| share(split.lengths[bin].rows, split));
    }
    let labels = splits.first().map_or(0, |(_, split)| split.label_counts.len());
    for label in 0..labels {
        let name = &splits[0].1.label_counts[label].0;
        line(&one_line(name), &|split| share(split.label_counts[label].1, split));
    }
    for (pair, count) in &stats.duplicates_across {
        text.push_str(&format!("texts both in {pair}: {count}\n"));
    }
    text
}

fn fetch(test: bool, global: &GlobalArgs) -> anyhow::Result<()> {
    let source = goemotions_source(global)?;
    let mut splits = vec![goemotions::TRAIN, goemotions::DEV];
    if test {
        splits.push(goemotions::TEST);
    }
    let mut paths = String::new();
    for split in splits {
        paths += &format!("{}\n", source.fetch(split)?.display());
    }
    print(&paths)
}

fn show(
    dataset: &DatasetArgs,
    split: SplitArg,
    rows: usize,
    global: &GlobalArgs,
) -> anyhow::Result<()> {
    let settings = DataSettings::new(dataset, Taxonomy::Original)?;
    let splits = settings.open(global, split.into())?;
    let (_, dataset) = settings.choose(splits, split)?;
    settings.tell_labels(&dataset, global);
    for example in dataset.examples.iter().take(rows) {
        let holding = example.targets.iter().enumerate().filter(|(_, target)| **target > 0.0);
        let labels: serde_json::Map<String, serde_json::Value> = holding
            .map(|(label, target)| {
                (dataset.labels.name(label).to_owned(), json!(shortest_decimal(*target)))
            })
            .collect();
        let hard = labels.values().all(|target| target.as_f64() == Some(1.0));
        let labels = match hard {
            true => json!(labels.keys().collect::<Vec<_>>()),
            false => json!(labels),
        };
        let row = json!({ "line": example.line, "text": example.text, "labels": labels });
        print(&format!("{row}\n"))?;
    }
    Ok(())
}
