//! `train --teacher`: students that learn what trained models say.

mod common;

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use common::{QUICK, Ran, lasting, run, tinymood};
use serde_json::Value;
use tinymood_weights::{read_safetensors, safetensors_metadata};

const LABELS: [&str; 3] = ["joy", "anger", "calm"];
const MORE: [&str; 6] = [
    "what a lovely day",
    "they broke it again and nobody cares",
    "the lake lies still",
    "so happy for you",
    "leave me alone, all of you, I have had enough of this for today and for tomorrow",
    "rain",
];

/// The labelled texts with their labels.
fn labelled() -> Vec<(String, Vec<usize>)> {
    let says = ["so glad about", "furious at", "resting beside"];
    let of = ["the garden", "my brother", "this train", "an old song", "the letter", "you two"];
    let one = |i: usize| format!("{} {} {}", says[i % 3], of[i / 3 % 6], i / 18);
    (0..30).map(|i| (one(i), if i % 7 == 6 { vec![] } else { vec![i % 3] })).collect()
}

fn tsv(names: &[&str]) -> String {
    let at = |label: usize| names.iter().position(|name| *name == LABELS[label]).unwrap();
    let row = |(text, labels): (String, Vec<usize>)| {
        let ids: Vec<String> = labels.iter().map(|&label| at(label).to_string()).collect();
        format!("{text}\t{}\n", ids.join(","))
    };
    labelled().into_iter().map(row).collect()
}

/// A folder with data, and two teachers who differ in all that a teacher may: labels and their order,
/// pooling, length.
fn school() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = lasting("school");
        for (name, labels) in [("data", &LABELS[..]), ("other", &["calm", "fear", "anger", "joy"])]
        {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("labels.txt"), labels.join("\n")).unwrap();
            fs::write(folder.join(name).join("train.tsv"), tsv(labels)).unwrap();
            fs::write(folder.join(name).join("dev.tsv"), tsv(labels)).unwrap();
        }
        let lines = format!("{}\n\n   \n{}\n", MORE[..3].join("\n"), MORE[3..].join("\n"));
        fs::write(folder.join("more.txt"), lines).unwrap();
        let learn = "--learning-rate 2e-3 --max-steps 40 --quiet";
        run(&folder, &format!("train {QUICK} {learn} --data data --output a")).ok();
        let other = "--data other --output b --pooling cls --max-length 8 --seed 7";
        run(&folder, &format!("train --init random:2L-128D --batch-size 8 {learn} {other}")).ok();
        folder
    })
}

const BOTH: &str = "--data data --teacher a --teacher b/best --unlabelled more.txt";

/// What `predict` says of texts, in the order of [`LABELS`].
fn predicted(folder: &Path, model: &str, texts: &[&str]) -> Vec<[f64; 3]> {
    let input = format!("{}\n", texts.join("\n"));
    let arguments = ["predict", "--model", model, "--scores", "--format", "jsonl"];
    let said = common::run_with(folder, &arguments, input.as_bytes()).ok().stdout;
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        LABELS.map(|label| row["scores"][label].as_f64().unwrap())
    };
    said.lines().map(row).collect()
}

/// What the file of a run says that its teachers say.
fn kept(run: &Path) -> Vec<[f32; 3]> {
    let path = run.join("teacher.safetensors");
    let file = read_safetensors(fs::read(&path).unwrap(), &path).unwrap();
    let tensor = &file.tensors["probabilities"];
    assert_eq!(tensor.shape, [tensor.values.len() / 3, 3]);
    tensor.values.chunks_exact(3).map(|row| row.try_into().unwrap()).collect()
}

fn model(folder: &Path, run: &str) -> Vec<u8> {
    fs::read(folder.join(run).join("best/model.safetensors")).unwrap()
}

#[test]
fn targets_are_what_teachers_say() {
    let folder = school();
    let rows = labelled();
    let mut texts: Vec<&str> = rows.iter().map(|(text, _)| text.as_str()).collect();
    texts.extend(MORE);
    let train = |weight: f64, output: &str| -> Ran {
        let rest = format!("--teacher-weight {weight} --max-steps 6 --output {output}");
        run(folder, &format!("train {QUICK} {BOTH} {rest}")).ok()
    };
    let said = train(1.0, "whole").stderr;
    let rows_line = "30 train rows + 6 unlabelled, labelled by 2 teachers, 30 dev rows, 3 labels";
    for expected in [rows_line, "passed over 2 empty rows"] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    let kept_whole = kept(&folder.join("whole"));
    let (a, b) = (predicted(folder, "a", &texts), predicted(folder, "b", &texts));
    assert_eq!(kept_whole.len(), texts.len());
    let mut apart = 0.0_f64;
    for (row, found) in kept_whole.iter().enumerate() {
        for label in 0..3 {
            let expected = (a[row][label] + b[row][label]) / 2.0;
            let found = f64::from(found[label]);
            assert!((found - expected).abs() < 1e-4, "{}: {found} {expected}", texts[row]);
            apart = apart.max((a[row][label] - b[row][label]).abs());
        }
    }
    assert!(apart > 0.05, "teachers that agree show nothing: {apart}");

    // Whoever writes the same targets into a file of soft labels trains the same model.
    for (weight, run_name) in [(1.0, "whole"), (0.25, "quarter")] {
        if run_name == "quarter" {
            let said = train(weight, run_name).stderr;
            assert!(said.contains("cache/teachers"), "asked again: {said}");
            assert!(!said.contains("labels: "), "asked again: {said}");
        }
        let written = format!("soft-{run_name}");
        let data = folder.join(&written);
        fs::create_dir(&data).unwrap();
        for file in ["labels.txt", "dev.tsv"] {
            fs::copy(folder.join("data").join(file), data.join(file)).unwrap();
        }
        let mut lines = String::new();
        for (row, said) in kept(&folder.join(run_name)).into_iter().enumerate() {
            let target = |label: usize| match rows.get(row) {
                Some((_, gold)) => {
                    let gold = f64::from(u8::from(gold.contains(&label)));
                    ((1.0 - weight) * gold + weight * f64::from(said[label])) as f32
                }
                None => said[label],
            };
            let labels: serde_json::Map<String, Value> =
                (0..3).map(|label| (LABELS[label].to_owned(), target(label).into())).collect();
            let row = serde_json::json!({ "text": texts[row], "labels": labels });
            writeln!(lines, "{row}").unwrap();
        }
        fs::write(data.join("train.jsonl"), lines).unwrap();
        let again = format!("{written}-run");
        run(folder, &format!("train {QUICK} --max-steps 6 --data {written} --output {again}")).ok();
        assert!(model(folder, run_name) == model(folder, &again), "weight {weight}");
    }
    assert!(model(folder, "whole") != model(folder, "quarter"));

    let settings = fs::read_to_string(folder.join("quarter/settings.toml")).unwrap();
    let settings: toml::Table = settings.parse().unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let listed = |names: &[&str]| -> toml::Value {
        names.iter().map(|name| toml::Value::from(at(name))).collect::<Vec<_>>().into()
    };
    assert_eq!(settings["source"]["teachers"], listed(&["a", "b/best"]));
    assert_eq!(settings["source"]["unlabelled"], listed(&["more.txt"]));
    assert_eq!(settings["recipe"]["teacher_weight"].as_float(), Some(0.25));
}

/// How far a student's probabilities are from its teacher's, on average.
fn distance(folder: &Path, student: &str) -> f64 {
    let (student, teacher) = (predicted(folder, student, &MORE), predicted(folder, "a", &MORE));
    let pairs = student.iter().flatten().zip(teacher.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / 18.0
}

#[test]
fn a_student_comes_near_its_teacher() {
    let folder = school();
    let train = |rest: &str| {
        let common = "--data data --teacher a --teacher-weight 1 --seed 3 --quiet";
        run(folder, &format!("train {QUICK} {common} --learning-rate 1e-3 {rest}")).ok();
    };
    train("--max-steps 1 --output young");
    train("--max-steps 100 --unlabelled more.txt --output grown");
    let (young, grown) = (distance(folder, "young"), distance(folder, "grown"));
    assert!(grown < 0.3 * young, "{young} became {grown}");
}

#[test]
fn answers_are_kept_and_made_again_when_damaged() {
    let folder = school();
    let train = "--teacher-weight 0.5 --max-steps 4 --checkpoint-every 2 --seed 5 --output kept";
    let said = run(folder, &format!("train {QUICK} {BOTH} {train}")).ok().stderr;
    assert!(said.contains("36 texts") || said.contains("cache/teachers"), "{said}");
    let (file, expected) = (folder.join("kept/teacher.safetensors"), model(folder, "kept"));
    let (whole, answers) = (fs::read(&file).unwrap(), kept(&folder.join("kept")));
    let last = fs::read_dir(folder.join("kept/checkpoints")).unwrap().count();
    assert!(last >= 2, "{last} checkpoints");
    let resume = |warning: &str| {
        // From the first checkpoint, so that there is something to train.
        let _ = fs::remove_dir_all(folder.join("kept/checkpoints/step-00000004"));
        let said = run(folder, "train --resume kept").ok().stderr;
        assert!(said.contains(warning), "no {warning:?} in {said}");
        assert!(model(folder, "kept") == expected, "{warning}");
        assert_eq!(kept(&folder.join("kept")), answers, "{warning}");
    };
    resume("what they say is in kept/teacher.safetensors");
    // Removed first: the file in the cache is the same one under another name.
    let replace = |bytes: &[u8]| {
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    };
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &whole[..50], b""] {
        replace(damaged);
        resume("kept/teacher.safetensors is damaged: it is made again");
    }
    let fewer = "--data data --teacher a --max-steps 1 --output foreign --quiet";
    run(folder, &format!("train {QUICK} {fewer}")).ok();
    replace(&fs::read(folder.join("foreign/teacher.safetensors")).unwrap());
    resume("kept/teacher.safetensors is of other teachers or texts: it is made again");
    // Without the cache, too.
    fs::remove_file(&file).unwrap();
    let mut command = tinymood(folder);
    command.args(["train", "--resume", "kept"]).env("TINYMOOD_CACHE", folder.join("empty"));
    let said: Ran = command.output().unwrap().into();
    assert!(said.ok().stderr.contains("teacher 1 of 2 labels: 36 texts in"));
    assert_eq!(kept(&folder.join("kept")), answers);

    // Nor goes a run on with another weight, or with a teacher who has learned since.
    run(folder, "train --resume kept --teacher-weight 0.6")
        .fails(1, &["teacher_weight", "0.5", "0.6"]);
    let quiet = "--data data --max-steps 2 --quiet";
    run(folder, &format!("train {QUICK} {quiet} --output late")).ok();
    let learn = format!("train {QUICK} {quiet} --teacher late --output pupil");
    run(folder, &learn).ok();
    fs::remove_dir_all(folder.join("late")).unwrap();
    run(folder, &format!("train {QUICK} {quiet} --seed 9 --output late")).ok();
    run(folder, "train --resume pupil").fails(1, &["teachers"]);
}

/// Runs, and interrupts the run so long after it has said what it computes with.
#[cfg(unix)]
fn interrupted(folder: &Path, arguments: &str, after: Duration) -> Ran {
    let mut command = tinymood(folder);
    command.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut stderr = String::new();
    for line in lines {
        writeln!(stderr, "{line}").unwrap();
        if line.starts_with("engine: ") {
            sleep(after);
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        }
    }
    let status = child.wait().unwrap().code();
    Ran { stdout: String::new(), stderr, status }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_asks_no_teacher_twice() {
    let folder = school();
    let texts: String = (0..12_000).map(|i| format!("text {i} of many\n")).collect();
    fs::write(folder.join("many.txt"), texts).unwrap();
    let train = "train --data data --teacher a --teacher b --unlabelled many.txt --max-steps 1";
    let begin = format!("{train} {QUICK} --output cut");
    let unfinished = folder.join("cut/teacher.unfinished.safetensors");
    let rows = || {
        let file = safetensors_metadata(&fs::read(&unfinished).unwrap(), &unfinished).unwrap();
        let count = |name: &str| file[name].parse::<usize>().unwrap();
        count("teachers") * 12_030 + count("rows")
    };
    let mut said = interrupted(folder, &begin, Duration::ZERO);
    let (mut stops, mut before) = (Vec::new(), 0);
    while said.stderr.contains("stopped before all texts were labelled") {
        said.fails(130, &["train --resume cut"]);
        assert!(!folder.join("cut/teacher.safetensors").exists());
        assert!(rows() >= before, "{before} became {}", rows());
        before = rows();
        stops.push(before);
        let after = Duration::from_millis(50) * stops.len() as u32;
        said = interrupted(folder, "train --resume cut", after);
    }
    assert!(before > 0, "{stops:?}");
    let left = format!("labels: {} texts in", 12_030 - before % 12_030);
    assert!(said.stderr.contains(&left), "no {left:?} after {stops:?} in {}", said.stderr);
    run(folder, "train --resume cut").ok();
    assert!(!unfinished.exists());

    let mut whole = tinymood(folder);
    whole.args(format!("{train} {QUICK} --output uncut").split_whitespace());
    let said: Ran = whole.env("TINYMOOD_CACHE", folder.join("fresh")).output().unwrap().into();
    assert!(said.ok().stderr.contains("teacher 2 of 2 labels: 12030 texts in"));
    assert!(kept(&folder.join("cut")) == kept(&folder.join("uncut")));
    assert!(model(folder, "cut") == model(folder, "uncut"));
}

#[test]
fn a_run_ends_early_and_is_judged_by_steps_with_drawn_rows() {
    let folder = school();
    let rest = "--unlabelled-rows 4 --max-steps 100 --evaluate-every 3 --learning-rate 1e-12 \
        --early-stopping-patience 2 --output early";
    let said = run(folder, &format!("train {QUICK} {BOTH} {rest}")).ok().stderr;
    assert!(said.contains("30 train rows + 4 unlabelled"), "{said}");
    let log = fs::read_to_string(folder.join("early/log.jsonl")).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == kind).collect()
    };
    assert_eq!(of("start")[0]["train_rows"], 34);
    let steps: Vec<u64> =
        of("evaluation").iter().map(|event| event["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [3, 6, 9]);
    assert_eq!(kept(&folder.join("early")).len(), 34);
}

#[test]
fn altered_copies_are_labelled_and_made_again_alike() {
    let folder = school();
    let train = |rest: &str| {
        let common = "--data data --init a --teacher a --batch-size 8 --max-length 16";
        let steps = "--max-steps 4 --checkpoint-every 2 --seed 6";
        run(folder, &format!("train {common} {steps} {rest}"))
    };
    let said = train("--augment 2 --output copies").ok().stderr;
    // "furious at an old song 1": no copy of a text is without a change, and all have such words.
    assert!(said.contains("30 train rows + 60 altered, labelled by 1 teacher, "), "{said}");
    let answers = kept(&folder.join("copies"));
    assert_eq!(answers.len(), 90);
    let of = |row: usize| &answers[30 + 2 * row..][..2];
    assert!((0..30).any(|row| of(row)[0] != of(row)[1]), "both copies of each text are alike");
    let log = fs::read_to_string(folder.join("copies/log.jsonl")).unwrap();
    assert!(log.contains("\"train_rows\":90"), "{log}");
    let settings = fs::read_to_string(folder.join("copies/settings.toml")).unwrap();
    assert_eq!(settings.parse::<toml::Table>().unwrap()["source"]["augment"].as_integer(), Some(2));

    let expected = model(folder, "copies");
    fs::remove_dir_all(folder.join("copies/checkpoints/step-00000004")).unwrap();
    let said = run(folder, "train --resume copies").ok().stderr;
    assert!(said.contains("what they say is in copies/teacher.safetensors"), "{said}");
    assert!(model(folder, "copies") == expected);
    train("--output none").ok();
    assert!(model(folder, "none") != expected);
}

#[test]
fn what_cannot_be_learned_is_refused_by_name() {
    let folder = school();
    let train =
        |rest: &str| run(folder, &format!("train {QUICK} --max-steps 1 --output refused {rest}"));
    train("--data data --unlabelled more.txt")
        .fails(2, &["--unlabelled needs a teacher", "hint:", "--teacher"]);
    train("--data data --teacher-weight 0.5")
        .fails(2, &["--teacher-weight needs a teacher", "hint:", "--teacher"]);
    train("--data data --augment 2").fails(2, &["--augment needs a teacher", "hint:", "--teacher"]);
    train("--data data --teacher a --augment 2")
        .fails(1, &["--augment needs trained word embeddings", "hint:", "--init bundled"]);
    train("--data data --teacher a --augment=-1").fails(2, &["--augment"]);
    train("--data data --teacher a --augment 101").fails(2, &["--augment", "101"]);
    train("--data data --teacher a --unlabelled-rows 3").fails(2, &["--unlabelled"]);
    train("--data data --teacher a --teacher-weight 2")
        .fails(2, &["teacher_weight", "2", "a number from 0 to 1"]);
    train("--data other --teacher a")
        .fails(1, &["cannot learn from", "no label \"fear\"", "hint:"]);
    train("--data data --teacher nobody/there --offline").fails(1, &["nobody/there", "hint:"]);
    train(&format!("{BOTH} --unlabelled none.txt")).fails(1, &["none.txt"]);
    fs::write(folder.join("bad.txt"), b"fine\n\xff\xfe\n").unwrap();
    train(&format!("{BOTH} --unlabelled bad.txt")).fails(1, &["bad.txt:2", "UTF-8", "hint:"]);
    fs::write(folder.join("bad.txt.gz"), b"\x1f\x8b no more").unwrap();
    train(&format!("{BOTH} --unlabelled bad.txt.gz")).fails(1, &["bad.txt.gz"]);
    fs::write(folder.join("empty.txt"), "\n\n").unwrap();
    train(&format!("{BOTH} --unlabelled empty.txt")).fails(1, &["empty.txt", "no rows"]);
    // Texts may stand in another column than the data's.
    fs::write(folder.join("more.csv"), "body\nso glad\n").unwrap();
    let more = "--data data --teacher a --unlabelled more.csv";
    train(more).fails(1, &["more.csv", "\"body\"", "--unlabelled-column"]);
    train("--data data --teacher a --unlabelled-column body").fails(2, &["--unlabelled"]);
    run(folder, "train --resume a --teacher b").fails(2, &["--resume", "--teacher"]);
    run(folder, "train --resume a --augment 2").fails(2, &["--resume", "--augment"]);
    assert!(!folder.join("refused").exists(), "nothing was begun");
    let passed = train(&format!("{BOTH} --unlabelled bad.txt --skip-bad-rows")).ok();
    assert!(passed.stderr.contains("2 empty rows and 1 malformed"), "{}", passed.stderr);
    assert!(passed.stderr.contains("+ 7 unlabelled"), "{}", passed.stderr);

    let rest = format!("{more} --unlabelled-column body --output column --max-steps 2");
    let said = run(folder, &format!("train {QUICK} {rest}")).ok().stderr;
    assert!(said.contains("+ 1 unlabelled"), "{said}");
    fs::remove_dir_all(folder.join("column/checkpoints")).unwrap();
    run(folder, "train --resume column").ok();

    let hushed = "--max-steps 1 --data data --teacher a --output hushed --quiet";
    let said = run(folder, &format!("train {QUICK} {hushed}")).ok().stderr;
    assert!(said.lines().all(|line| line.starts_with("warning: ")), "{said}");
}
