//! One form of labels for a whole file, and rows to targets.
//!
//! `[0, 1, 0, 0]` is a multi-hot vector or a list of ids. Row by row nobody can tell, so all rows are read
//! first. Each row that has its labels in one cell or list can be a vector (as many numbers from 0 to 1 as there
//! are labels), a list (names and ids of the set, each once), both, or neither. A file whose rows are of both
//! kinds, or all of which can be both, is refused. A vector of more than two zeros and ones is never a list of
//! ids, since one of them stands twice.

use std::path::Path;

use tinymood_core::{LabelError, LabelSet};

use super::collect::{Names, Refused, is_truth_value};
use super::raw::{ItemSource, Items, RawLabels};
use super::{
    LabelFormat, LabelList, LabelReading, ListRole, is_missing, is_number, without_fraction,
};
use crate::readers::listed;
use crate::{DataError, ReadOptions, RowProblem};

/// A row as it was read: its line, and its text and labels or what is wrong.
pub(crate) struct LabelRow {
    pub(crate) line: u64,
    pub(crate) row: Result<(String, RawLabels), RowProblem>,
}

impl LabelRow {
    /// Its labels, where it can be read.
    pub(crate) fn labels(&self) -> Option<&RawLabels> {
        self.row.as_ref().ok().map(|(_, labels)| labels)
    }

    fn items(&self) -> Option<&Items> {
        match self.labels() {
            Some(RawLabels::Items(items)) if !items.is_empty() => Some(items),
            _ => None,
        }
    }
}

/// What the labels of a file are and how its rows have them.
pub(crate) struct Decision {
    pub(crate) labels: LabelSet,
    pub(crate) reading: LabelReading,
    /// Whether a list was given.
    is_listed: bool,
    /// Whether numbers are ids.
    has_ids: bool,
    /// What numbers are, names or ids, where that is told; else names, or ids where no name is so written.
    rule: LabelFormat,
}

impl Decision {
    /// Decides for all rows of a file. `leaning` is the form of the dataset's other files, which settles
    /// what could be either.
    ///
    /// # Errors
    /// [`DataError::LabelForm`]; [`DataError::NoLabels`].
    pub(crate) fn of(
        rows: &[LabelRow],
        path: &Path,
        options: &ReadOptions,
        leaning: LabelFormat,
    ) -> Result<Self, DataError> {
        let refused = |Refused { found, hint }: Refused| DataError::LabelForm {
            path: path.to_owned(),
            found,
            hint,
        };
        let mut decision = Self::labels_of(rows, path, options)?;
        let format = match options.label_format {
            LabelFormat::Auto => decision.form(rows, leaning).map_err(refused)?,
            told => {
                if !decision.is_listed && told != LabelFormat::Names {
                    return Err(refused(Refused {
                        found: format!("no list of labels for --label-format {}", told.name()),
                        hint: "list them in their order: --labels joy,anger or --labels FILE; if they \
                               are GoEmotions' labels, --labels goemotions"
                            .to_owned(),
                    }));
                }
                (decision.has_ids, decision.rule) = (told != LabelFormat::Names, told);
                told
            }
        };
        decision.reading.format = format;
        decision.reading.has_ids = decision.has_ids;
        decision.reading.form = decision.describe(rows);
        Ok(decision)
    }

    /// The labels that rows may name.
    fn labels_of(rows: &[LabelRow], path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let list = options.labels.as_ref();
        let is_open = list.is_none_or(|list| {
            matches!(list.role, ListRole::Start | ListRole::Model) // not those of this file
        });
        let is_published = |row: &LabelRow| {
            row.items().is_some_and(|items| items.is_published && has_number(items))
        };
        if is_open && options.label_format == LabelFormat::Auto && rows.iter().any(is_published) {
            return Ok(Self::listed(&LabelList::goemotions_names()));
        }
        let grows = list.is_none_or(|list| list.role == ListRole::Start);
        if !grows && let Some(list) = list {
            return Ok(Self::listed_for(rows, list));
        }
        let names = Names::of(rows, options.label_format == LabelFormat::Names);
        let beyond = list.map(|list| names.beyond(&list.labels));
        match (list, beyond.as_deref()) {
            (Some(list), Some([])) => return Ok(Self::listed_for(rows, list)),
            (None, _) if names.is_empty() => {
                let has_weights = |labels: &RawLabels| match labels {
                    RawLabels::Weights(weights) => !weights.is_empty(),
                    _ => false,
                };
                let is_bad = |row: &LabelRow| {
                    row.row.is_err()
                        || row.items().is_some()
                        || row.labels().is_some_and(has_weights)
                };
                return match rows.iter().any(is_bad) || rows.is_empty() {
                    // The rows are refused, each for its reason.
                    true => Ok(Self {
                        is_listed: false,
                        ..Self::listed(&LabelList::goemotions_names())
                    }),
                    false => Err(DataError::NoLabels(path.to_owned())),
                };
            }
            _ => {}
        }
        names.check(rows, &options.label_separator).map_err(|Refused { found, hint }| {
            DataError::LabelForm { path: path.to_owned(), found, hint }
        })?;
        let counts = names.counts();
        let listed = |labels: Vec<&str>| {
            LabelSet::new(labels)
                .map_err(|source| DataError::Labels { path: path.to_owned(), source })
        };
        let new = beyond.unwrap_or_default();
        let (labels, source) = match list {
            // Of a task that has labels in common: the others are added.
            Some(list) if new.len() < counts.len() => {
                let all = list.labels.names().iter().map(String::as_str).chain(new.iter().copied());
                let source = format!("{} and {}", list.source, path.display());
                (listed(all.collect())?, source)
            }
            _ => {
                let labels = names.label_set();
                let labels =
                    labels.map_err(|source| DataError::Labels { path: path.to_owned(), source })?;
                (labels, path.display().to_string())
            }
        };
        let reading = LabelReading {
            source,
            collected: true,
            labels: labels.names().to_vec(),
            warnings: names.misspelt(),
            ..LabelReading::default()
        };
        let has_ids = list
            .is_some_and(|list| list.has_ids() && labels.names().starts_with(list.labels.names()));
        let rule = LabelFormat::Auto;
        Ok(Self { labels, reading, is_listed: list.is_some(), has_ids, rule })
    }

    /// A model's list for rows that it holds. Single numbers are no ids of GoEmotions' labels, as they may be
    /// stars; numbers in lists are, and those of vectors.
    fn listed_for(rows: &[LabelRow], list: &LabelList) -> Self {
        let mut decision = Self::listed(list);
        if matches!(list.role, ListRole::Model | ListRole::Start)
            && list.labels == LabelSet::goemotions()
        {
            let count = list.labels.len();
            let is_list = |items: &Items| items.source == ItemSource::List || items.len() == count;
            let is_number = |items: &&Items| has_number(items) || items.len() == count;
            let items = rows.iter().filter_map(LabelRow::items);
            let mut numbers = items.filter(is_number).peekable();
            decision.has_ids = numbers.peek().is_some() && numbers.all(is_list);
        }
        decision
    }

    fn listed(list: &LabelList) -> Self {
        let reading = LabelReading {
            source: list.source.clone(),
            labels: list.labels.names().to_vec(),
            ..LabelReading::default()
        };
        let has_ids = list.has_ids();
        let rule = LabelFormat::Auto;
        Self { labels: list.labels.clone(), reading, is_listed: true, has_ids, rule }
    }

    /// The form of a file, as its rows say.
    fn form(&mut self, rows: &[LabelRow], leaning: LabelFormat) -> Result<LabelFormat, Refused> {
        if leaning != LabelFormat::MultiHot || self.labels.len() != 2 {
            check_decimal_commas(rows, self.labels.len())?;
        }
        let mut evidence = Evidence::default();
        for row in rows {
            match row.labels() {
                Some(RawLabels::Items(items)) if !items.is_empty() => {
                    self.weigh(row.line, items, &mut evidence);
                }
                Some(RawLabels::Weights(weights)) => {
                    let labels = weights.iter().map(|(label, _)| label.trim());
                    labels.for_each(|label| evidence.number(self, row.line, label));
                }
                _ => {}
            }
        }
        let list = match (&evidence.name, &evidence.id) {
            (Some((name_line, name)), Some((id_line, id))) => match leaning {
                LabelFormat::Names | LabelFormat::Ids => {
                    self.rule = leaning;
                    leaning
                }
                _ => {
                    return Err(Refused {
                        found: format!(
                            "the number {name:?} on line {name_line}, which is the name of a label, and \
                             {id:?} on line {id_line}, which is not"
                        ),
                        hint: "say what numbers are, ids from 0 or names: --label-format ids, or \
                               --label-format names"
                            .to_owned(),
                    });
                }
            },
            (_, Some(_)) => LabelFormat::Ids,
            _ => LabelFormat::Names,
        };
        let settles = "say which they are: --label-format ids, --label-format names or --label-format \
                       multi-hot";
        match (evidence.vector, evidence.list, evidence.both) {
            (Some(vector), Some(list), _) => Err(Refused {
                found: format!(
                    "{} on line {}, a vector of {} numbers, and {} on line {}, a list of labels",
                    vector.1,
                    vector.0,
                    self.labels.len(),
                    list.1,
                    list.0
                ),
                hint: settles.to_owned(),
            }),
            (Some(_), None, _) => Ok(LabelFormat::MultiHot),
            (None, Some(_), _) => Ok(list),
            (None, None, Some((line, shown))) => match leaning {
                LabelFormat::Auto => Err(Refused {
                    found: format!(
                        "{shown} on line {line}, which may be ids or a vector of {} numbers, and no row that can \
                         be only one of these",
                        self.labels.len()
                    ),
                    hint: settles.to_owned(),
                }),
                leaning => Ok(leaning),
            },
            (None, None, None) => Ok(match rows.iter().any(|row| row.items().is_some()) {
                true => list,
                false => LabelFormat::Auto,
            }),
        }
    }

    /// What a row can be.
    fn weigh(&self, line: u64, items: &Items, evidence: &mut Evidence) {
        let is_vector = self.has_ids && self.is_vector(items);
        let is_list = self.indices(items).is_ok();
        let place = match (is_vector, is_list) {
            (true, true) => &mut evidence.both,
            (true, false) => &mut evidence.vector,
            (false, true) => &mut evidence.list,
            (false, false) => return,
        };
        place.get_or_insert_with(|| (line, items.shown()));
        if !is_vector {
            items.iter().for_each(|item| evidence.number(self, line, item));
        }
    }

    fn is_vector(&self, items: &Items) -> bool {
        items.len() == self.labels.len() && items.iter().all(|item| component(item).is_some())
    }

    /// The indices of a list's labels, each once.
    fn indices(&self, items: &Items) -> Result<Vec<usize>, RowProblem> {
        let mut indices = Vec::new();
        for item in items.iter() {
            let index = self.index(item, items.is_published)?;
            if indices.contains(&index) {
                let (label, found) = (self.labels.name(index).to_owned(), items.shown());
                return Err(RowProblem::Twice { label, found });
            }
            indices.push(index);
        }
        Ok(indices)
    }

    /// What is wrong with a list of labels that looks like a vector: the number of its numbers.
    fn as_vector(&self, items: &Items, problem: RowProblem) -> RowProblem {
        let is_vector = items.len() > 1 && items.iter().all(|item| component(item).is_some());
        match problem {
            RowProblem::Number { .. } | RowProblem::Missing { .. } => problem,
            _ if items.len() > 2
                && items.iter().all(|item| component(item).is_some() || is_missing(item))
                && let Some(found) = items.iter().find(|item| is_missing(item)) =>
            {
                RowProblem::Missing { found: found.to_owned() }
            }
            _ if is_vector && items.len() != self.labels.len() => {
                RowProblem::Vector { found: items.shown(), expected: self.labels.len() }
            }
            problem => problem,
        }
    }

    /// The index of a label given by name, or by id where these have a meaning.
    fn index(&self, label: &str, is_published: bool) -> Result<usize, RowProblem> {
        let format = self.rule;
        let number = is_number(label);
        let plain = if number { without_fraction(label) } else { label.trim() };
        let named = self.labels.index_of(label).or_else(|| self.labels.index_of(plain));
        if let Some(index) = named.filter(|_| !number || format != LabelFormat::Ids) {
            return Ok(index);
        }
        let means_nothing = number || is_truth_value(label);
        if means_nothing && !self.has_ids && !is_published {
            return Err(match format {
                LabelFormat::Names => unknown(label),
                _ => RowProblem::Number { found: label.trim().to_owned() },
            });
        }
        if number && format == LabelFormat::Names {
            return Err(unknown(label));
        }
        if number && format == LabelFormat::Ids {
            let id = plain.parse::<usize>().ok().filter(|&id| id < self.labels.len());
            let out_of_range =
                LabelError::OutOfRange { found: plain.to_owned(), count: self.labels.len() };
            return match plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
                true => Ok(id.ok_or(out_of_range)?),
                false => Err(unknown(label)),
            };
        }
        match self.labels.parse(plain) {
            Err(LabelError::Unknown { found, .. }) if is_missing(&found) => {
                Err(RowProblem::Missing { found })
            }
            parsed => Ok(parsed?),
        }
    }

    /// The targets of a row's labels; (C).
    ///
    /// # Errors
    /// When they are not of the form that the file has, or no labels.
    pub(crate) fn targets(&self, labels: RawLabels) -> Result<Vec<f32>, RowProblem> {
        let count = self.labels.len();
        match labels {
            RawLabels::Targets(targets) => Ok(targets),
            RawLabels::Items(items) if self.reading.format == LabelFormat::MultiHot => {
                if items.len() != count {
                    let found = if items.is_empty() { String::new() } else { items.shown() };
                    return Err(RowProblem::Vector { found, expected: count });
                }
                let targets = items.iter().zip(self.labels.names()).map(|(item, label)| {
                    let wrong = || RowProblem::Target {
                        label: label.clone(),
                        found: item.chars().take(40).collect(),
                    };
                    component(item).ok_or_else(wrong)
                });
                targets.collect()
            }
            RawLabels::Items(items) => {
                let mut targets = vec![0.0; count];
                let indices = self.indices(&items);
                for index in indices.map_err(|problem| self.as_vector(&items, problem))? {
                    targets[index] = 1.0;
                }
                Ok(targets)
            }
            RawLabels::Weights(weights) => {
                let mut targets = vec![None; count];
                for (label, target) in weights {
                    let index = self.index(&label, false)?;
                    if targets[index].replace(target).is_some() {
                        let found =
                            format!("two targets for the label {:?}", self.labels.name(index));
                        return Err(RowProblem::Json { found, expected: "one".to_owned() });
                    }
                }
                Ok(targets.into_iter().map(Option::unwrap_or_default).collect())
            }
        }
    }

    /// The form in words.
    fn describe(&self, rows: &[LabelRow]) -> String {
        let count = self.labels.len();
        let (mut names, mut ids, mut soft) = (false, false, false);
        let (mut has_weights, mut has_targets) = (false, false);
        for labels in rows.iter().filter_map(LabelRow::labels) {
            match labels {
                RawLabels::Weights(_) => has_weights = true,
                RawLabels::Targets(targets) => {
                    has_targets = true;
                    soft |= targets.iter().any(|target| 0.0 < *target && *target < 1.0);
                }
                RawLabels::Items(items) if self.reading.format == LabelFormat::MultiHot => {
                    let is_between = |item| component(item).is_some_and(|it| 0.0 < it && it < 1.0);
                    soft |= items.iter().any(is_between);
                }
                RawLabels::Items(items) => {
                    for item in items.iter() {
                        let is_id = is_number(item)
                            && (self.reading.format == LabelFormat::Ids
                                || self.labels.index_of(without_fraction(item)).is_none());
                        ids |= is_id;
                        names |= !is_id;
                    }
                }
            }
        }
        let vectors = match soft {
            true => format!("soft vectors of {count}"),
            false => format!("multi-hot vectors of {count}"),
        };
        let columns = match soft {
            true => "soft targets, one column each",
            false => "one column each",
        };
        let forms = [
            (self.reading.format == LabelFormat::MultiHot, vectors.as_str()),
            (names, "names"),
            (ids, "ids"),
            (has_weights, "names with soft targets"),
            (has_targets, columns),
        ];
        let forms = forms.into_iter().filter(|(is_found, _)| *is_found).map(|(_, form)| form);
        forms.collect::<Vec<_>>().join(" and ")
    }

    /// What to do about a row's problem. `may_be_header` says that its line may name columns; where no row
    /// before it could be read, `is_first`, none may be as expected.
    pub(crate) fn hint(&self, problem: &RowProblem, may_be_header: bool, is_first: bool) -> String {
        let error = match problem {
            RowProblem::Label(error) => error,
            RowProblem::NoLabels { fields, .. } => return columns_hint(None, fields),
            problem => return problem.hint(is_first).to_owned(),
        };
        if let LabelError::Unknown { found, .. } = error
            && let Some(separator) = self.other_separator(found)
        {
            return format!(
                "{separator:?} seems to separate labels: --label-separator {separator:?}"
            );
        }
        let header = match may_be_header {
            true => {
                "if this line names columns, name the one of the texts: --text-column NAME; if not, "
            }
            false => "",
        };
        let first = self.labels.first_names();
        match self.is_listed {
            true => {
                let source = &self.reading.source;
                format!(
                    "{header}the labels are those of {source}, {first}: mend the row, or give a list that has \
                     this label: --labels FILE"
                )
            }
            false if !self.reading.collected => format!("{header}mend the row"), // no row names labels
            false => format!("{header}the labels of the other rows are {first}: mend the row"),
        }
    }

    /// What `found` would have to be split by to be labels, all of them.
    fn other_separator(&self, found: &str) -> Option<&'static str> {
        let is_known = |part: &str| self.index(part, false).is_ok();
        let all_known = |separator: &&str| {
            found.trim().contains(*separator) && found.trim().split(*separator).all(is_known)
        };
        ["|", ";", ",", " "].into_iter().find(all_known)
    }
}

/// Refuses labels that all are written as `3,0`: the ids 3 and 0, or the id 3 with a decimal comma, as pandas
/// and spreadsheets write a column with gaps in much of Europe.
fn check_decimal_commas(rows: &[LabelRow], labels: usize) -> Result<(), Refused> {
    let is_decimal = |items: &Items| {
        let digits = |item: &str| item.bytes().all(|digit| digit.is_ascii_digit());
        let mut parts = items.iter();
        let (whole, zeros) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        items.len() == 2
            && items.source == ItemSource::Cell
            && !items.is_published
            && !whole.is_empty()
            && digits(whole)
            && !zeros.is_empty()
            && zeros.bytes().all(|digit| digit == b'0')
    };
    let mut cells = rows.iter().filter_map(|row| Some((row.line, row.items()?)));
    let Some((line, first)) = cells.next() else { return Ok(()) };
    if !is_decimal(first) || !cells.all(|(_, items)| is_decimal(items)) {
        return Ok(());
    }
    let vectors = match labels {
        2 => "; if they are vectors, --label-format multi-hot",
        _ => "",
    };
    let shown = first.iter().collect::<Vec<_>>().join(",");
    Err(Refused {
        found: format!(
            "\"{shown}\" on line {line}, which may be two ids or one with a decimal comma, and no row that \
             can be only one of these"
        ),
        hint: format!(
            "if each is one id, name a separator that is not in the cells: --label-separator \"|\"; if they are \
             two ids, --label-format ids{vectors}"
        ),
    })
}

/// What to do where labels have neither a column or field of their own nor one each; `numbers` are those that
/// may be labels', if no list says so.
pub(crate) fn columns_hint(list: Option<&LabelList>, numbers: &[String]) -> String {
    // Of pandas, of GoEmotions' raw files, of tinymood's answers.
    const NO_LABELS: [&str; 5] = ["id", "index", "Unnamed: 0", "example_very_unclear", "truncated"];
    let is_label = |name: &&String| !NO_LABELS.contains(&name.as_str());
    let numbers: Vec<String> = numbers.iter().filter(is_label).cloned().collect();
    let each = match (list, &numbers[..]) {
        (Some(list), _) => format!("or give each label of {} a column", list.source),
        (None, [_, ..]) if numbers.iter().all(|name| !name.contains(',')) && numbers.len() <= 50 => {
            format!(
                "numbers from 0 to 1 stand in {}: if these are labels, --labels {}",
                listed(&numbers),
                argument(&numbers.join(","), numbers.len())
            )
        }
        _ => "if each label has a column, list the labels: --labels joy,anger, or one a line in a labels.txt in \
              the data's folder"
            .to_owned(),
    };
    format!("name the column that has the labels: --labels-column NAME; {each}")
}

/// Names between commas as a shell takes them for one argument, which a comma marks as names.
fn argument(names: &str, count: usize) -> String {
    let names = if count == 1 { format!("{names},") } else { names.to_owned() };
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ',' | '_' | '-' | '.');
    match names.chars().all(is_plain) {
        true => names,
        false => format!("{names:?}"),
    }
}

/// What the rows of a file can be; of each kind the first row's line and what stands there.
#[derive(Default)]
struct Evidence {
    vector: Option<(u64, String)>,
    list: Option<(u64, String)>,
    both: Option<(u64, String)>,
    /// A number that is a label's name.
    name: Option<(u64, String)>,
    /// A number that is none.
    id: Option<(u64, String)>,
}

impl Evidence {
    /// Takes down what a number in a list of labels is.
    fn number(&mut self, decision: &Decision, line: u64, label: &str) {
        if is_number(label) {
            let is_name = decision.labels.index_of(without_fraction(label)).is_some();
            let place = if is_name { &mut self.name } else { &mut self.id };
            place.get_or_insert_with(|| (line, label.to_owned()));
        }
    }
}

fn unknown(label: &str) -> RowProblem {
    let found = label.trim().to_owned();
    RowProblem::Label(LabelError::Unknown { found, suggestion: None })
}

/// A number of a vector: from 0 to 1, or a truth value.
fn component(item: &str) -> Option<f32> {
    match item {
        _ if item.eq_ignore_ascii_case("true") => Some(1.0),
        _ if item.eq_ignore_ascii_case("false") => Some(0.0),
        _ => item.parse().ok().filter(|number| (0.0..=1.0).contains(number)),
    }
}

fn has_number(items: &Items) -> bool {
    items.iter().any(is_number)
}
