//! Runs made by hand, and a look at pages that no browser is needed for.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::fs;
use std::path::{Path, PathBuf};

use tinymood_core::LabelSet;
use tinymood_eval::Thresholds;
use tinymood_report::{
    DataSummary, KeptPredictions, KeptRow, SplitSummary, predictions_file, write_data,
};
use tinymood_train::{Recipe, RunFolder, SavedSettings};
use tinymood_weights::digest;

/// What a text or a name may hold to break out of a page.
pub const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)>",
    "</title></style></svg><b>&amp;",
    "' onmouseover='alert(3)",
];

const START: &str = r#"{"time":1795612740.7,"event":"start","step":0,"resumed_from":null,"total_steps":40,"steps_per_epoch":20,"train_rows":90,"validation_rows":30,"parameters":1234,"engine":"cpu, f32","machine":"A chip, 2 cores"}"#;
const FINISH: &str = r#"{"time":1795612790.7,"event":"finish","step":40,"early":false,"best_step":40,"metric":"macro_f1","best_value":0.5,"model":"x"}"#;

/// A log of a run of 40 steps.
pub fn log() -> String {
    let mut lines = vec![START.to_owned()];
    for step in (5..=40).step_by(5) {
        let (time, loss) = (1795612740 + step, 0.7 / f64::from(step));
        lines.push(format!(
            r#"{{"time":{time},"event":"step","step":{step},"epoch":1.0,"loss":{loss},"learning_rate":0.0003,"gradient_norm":0.5,"samples_per_second":300.5}}"#
        ));
        if step % 20 == 0 {
            lines.push(format!(
                r#"{{"time":{time},"event":"evaluation","step":{step},"epoch":1.0,"metric":"macro_f1","value":0.5,"best":true,"metrics":{{"macro_f1":0.5,"micro_f1":0.55,"loss":0.2}},"seconds":1.0}}"#
            ));
        }
    }
    lines.push(FINISH.to_owned());
    lines.join("\n") + "\n"
}

/// Names of labels, the hostile ones first.
pub fn labels(count: usize) -> LabelSet {
    let hostile = HOSTILE.iter().map(|name| (*name).to_owned());
    let plain = (0..).map(|index| format!("label{index}"));
    LabelSet::new(hostile.chain(plain).take(count)).unwrap()
}

/// Predictions of `rows` rows that `seed` varies, of rows that it does not.
pub fn kept(labels: &LabelSet, rows: usize, seed: usize) -> KeptPredictions {
    let numbers = rows * labels.len();
    let text = |row: usize| format!("text {row} {}\u{0}", HOSTILE[row % HOSTILE.len()]);
    let targets: Vec<f32> = (0..numbers).map(|i| f32::from((i * 53) % 11 < 3)).collect();
    let guess = |i: usize| {
        let noise = ((i * 37 + seed * 101) % 97) as f32 / 97.0;
        (0.6 * noise + 0.4 * targets[i]).clamp(0.0, 1.0)
    };
    KeptPredictions {
        split: "dev".to_owned(),
        model_sha256: String::new(),
        max_length: 16,
        labels: labels.clone(),
        rows: (0..rows)
            .map(|row| KeptRow { line: row + 1, text: text(row), tokens: 3 + row % 20 })
            .collect(),
        probabilities: (0..numbers).map(guess).collect(),
        problem_type: tinymood_core::ProblemType::MultiLabel,
        temperatures: None,
        targets,
    }
}

/// A folder of a run, as training leaves it.
pub struct Run {
    pub path: PathBuf,
}

impl Run {
    /// One with settings and a log, and nothing that a model says.
    pub fn new(parent: &Path, name: &str, source: &str) -> Self {
        let path = parent.join(name);
        let source: toml::Table = source.parse().unwrap();
        let recipe = Recipe::default();
        let settings = SavedSettings { tinymood: "0.1.0".to_owned(), source, recipe };
        drop(RunFolder::create(&path, &settings).unwrap());
        fs::write(path.join("log.jsonl"), log()).unwrap();
        Self { path }
    }

    /// One with everything.
    pub fn whole(parent: &Path, name: &str, kept: KeptPredictions) -> Self {
        let run = Self::new(parent, name, "data = \"sample\"\ninit = \"<bundled>\"");
        let best = run.path.join("best");
        fs::create_dir_all(&best).unwrap();
        fs::write(best.join("model.safetensors"), name).unwrap();
        let thresholds = Thresholds::fixed(0.5, kept.labels.len()).to_json(&kept.labels);
        fs::write(best.join("thresholds.json"), thresholds.to_string()).unwrap();
        let lengths = kept.rows.iter().map(|row| row.tokens);
        let c = kept.labels.len();
        let train = SplitSummary::new("train", &kept.targets, c, lengths.clone(), 16);
        let dev = SplitSummary::new("dev", &kept.targets, c, lengths, 16);
        let names = kept.labels.names().to_vec();
        let data = DataSummary { max_length: 16, labels: names, splits: vec![train, dev] };
        write_data(&data, &run.path).unwrap();
        run.keep(kept);
        run
    }

    /// Keeps predictions, as of the model that is there.
    pub fn keep(&self, mut kept: KeptPredictions) {
        kept.model_sha256 =
            digest::of_file(&self.path.join("best").join("model.safetensors")).unwrap();
        kept.write(&predictions_file(&self.path)).unwrap();
    }

    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path.join(file), bytes).unwrap();
    }
}

/// An element's name, and its attributes.
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a page strictly: each element closed in order, each attribute quoted, nothing of `<` in
/// texts. Gives all elements.
pub fn parse(page: &str) -> Vec<Tag> {
    const VOID: [&str; 7] = ["meta", "link", "br", "img", "input", "hr", "wbr"];
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    let (mut open, mut all) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "a lone > in {:?}", &rest[..at]);
        rest = &rest[at + 1..];
        let end = tag_end(rest);
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            let opened: String = open.pop().expect("something is open");
            assert_eq!(opened, name, "closed in order");
            continue;
        }
        let closed = inside.ends_with('/');
        let tag = read_tag(inside.trim_end_matches('/'));
        if tag.name == "style" {
            let (css, after) = rest.split_once("</style>").expect("style ends");
            assert!(!css.contains('<'), "{css}");
            rest = after;
        } else if !closed && !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name.clone());
        }
        all.push(tag);
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

/// Where a tag ends, quotes aside.
fn tag_end(text: &str) -> usize {
    let mut quoted = false;
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return index,
            _ => {}
        }
    }
    panic!("a tag does not end: {:?}", &text[..text.len().min(80)]);
}

fn read_tag(inside: &str) -> Tag {
    let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "a tag {name:?}");
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        let (key, after) = rest.trim_start().split_once("=\"").expect("a quoted value");
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{key:?} in {inside}");
        let (value, after) = after.split_once('"').expect("a quote ends");
        attributes.push((key.to_owned(), value.to_owned()));
        rest = after;
    }
    Tag { name: name.to_owned(), attributes }
}
