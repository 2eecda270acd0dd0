//! Runs beside one another. The first is what the others are held against.

use serde::Serialize;
use tinymood_eval::paired::{Difference, PairedBootstrap, holm, paired_bootstrap};

use crate::error::ReportError;
use crate::figures::ReportOptions;
use crate::kept::KeptPredictions;
use crate::record::RunRecord;
use crate::run::RunReport;
use crate::seeds::{self, SeedGroup};

/// Runs that colours and dashes can tell apart.
pub const MOST_RUNS: usize = 8;

/// Runs beside one another.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The runs, in the order named.
    pub runs: Vec<RunReport>,
    /// Each run but the first held against the first; `None` where one has no predictions, and where
    /// there are no resamplings.
    pub tests: Vec<Option<PairedBootstrap>>,
    /// The tests' p-values, adjusted for there being several; `None` where there is no test, or no
    /// other.
    pub adjusted: Vec<Option<Adjusted>>,
    /// Runs that differ in their seed alone.
    pub seeds: Vec<SeedGroup>,
}

/// P-values of one run's test, adjusted for the runs that were tested (Holm, 1979), each figure by
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Adjusted {
    /// Of the difference in F1 over all decisions.
    pub micro_f1: f64,
    /// Of the difference in the mean F1 of the labels.
    pub macro_f1: f64,
}

impl Comparison {
    /// Compares runs by what their models say of the same rows.
    ///
    /// # Errors
    /// When runs were judged on different rows, one is named twice, or there are too many.
    pub fn new(records: &[RunRecord], options: &ReportOptions) -> Result<Self, ReportError> {
        if records.len() > MOST_RUNS {
            return Err(ReportError::TooManyRuns { found: records.len(), most: MOST_RUNS });
        }
        for (index, record) in records.iter().enumerate() {
            if records[..index].iter().any(|earlier| same_folder(earlier, record)) {
                return Err(ReportError::Twice(record.path.clone()));
            }
        }
        let judged: Vec<&RunRecord> = records.iter().filter(|record| is_judged(record)).collect();
        for pair in judged.windows(2) {
            check_same_rows(pair[0], pair[1])?;
        }
        let mut runs: Vec<RunReport> = records
            .iter()
            .map(|record| RunReport::new(record, options))
            .collect::<Result<_, _>>()?;
        rename_twins(&mut runs);
        let tests = records[1..].iter().map(|record| test(&records[0], record, options));
        let tests = tests.collect::<Result<Vec<_>, _>>()?;
        let adjusted = adjusted(&tests);
        let seeds = seeds::groups(&runs);
        Ok(Self { runs, tests, adjusted, seeds })
    }
}

/// Whether two records are of one folder, however it was named.
fn same_folder(a: &RunRecord, b: &RunRecord) -> bool {
    let real = |record: &RunRecord| record.path.canonicalize().ok();
    a.path == b.path || real(a).is_some_and(|path| Some(path) == real(b))
}

fn is_judged(record: &RunRecord) -> bool {
    record.kept.is_some() || record.evaluation.is_some()
}

/// Runs in folders of one name are told apart by their paths.
fn rename_twins(runs: &mut [RunReport]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (index, run) in runs.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == names[index]).count() > 1 {
            run.name = format!("{} ({})", names[index], index + 1);
        }
    }
}

fn check_same_rows(a: &RunRecord, b: &RunRecord) -> Result<(), ReportError> {
    let how = match (&a.kept, &b.kept) {
        (Some(first), Some(second)) => kept_difference(first, second),
        _ => figures_difference(&shape(a), &shape(b)),
    };
    match how {
        None => Ok(()),
        Some(how) => {
            let (first, second) = (a.name.clone(), b.name.clone());
            Err(ReportError::DifferentRows { first, second, how })
        }
    }
}

fn kept_difference(a: &KeptPredictions, b: &KeptPredictions) -> Option<String> {
    if a.rows_sha256() == b.rows_sha256() {
        return None;
    }
    let shape = |kept: &KeptPredictions| Shape {
        split: kept.split.clone(),
        rows: kept.rows.len(),
        labels: kept.labels.names().to_vec(),
        support: Vec::new(),
    };
    let coarse = figures_difference(&shape(a), &shape(b));
    coarse.or_else(|| {
        let c = a.labels.len();
        let row = (0..a.rows.len()).find(|&row| {
            let targets = row * c..(row + 1) * c;
            a.rows[row].text != b.rows[row].text || a.targets[targets.clone()] != b.targets[targets]
        })?;
        let what =
            if a.rows[row].text == b.rows[row].text { "other labels" } else { "another text" };
        Some(format!("row {} has {what}", row + 1))
    })
}

/// What figures tell of the rows behind them.
struct Shape {
    split: String,
    rows: usize,
    labels: Vec<String>,
    /// Empty where it is not known.
    support: Vec<u64>,
}

fn shape(record: &RunRecord) -> Shape {
    if let Some(kept) = &record.kept {
        let c = kept.labels.len();
        let count = |label: usize| {
            let targets = kept.targets.iter().skip(label).step_by(c);
            targets.filter(|target| **target >= 0.5).count() as u64
        };
        return Shape {
            split: kept.split.clone(),
            rows: kept.rows.len(),
            labels: kept.labels.names().to_vec(),
            support: (0..c).map(count).collect(),
        };
    }
    let told = record.evaluation.as_ref();
    Shape {
        split: told.map(|told| told.split.clone()).unwrap_or_default(),
        rows: told.map_or(0, |told| told.rows),
        labels: told.iter().flat_map(|told| &told.labels).map(|(name, _)| name.clone()).collect(),
        support: told.iter().flat_map(|told| &told.labels).map(|(_, l)| l.support).collect(),
    }
}

fn figures_difference(a: &Shape, b: &Shape) -> Option<String> {
    if a.split != b.split {
        return Some(format!("the splits {:?} and {:?}", a.split, b.split));
    }
    if a.rows != b.rows {
        return Some(format!("{} and {} rows", a.rows, b.rows));
    }
    if a.labels != b.labels {
        let (first, second) = (a.labels.len(), b.labels.len());
        return Some(match first == second {
            true => "their labels have other names".to_owned(),
            false => format!("{first} and {second} labels"),
        });
    }
    if a.support != b.support && !a.support.is_empty() && !b.support.is_empty() {
        return Some("their labels are true in other numbers of rows".to_owned());
    }
    None
}

/// A run's predictions and its labels' thresholds.
fn parts(record: &RunRecord) -> Option<(&KeptPredictions, &[f32])> {
    Some((record.kept.as_ref()?, &record.thresholds.as_ref()?.values))
}

fn test(
    first: &RunRecord,
    second: &RunRecord,
    options: &ReportOptions,
) -> Result<Option<PairedBootstrap>, ReportError> {
    let (Some(a), Some(b)) = (parts(first), parts(second)) else { return Ok(None) };
    if options.resamples == 0 {
        return Ok(None);
    }
    let judge =
        |record: &RunRecord, source| ReportError::Judge { run: record.name.clone(), source };
    let one = a.0.predictions().map_err(|source| judge(first, source))?;
    let other = b.0.predictions().map_err(|source| judge(second, source))?;
    let found = paired_bootstrap((&one, a.1), (&other, b.1), options.resamples, 0);
    let found = found.map_err(|source| ReportError::Paired {
        first: first.name.clone(),
        second: second.name.clone(),
        source,
    })?;
    Ok(Some(found))
}

fn adjusted(tests: &[Option<PairedBootstrap>]) -> Vec<Option<Adjusted>> {
    let found: Vec<&PairedBootstrap> = tests.iter().flatten().collect();
    if found.len() < 2 {
        return vec![None; tests.len()];
    }
    let of = |figure: fn(&PairedBootstrap) -> Difference| {
        holm(&found.iter().map(|test| figure(test).p_value).collect::<Vec<_>>())
    };
    let mut pairs = of(|test| test.micro_f1).into_iter().zip(of(|test| test.macro_f1));
    let mut next = || pairs.next().map(|(micro_f1, macro_f1)| Adjusted { micro_f1, macro_f1 });
    tests.iter().map(|test| test.as_ref().and_then(|_| next())).collect()
}
