//! The commands as users meet them: what they print, and what they say when something is wrong.

mod common;

use std::fs;

use common::{QUICK, change_weights, copy_model, json, rows, run, run_with, trained};

const QUICK_RUN: &str = "runs/quick";

#[test]
fn a_run_is_a_folder_with_all_that_belongs_to_it() {
    let quick = trained().join("runs/quick");
    for file in [
        "settings.toml",
        "log.jsonl",
        "evaluation.json",
        "data.json",
        "predictions.jsonl",
        "report.html",
        "report.json",
        "best/config.json",
        "best/model.safetensors",
        "best/tokenizer.json",
        "best/vocab.txt",
        "best/tokenizer_config.json",
        "best/special_tokens_map.json",
        "best/thresholds.json",
        "best/README.md",
    ] {
        assert!(quick.join(file).is_file(), "{file}");
    }
    let card = fs::read_to_string(quick.join("best/README.md")).unwrap();
    assert!(card.starts_with("---\n") && card.contains("model-index"), "{card}");
    for line in fs::read_to_string(quick.join("log.jsonl")).unwrap().lines() {
        assert!(json(line)["event"].is_string(), "{line}");
    }
    // What it was made of makes another.
    let again =
        "train --init random:2L-128D --recipe runs/quick/settings.toml --output runs/twin --quiet";
    run(trained(), again).ok();
    let model = |run: &str| fs::read(trained().join(run).join("best/model.safetensors")).unwrap();
    assert!(model("runs/twin") == model("runs/quick"), "the same bytes");
}

#[test]
fn predict_answers_each_row_once() {
    let folder = trained();
    let said = run_with(
        folder,
        &["predict", "--model", QUICK_RUN, "--scores", "so happy", "", "so [SEP] what"],
        b"",
    )
    .fails(1, &["1 row"]);
    let answers = rows(&said.stdout);
    assert_eq!(answers.len(), 3);
    assert!(answers[1]["error"].as_str().unwrap().contains("empty text"));
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["row"], index + 1);
        assert!(answer["labels"].is_array());
    }
    for answer in [&answers[0], &answers[2]] {
        assert_eq!(answer["scores"].as_object().unwrap().len(), 28);
    }

    let lines: Vec<String> = (0..1100).map(|i| format!("line {i}\n")).collect();
    let said = run_with(
        folder,
        &["predict", "--model", QUICK_RUN, "--json", "--quiet"],
        lines.concat().as_bytes(),
    )
    .ok();
    let answers = rows(&said.stdout);
    assert_eq!(answers.len(), 1100);
    assert!(answers.iter().enumerate().all(|(i, answer)| answer["text"] == format!("line {i}")));

    let said =
        run_with(folder, &["predict", "--model", QUICK_RUN], b"fine\n\xff\xfe\nfine again\n")
            .fails(1, &["1 row"]);
    let answers = rows(&said.stdout);
    assert_eq!(answers.len(), 3);
    assert!(answers[1]["error"].as_str().unwrap().contains("UTF-8"));
    assert_eq!(answers[1]["labels"].as_array().unwrap().len(), 0);
}

#[test]
fn predict_selects_and_writes_as_told() {
    let folder = trained();
    let none =
        run_with(folder, &["predict", "--model", QUICK_RUN, "--threshold", "1", "x"], b"").ok();
    assert_eq!(rows(&none.stdout)[0]["labels"], json("[]"));
    let best = run_with(
        folder,
        &["predict", "--model", QUICK_RUN, "--threshold", "1", "--at-least-one", "x"],
        b"",
    )
    .ok();
    assert_eq!(rows(&best.stdout)[0]["labels"].as_array().unwrap().len(), 1);
    let top = run_with(folder, &["predict", "--model", QUICK_RUN, "--top-k", "3", "x"], b"").ok();
    assert_eq!(rows(&top.stdout)[0]["labels"].as_array().unwrap().len(), 3);
    let all = run_with(
        folder,
        &["predict", "--model", QUICK_RUN, "--threshold", "0", "--taxonomy", "ekman", "x"],
        b"",
    );
    assert_eq!(rows(&all.ok().stdout)[0]["labels"].as_array().unwrap().len(), 7);
    let table = run_with(
        folder,
        &["predict", "--model", QUICK_RUN, "--format", "table", "--threshold", "1", "x"],
        b"",
    );
    assert!(table.ok().stdout.contains("(no label reaches its threshold)"));

    fs::write(folder.join("in.csv"), "id,body\n1,\"a, b\"\n2,c\n").unwrap();
    run(folder, "predict --model runs/quick --input in.csv --text-column body --format csv --output out.csv").ok();
    let written = fs::read_to_string(folder.join("out.csv")).unwrap();
    assert!(
        written.starts_with("row,text,labels,scores,truncated,error\n1,\"a, b\","),
        "{written}"
    );
    assert_eq!(written.lines().count(), 3);
    run(folder, "predict --input in.csv").fails(1, &["expected a column \"text\"", "hint:"]);
}

#[test]
fn predict_reads_what_it_is_told_to() {
    let folder = trained();
    let predict = |arguments: &str, input: &str| {
        let arguments = format!("predict --model {QUICK_RUN} --quiet {arguments}");
        run_with(folder, &arguments.split_whitespace().collect::<Vec<_>>(), input.as_bytes())
    };
    let texts = |arguments: &str, input: &str| -> Vec<String> {
        let said = predict(arguments, input).ok().stdout;
        rows(&said).iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
    };
    let csv = "id,body\n1,\"so, glad\"\n2,meh\n";
    assert_eq!(texts("--input-format csv --text-column body", csv), ["so, glad", "meh"]);
    assert_eq!(texts("--input-format csv --text-column body -i -", csv), ["so, glad", "meh"]);
    assert_eq!(texts("--input-format tsv", "so glad\tjoy\n"), ["so glad"]);
    assert_eq!(texts("--input-format tsv --text-column b", "a\tb\n1\tmeh\n"), ["meh"]);
    assert_eq!(texts("--input-format jsonl", "{\"text\": \"meh\"}\n"), ["meh"]);
    assert_eq!(texts("", "a,b\nc\n"), ["a,b", "c"]);
    fs::write(folder.join("objects.json"), "{\"text\": \"meh\"}\n").unwrap();
    fs::write(folder.join("told.csv"), "text\nmeh\n").unwrap();
    fs::write(folder.join("told.txt"), "meh\n").unwrap();
    fs::write(folder.join("published.tsv"), "meh\t27\n").unwrap();
    assert_eq!(texts("-i objects.json --input-format jsonl", ""), ["meh"]);
    assert_eq!(texts("-i told.csv --input-format lines", ""), ["text", "meh"]);
    assert_eq!(texts("-i published.tsv", ""), ["meh"]);
    // No column is named for nothing.
    predict("--text-column body", csv)
        .fails(2, &["--text-column", "standard input", "--input-format"]);
    predict("--text-column body -i told.txt", "").fails(2, &["told.txt", "--input-format"]);
    predict("--text-column body --input-format lines -i told.csv", "").fails(2, &["told.csv"]);
    predict("--text-column body meh", "").fails(2, &["--text-column"]);
    predict("--input-format csv meh", "").fails(2, &["--input-format"]);
    predict("--text-column body -i published.tsv", "")
        .fails(1, &["published.tsv", "expected a column \"body\"", "hint:"]);
    predict("--input-format csv", "").fails(1, &["standard input", "is empty", "hint:"]);
}

#[test]
fn predict_passes_other_columns_on() {
    let folder = trained();
    let predict = |arguments: &str| {
        run(folder, &format!("predict --model {QUICK_RUN} --quiet --keep-columns {arguments}"))
    };
    let answers = |arguments: &str| rows(&predict(arguments).ok().stdout);
    let write = |name: &str, bytes: &str| fs::write(folder.join(name), bytes).unwrap();
    write("kept.csv", ",Body,labels,input_labels,text,joy\n7,\"so, glad\",joy,x,old,1\n8,meh\n");
    write("kept.tsv", "id\ttext\n9\tfine\n");
    write(
        "kept.jsonl",
        "{\"z\": 123456789012345678901, \"a\": {\"b\": [1.50]}, \"text\": \"fine\", \"row\": null}\n\
         {\"text\": \"meh\", \"other\": \"x\"}\n{\"z\": \"q, r\", \"text\": 3}\n",
    );

    let found = answers("-i kept.csv --text-column body");
    let columns = [
        ("", "7"),
        ("Body", "so, glad"),
        ("labels", "joy"),
        ("input_labels", "x"),
        ("text", "old"),
        ("joy", "1"),
    ];
    let row = found[0].as_object().unwrap();
    let first: Vec<(&str, &str)> =
        row.iter().take(6).map(|(name, value)| (&**name, value.as_str().unwrap())).collect();
    assert_eq!(first, columns);
    assert_eq!(row.keys().skip(6).collect::<Vec<_>>(), ["row", "tinymood_labels"]);
    assert_eq!((&found[1][""], &found[1]["joy"]), (&"8".into(), &"".into()), "a short row");
    let csv = predict("-i kept.csv --text-column body --format csv --scores").ok().stdout;
    let header = csv.lines().next().unwrap();
    assert!(
        header.starts_with(
            ",Body,labels,input_labels,text,joy,row,tinymood_labels,scores,truncated,error,admiration,"
        ) && header.contains(",grief,tinymood_joy,love,")
            && header.ends_with(",neutral"),
        "{header}"
    );
    assert!(csv.lines().nth(1).unwrap().starts_with("7,\"so, glad\",joy,x,old,1,1,"), "{csv}");

    // JSON is passed on as it is written, and CSV has the columns of the first row.
    let said = predict("-i kept.jsonl").fails(1, &["1 row"]).stdout;
    let line = |index: usize| said.lines().nth(index).unwrap();
    assert!(
        line(0).starts_with(
            "{\"z\":123456789012345678901,\"a\":{\"b\": [1.50]},\"text\":\"fine\",\"row\":null,\
             \"tinymood_row\":1,\"labels\":["
        ),
        "{said}"
    );
    let second = "{\"text\":\"meh\",\"other\":\"x\",\"tinymood_row\":2,";
    assert!(line(1).starts_with(second), "{said}");
    let third = "{\"z\":\"q, r\",\"text\":\"\",\"tinymood_row\":3,\"labels\":[],\"error\":";
    assert!(line(2).starts_with(third), "{said}");
    let csv = predict("-i kept.jsonl --format csv").fails(1, &["2 rows"]).stdout;
    let line = |index: usize| csv.lines().nth(index).unwrap();
    assert_eq!(line(0), "z,a,text,row,tinymood_row,labels,scores,truncated,error");
    let first = "123456789012345678901,\"{\"\"b\"\": [1.50]}\",fine,,1,";
    assert!(line(1).starts_with(first), "{csv}");
    assert!(
        line(2).contains("the field \"\"other\"\", which the first row does not have"),
        "{csv}"
    );
    assert!(line(3).starts_with("\"q, r\",,,,3,,,,\"found 3 in the field"), "{csv}");

    // Rows of several files are counted on, and tell their file.
    let said = predict("-i kept.tsv -i kept.jsonl -i kept.tsv").fails(1, &["1 row"]).stdout;
    let files = ["kept.tsv", "kept.jsonl", "kept.jsonl", "kept.jsonl", "kept.tsv"];
    let found = rows(&said);
    assert_eq!(found.len(), 5);
    for ((row, file), found) in (1..).zip(files).zip(&found) {
        let told = (&found["tinymood_row"], &found["file"]);
        assert_eq!(told, (&row.into(), &file.into()), "{said}");
    }
    let csv = predict("-i kept.tsv -i told-twice.csv -o both.csv").fails(1, &["told-twice.csv"]);
    assert!(csv.stdout.is_empty() && !folder.join("both.csv").exists());
    write("told-twice.csv", "text,id,ID\nmeh,3,4\n");
    predict("-i kept.tsv -i told-twice.csv -o both.csv").ok();
    let both = fs::read_to_string(folder.join("both.csv")).unwrap();
    let lines: Vec<&str> = both.lines().collect();
    assert_eq!(lines[0], "id,text,ID,row,file,labels,scores,truncated,error");
    assert!(lines[1].starts_with("9,fine,,1,kept.tsv,"), "{both}");
    assert!(lines[2].starts_with("3,meh,4,2,told-twice.csv,"), "{both}");
    // Answers are input too.
    let again = answers("-i both.csv");
    assert_eq!((&again[0]["tinymood_row"], &again[0]["row"]), (&1.into(), &"1".into()));
    assert_eq!((&again[1]["file"], &again[1]["ID"]), (&"told-twice.csv".into(), &"4".into()));

    write("same.csv", "text,id,id\nmeh,3,4\n");
    predict("-i same.csv").fails(1, &["same.csv", "each name once", "hint:"]);
    write("published.tsv", "meh\t27\teebbqej\n");
    predict("-i published.tsv")
        .fails(1, &["published.tsv", "hint:", "a line that names its columns"]);
    write("bad.jsonl", "{\n{\"text\": \"meh\"}\n");
    predict("-i bad.jsonl --format csv").fails(1, &["bad.jsonl:1", "hint:"]);
    predict("-i kept.tsv --format table").fails(2, &["--keep-columns", "--format"]);
    predict("-i told.txt").fails(2, &["--keep-columns", "told.txt", "--input-format"]);
    predict("meh").fails(2, &["--keep-columns"]);
    predict("-i - -i -").fails(2, &["only once"]);
    predict("-i kept.tsv -i told-twice.csv -o told-twice.csv")
        .fails(2, &["both --input and --output"]);
}

#[test]
fn predict_explains_the_labels_it_gives() {
    let folder = trained();
    let explain = |arguments: &[&str]| {
        run_with(
            folder,
            &[&["predict", "--model", QUICK_RUN, "--explain"], arguments].concat(),
            b"",
        )
    };
    let text = "Thänks, it's unbelievable";
    for taxonomy in ["original", "sentiment"] {
        let top = ["--top-k", "2", "--taxonomy", taxonomy, text, "!"];
        let answers = rows(&explain(&top).ok().stdout);
        let labels = answers[0]["labels"].as_array().unwrap();
        assert_eq!(answers[0]["explanation"].as_object().unwrap().len(), 2);
        for label in labels.iter().map(|label| label["label"].as_str().unwrap()) {
            let words = answers[0]["explanation"][label].as_array().unwrap();
            let spelled = words.iter().map(|word| word["word"].as_str().unwrap());
            assert!(spelled.eq(["Thänks", ",", "it's", "unbelievable"]), "{words:?}");
            assert_eq!((&words[2]["start"], &words[2]["end"]), (&json("8"), &json("12")));
            assert!(words.iter().any(|word| word["score"] != 0.0), "{words:?}");
            assert_eq!(answers[1]["explanation"].as_object().unwrap().len(), 2);
        }
    }
    let long = "so happy ".repeat(40);
    let answers = rows(&explain(&["--at-least-one", "--threshold", "1", &long]).ok().stdout);
    let label = answers[0]["labels"][0]["label"].as_str().unwrap();
    let words = answers[0]["explanation"][label].as_array().unwrap();
    assert_eq!(words.len(), 14, "the model reads 16 tokens, and two frame the text");
    let none = rows(&explain(&["--threshold", "1", text]).ok().stdout);
    assert_eq!(none[0]["explanation"], json("{}"));
    let table = explain(&["--format", "table", "--top-k", "1", text]).ok().stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    explain(&["--format", "csv", text]).fails(2, &["--explain", "--format"]);
}

#[test]
fn evaluate_judges_explanations() {
    let folder = trained();
    let arguments = "evaluate --faithfulness --bootstrap 0 --model runs/quick";
    let found = json(&run(folder, &format!("{arguments} --json")).ok().stdout);
    assert!(found["faithfulness_texts"].as_u64().unwrap() > 100);
    let drop = |which: &str| found[format!("faithfulness_{which}_drop")].as_f64().unwrap();
    assert!(drop("top") > drop("random"), "{} {}", drop("top"), drop("random"));
    assert!(found["micro_f1"].is_number());
    assert!(run(folder, arguments).ok().stdout.contains("faithfulness: "));
}

#[test]
fn evaluate_and_tune_agree_and_tell_the_policy() {
    let folder = trained();
    let saved = json(&run(folder, "evaluate --json --model runs/quick").ok().stdout);
    let of_run = json(&fs::read_to_string(folder.join("runs/quick/evaluation.json")).unwrap());
    assert_eq!(saved["micro_f1"], of_run["micro_f1"]);
    assert_eq!(saved["thresholds"]["policy"], "per-label");
    assert!(saved["labels"]["joy"]["f1"].is_number());
    assert!(saved["confidence_intervals"]["macro_f1"][1].is_number());
    let table = run(folder, "evaluate --model runs/quick --threshold 0.2 --split test").ok().stdout;
    assert!(table.contains("fixed 0.2") && table.contains("split test"), "{table}");

    let before = fs::read(folder.join("runs/quick/best/thresholds.json")).unwrap();
    let dry = run(folder, "tune --model runs/quick --policy global --dry-run --json").ok().stdout;
    assert_eq!(json(&dry)["policy"], "global");
    assert_eq!(fs::read(folder.join("runs/quick/best/thresholds.json")).unwrap(), before);
    let copy = folder.join("copied");
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(folder.join("runs/quick/best")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    run(folder, "evaluate --model copied").fails(1, &["no data", "copied", "hint:", "--data"]);
    let tune = "tune --model copied --data sample --policy global --objective macro_f1";
    let tuned = run(folder, tune).ok().stdout;
    assert!(tuned.contains("cross-validated"), "{tuned}");
    let now = json(&run(folder, "evaluate --model copied --data sample --json").ok().stdout);
    assert_eq!(now["thresholds"]["policy"], "global");
    assert_eq!(now["thresholds"]["objective"], "macro_f1");
    // A model of another taxonomy is judged in its own labels.
    let ekman =
        format!("train {QUICK} --taxonomy ekman --max-steps 2 --output ekman --quiet --json");
    let trained = json(&run(folder, &ekman).ok().stdout);
    assert_eq!(trained["labels"].as_object().unwrap().len(), 7);
    let judged = json(&run(folder, "evaluate --model ekman --json").ok().stdout);
    assert_eq!(judged["micro_f1"], trained["micro_f1"]);
}

#[test]
fn a_run_is_judged_on_its_own_data() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::create_dir(folder.join("own")).unwrap();
    fs::write(folder.join("own/labels.txt"), "joy\nsadness\n").unwrap();
    fs::write(folder.join("own/train.tsv"), "good\tjoy\nbad\tsadness\n".repeat(8)).unwrap();
    fs::write(folder.join("own/dev.tsv"), "great\tjoy\nawful\tsadness\nfine\tjoy\n").unwrap();
    run(folder, &format!("train {QUICK} --max-steps 2 --data own --output run")).ok();
    let judged = json(&run(folder, "evaluate --model run --json").ok().stdout);
    assert_eq!((&judged["data"], &judged["rows"]), (&json("\"own\""), &json("3")));
    run(folder, "evaluate --model run --label-separator ;").fails(2, &["--data"]);
    // Whose rows thresholds are tuned on is kept with them.
    let split = |arguments: &str| -> String {
        run(folder, &format!("tune --model run {arguments}")).ok();
        let kept = fs::read_to_string(folder.join("run/best/thresholds.json")).unwrap();
        json(&kept)["split"].as_str().unwrap().to_owned()
    };
    assert_eq!(split(""), "dev");
    fs::rename(folder.join("own"), folder.join("other")).unwrap();
    assert_eq!(split("--data other"), "dev of other");
    run(folder, "evaluate --model run").fails(1, &["own", "hint:"]);
    // A lone file was all trained on.
    fs::rename(folder.join("other"), folder.join("own")).unwrap();
    let lone = format!("train {QUICK} --max-steps 2 --data own/train.tsv --labels own/labels.txt");
    run(folder, &format!("{lone} --output lone")).ok();
    run(folder, "evaluate --model lone").fails(1, &["train.tsv", "no validation", "--data"]);
    run(folder, "evaluate --model lone --split train").ok();
}

#[test]
fn data_and_doctor_and_completions() {
    let folder = trained();
    let stats = json(&run(folder, "data stats --json").ok().stdout);
    fs::write(folder.join("ids.csv"), "text,labels\nfine,\"17,18\"\n").unwrap();
    let shown = run(folder, "data show --data ids.csv --labels goemotions").ok().stdout;
    assert_eq!(rows(&shown)[0]["labels"], json("[\"joy\", \"love\"]"));
    assert_eq!(stats["splits"]["train"]["rows"], 911);
    assert!(run(folder, "data stats").ok().stdout.contains("gratitude"));
    let shown = run(folder, "data show --split dev --rows 2").ok().stdout;
    assert_eq!(rows(&shown).len(), 2);
    let doctor = json(&run(folder, "doctor --json --offline").ok().stdout);
    assert_eq!(doctor["network"], "not used: --offline");
    assert!(!doctor["instruction_sets"].as_array().unwrap().is_empty());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(run(folder, &format!("completions {shell}")).ok().stdout.contains("tinymood"));
    }
}

#[test]
fn labels_are_matched_by_name() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("train.tsv"), "good\tup\nbad\tdown\n".repeat(8)).unwrap();
    fs::write(folder.join("dev.tsv"), "good\tup\ngreat\tup\n").unwrap();
    fs::write(folder.join("names"), "up\ndown\n").unwrap();
    let train = format!("train {QUICK} --max-steps 2 --data . --labels names --output run --quiet");
    let said = run(folder, &train).ok().stderr;
    assert!(said.contains("1 of 2 dev texts stand in train too"), "{said}");
    let page = fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert!(page.contains("What to bear in mind") && page.contains("1 of 2 dev texts"), "{page}");
    let support = |arguments: &str| -> u64 {
        let said = run(folder, &format!("evaluate --model run --json --data {arguments}")).ok();
        json(&said.stdout)["labels"]["up"]["support"].as_u64().unwrap()
    };
    assert_eq!(support("."), 2);
    // The other order, told by the arguments and by the data.
    fs::write(folder.join("turned"), "down\nup\n").unwrap();
    assert_eq!(support(". --labels turned"), 2);
    fs::write(folder.join("dev.tsv"), "good\t1\ngreat\t1\n").unwrap();
    fs::rename(folder.join("turned"), folder.join("labels.txt")).unwrap();
    assert_eq!(support("."), 2);
    let file = folder.join("dev.tsv").display().to_string();
    assert_eq!(support(&file), 2, "the list beside a file is its folder's");
    fs::write(folder.join("labels.txt"), "down\nup\nleft\n").unwrap();
    run(folder, "evaluate --model run --data .").fails(1, &["only the data has left", "hint:"]);
}

#[test]
fn what_is_held_out_of_a_file_is_its_dev_split_ever_after() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let rows: String = (0..40)
        .map(|i| format!("{} {i}\t{}\n", ["good", "bad"][i % 2], ["up", "down"][i % 2]))
        .collect();
    fs::write(folder.join("rows.tsv"), &rows).unwrap();
    fs::write(folder.join("labels.txt"), "up\ndown\n").unwrap();
    let quick = format!("train {QUICK} --max-steps 2 --data rows.tsv");
    let said = run(folder, &format!("{quick} --output whole")).ok().stderr;
    assert!(said.contains("40 train rows, no dev split") && said.contains("--dev-share"), "{said}");
    run(folder, "export --int8 --model whole --output x").fails(1, &["no validation", "hint:"]);

    let said = run(folder, &format!("{quick} --output run --dev-share 0.25 --json")).ok();
    assert!(said.stderr.contains("30 train rows, 10 dev rows"), "{}", said.stderr);
    let settings = fs::read_to_string(folder.join("run/settings.toml")).unwrap();
    assert!(settings.contains("dev_share = 0.25"), "{settings}");
    let figures = json(&said.stdout);
    let share = "--model run --data rows.tsv --dev-share 0.25";
    let judged = json(&run(folder, &format!("evaluate {share} --json")).ok().stdout);
    assert_eq!((&judged["rows"], &judged["split"]), (&json("10"), &json("\"dev\"")));
    assert_eq!(judged["loss"], figures["loss"]);
    let tuned = run(folder, &format!("tune {share} --policy global --json")).ok().stdout;
    assert_eq!(json(&tuned)["evaluation"]["loss"], figures["loss"]);
    run(folder, &format!("evaluate {share} --split test")).fails(1, &["no test split"]);
    // Export and report ask the run where its data is.
    let said = run(folder, "export --int8 --model run --output small --force --json").ok().stdout;
    assert_eq!((&json(&said)["rows"], &json(&said)["split"]), (&json("10"), &json("\"dev\"")));
    let kept = fs::read(folder.join("run/predictions.jsonl")).unwrap();
    fs::remove_file(folder.join("run/predictions.jsonl")).unwrap();
    run(folder, "report run").ok();
    assert_eq!(fs::read(folder.join("run/predictions.jsonl")).unwrap(), kept);
    // So does a run that goes on, to the same bytes, whatever its seed.
    let model = fs::read(folder.join("run/best/model.safetensors")).unwrap();
    for gone in ["checkpoints", "best"] {
        fs::remove_dir_all(folder.join("run").join(gone)).unwrap();
    }
    let said = run(folder, "train --resume run").ok().stderr;
    assert!(said.contains("30 train rows, 10 dev rows"), "{said}");
    assert_eq!(fs::read(folder.join("run/best/model.safetensors")).unwrap(), model);
    run(folder, "train --resume run --dev-share 0.5").fails(2, &["--dev-share", "--resume"]);

    run(folder, &format!("{quick} --dev-share 1")).fails(2, &["from 0 to below 1"]);
    run(folder, "train --dev-share 0.1")
        .fails(1, &["dev split of its own", "hint:", "--dev-share"]);
    fs::create_dir(folder.join("folder")).unwrap();
    for name in ["train.tsv", "train-2.tsv"] {
        fs::write(folder.join("folder").join(name), "fine\tjoy\nawful\tanger\n").unwrap();
    }
    let stats = run(folder, "data stats --data folder --dev-share 0.5 --json").ok();
    assert!(stats.stderr.contains("warning: not read") && stats.stderr.contains("train-2.tsv"));
    let splits = &json(&stats.stdout)["splits"];
    assert_eq!((&splits["train"]["rows"], &splits["dev"]["rows"]), (&json("1"), &json("1")));
}

fn bytes_of(folder: &std::path::Path) -> u64 {
    folder.join("model.safetensors").metadata().unwrap().len()
}

#[test]
fn export_writes_a_quarter_that_answers_alike() {
    // Thresholds that were tuned in f32 on any machine: the gate judges in f32.
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let precise = "--max-steps 12 --output runs/quick --quiet --precision f32";
    run(folder, &format!("train {QUICK} {precise}")).ok();
    let said = run(folder, "export --int8 --model runs/quick --output small --json").ok();
    let judged = json(&said.stdout);
    assert_eq!((&judged["data"], &judged["split"]), (&json("\"sample\""), &json("\"dev\"")));
    assert_eq!((&judged["passed"], &judged["written"]), (&json("true"), &json("true")));
    assert!(judged["largest_difference_of_logits"].as_f64().unwrap() > 0.0);
    let small = folder.join("small");
    let (before, after) = (bytes_of(&folder.join("runs/quick/best")), bytes_of(&small));
    assert!(after * 100 < before * 27, "{before} bytes became {after}");
    let config = json(&fs::read_to_string(small.join("config.json")).unwrap());
    assert_eq!(config["tinymood"]["int8"]["f32"], judged["f32"]);
    assert_eq!(config["tinymood"]["int8"]["int8"], judged["int8"]);
    assert!(fs::read_to_string(small.join("README.md")).unwrap().contains("## int8"));

    // What was judged is what the folder gives: in int8, unless told otherwise.
    for (precision, side) in [("auto", "int8"), ("int8", "int8")] {
        let command =
            format!("evaluate --model small --data sample --json --precision {precision}");
        let found = json(&run(folder, &command).ok().stdout);
        assert_eq!(found["micro_f1"], judged[side]["micro_f1"], "{precision}");
        assert_eq!(found["macro_f1"], judged[side]["macro_f1"], "{precision}");
    }
    let exact =
        json(&run(folder, "evaluate --model runs/quick --json --precision f32").ok().stdout);
    assert_eq!(exact["micro_f1"], judged["f32"]["micro_f1"]);
    let scores = |arguments: &[&str]| -> Vec<f64> {
        let said = run_with(folder, &[&["predict", "--scores"], arguments].concat(), b"").ok();
        let scores = rows(&said.stdout)[0]["scores"].as_object().unwrap().clone();
        scores.values().map(|score| score.as_f64().unwrap()).collect()
    };
    let exact = scores(&["--model", "runs/quick", "--precision", "f32", "so happy"]);
    let rounded = scores(&["--model", "small", "so happy"]);
    // Rounding on the way in gives what the exported weights give.
    let at_once = scores(&["--model", "runs/quick", "--precision", "int8", "so happy"]);
    assert_ne!(rounded, exact, "int8 is the default of the folder");
    for other in [&exact, &at_once] {
        let far = rounded.iter().zip(other).any(|(a, b)| (a - b).abs() > 0.02);
        assert!(!far, "{rounded:?} {other:?}");
    }
    // As floats again it says what it says in f32, to the bit.
    run(folder, "export --f32 --model small --output floats --quiet").ok();
    let floats = folder.join("floats");
    assert!(bytes_of(&floats) * 26 > before * 25, "{} bytes", bytes_of(&floats));
    assert!(fs::read_to_string(floats.join("README.md")).unwrap().contains("## 32-bit floats"));
    let config = json(&fs::read_to_string(floats.join("config.json")).unwrap());
    assert_eq!(config["tinymood"]["int8"], serde_json::Value::Null);
    assert_eq!(
        scores(&["--model", "floats", "--precision", "f32", "so happy"]),
        scores(&["--model", "small", "--precision", "f32", "so happy"])
    );
    // It can be trained on, in another precision.
    run(folder, "train --init small --batch-size 8 --max-steps 1 --output again --quiet").ok();
}

/// A folder with the quick run's model in `copy`.
fn copied() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    copy_model(&copy);
    place
}

/// An earlier version may have tuned what is saved in another way: the gate compares like with like.
#[test]
fn export_tunes_thresholds_of_both_forms() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    run(here, &format!("train {QUICK} --max-steps 12 --output run --quiet")).ok();
    let judged = || {
        let said = run(here, "export --int8 --model run --output x --force --json");
        fs::remove_dir_all(here.join("x")).unwrap();
        json(&said.ok().stdout)
    };
    let before = judged();
    let path = here.join("run/best/thresholds.json");
    let mut saved = json(&fs::read_to_string(&path).unwrap());
    let thresholds = saved["thresholds"].as_object_mut().unwrap();
    thresholds.values_mut().for_each(|threshold| *threshold = serde_json::json!(0.999));
    fs::write(&path, saved.to_string()).unwrap();
    assert_eq!(judged(), before);
}

#[test]
fn export_refuses_what_it_cannot_stand_for() {
    let place = copied();
    let copy = place.path().join("copy");
    let here = place.path();
    run(here, "export --int8 --model copy --output x").fails(1, &["no data", "hint:", "--data"]);
    fs::create_dir(here.join("data")).unwrap();
    fs::write(here.join("data/train.tsv"), "fine\t1\n").unwrap();
    run(here, "export --int8 --model copy --output x --data data")
        .fails(1, &["no validation (dev) split", "hint:", "--data"]);
    run(here, "export --int8 --model copy --output copy --data sample").fails(1, &["exists"]);
    run(here, "export --model copy --output x").fails(2, &["--int8"]);
    run(here, "export --int8 --f32 --model copy --output x").fails(2, &["--f32"]);
    run(here, "export --f32 --model copy --output copy").fails(1, &["exists"]);
    run(here, "train --precision int8 --init random:2L-128D")
        .fails(2, &["training does not run in int8", "hint:", "export --int8"]);
    run(here, "bench --precision int8 --what train").fails(2, &["does not run in int8", "hint:"]);
    assert!(!here.join("x").exists());

    // One huge weight leaves the others of its row no bits.
    let file = copy.join("model.safetensors");
    spoil(&file);
    let refused = run(here, "export --int8 --model copy --output x --data sample --json");
    let judged = json(&refused.stdout);
    refused.fails(1, &["int8 loses too much", "_f1", "hint:", "--force"]);
    assert_eq!((&judged["passed"], &judged["written"]), (&json("false"), &json("false")));
    assert!(!here.join("x").exists());
    let forced =
        run(here, "export --int8 --model copy --output x --data sample --force --json").ok();
    assert_eq!(json(&forced.stdout)["written"], true);
    let config = json(&fs::read_to_string(here.join("x/config.json")).unwrap());
    assert_eq!(config["tinymood"]["int8"]["passed"], false);
    run(here, "export --int8 --model x --output y --data sample").fails(1, &["int8 already"]);
}

#[cfg(feature = "bundled")]
#[test]
fn with_nothing_given_the_bundled_models_answer_and_train() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    let said =
        run_with(here, &["predict", "thank you so much!", "this makes me so angry"], b"").ok();
    let answers = rows(&said.stdout);
    for (answer, label) in answers.iter().zip(["gratitude", "anger"]) {
        assert_eq!(answer["labels"][0]["label"], label, "{answer}");
    }
    run(here, "tune").fails(1, &["part of the program", "hint:", "--model", "--dry-run"]);
    run(here, "tune --dry-run --json").ok();
    run(here, "export --int8 --output x").fails(1, &["int8 already"]);
    run(here, "export --f32 --output floats --quiet").ok();
    let scores = |model: &[&str]| {
        let ask = [&["predict", "--scores", "--precision", "f32"], model, &["thank you"]].concat();
        rows(&run_with(here, &ask, b"").ok().stdout)[0]["scores"].clone()
    };
    assert_eq!(scores(&["--model", "floats"]), scores(&[]));
    let card = fs::read_to_string(here.join("floats/README.md")).unwrap();
    assert!(card.starts_with("---\n") && card.contains("license: apache-2.0"), "{card}");
    run(here, "predict --model latest x").fails(1, &["./runs", "hint:", "tinymood train"]);

    let said = run(here, "train --max-steps 2 --batch-size 8 --json").ok();
    assert!(said.stderr.contains("init: bundled: "), "{}", said.stderr);
    assert!(said.stderr.contains("newly initialised: classifier"), "{}", said.stderr);
    let latest = json(&run(here, "evaluate --model latest --json").ok().stdout);
    assert_eq!(latest["micro_f1"], json(&said.stdout)["micro_f1"]);

    // The classifier teaches, too, and what it says is learned: the loss is another one.
    let taught = "train --max-steps 2 --batch-size 8 --teacher bundled --json";
    let taught = run(here, taught).ok();
    assert!(taught.stderr.contains("labelled by 1 teacher"), "{}", taught.stderr);
    assert_ne!(json(&taught.stdout)["loss"], json(&said.stdout)["loss"]);
}

#[test]
fn a_new_classifier_begins_at_its_labels_frequencies_and_a_trained_one_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let loss = |arguments: &str| {
        let one = "train --learning-rate 1e-12 --max-steps 1 --batch-size 4 --max-length 16 --json --quiet";
        let said = run(place.path(), &format!("{one} {arguments}")).ok();
        json(&said.stdout)["loss"].as_f64().unwrap()
    };
    let random = "--init random:2L-128D --output";
    let zero = loss(&format!("{random} zero --classifier-bias zero"));
    assert!((zero - std::f64::consts::LN_2).abs() < 0.1, "{zero}");
    // The entropy of the sample's labels is 0.17 each.
    let prior = loss(&format!("{random} prior"));
    assert!(prior < 0.2, "{prior}");
    // From the bundled encoder's vectors it learns more before the first step.
    let alone = loss("--init bundled --probe-epochs 10 --output probed");
    assert!(alone < 0.9 * prior, "{alone} {prior}");
    let kept = loss("--init zero/best --output kept");
    assert!((kept - zero).abs() < 1e-3, "{kept} {zero}");
    run(place.path(), "train --classifier-bias half").fails(2, &["\"half\"", "zero or prior"]);
    run(place.path(), "train --probe-epochs 1001").fails(2, &["probe_epochs", "1001", "to 1000"]);
}

#[test]
fn distill_makes_an_encoder_that_trains_and_exports() {
    let folder = trained();
    let texts: Vec<String> = (0..40).map(|i| format!("text {i} is so very happy\n")).collect();
    fs::write(folder.join("texts.txt"), texts.concat() + "\n\n").unwrap();
    let distill = "distill --teacher runs/quick --texts texts.txt --student 1L-64D --batch-size 8 \
                   --max-length 16 --log-every 1 --warmup-steps 5 --learning-rate 5e-3";
    let said = run(folder, &format!("{distill} --epochs 6 --output runs/student")).ok();
    for expected in ["texts: 40", "layers 2", "% of the teacher's energy", "train --init"] {
        assert!(said.stderr.contains(expected), "no {expected:?} in {}", said.stderr);
    }
    let student = folder.join("runs/student");
    let log = fs::read_to_string(student.join("log.jsonl")).unwrap();
    let losses: Vec<f64> = rows(&log).iter().filter_map(|event| event["loss"].as_f64()).collect();
    assert_eq!(losses.len(), 30);
    assert!(losses[29] < 0.8 * losses[0], "{losses:?}");
    let config = json(&fs::read_to_string(student.join("best/config.json")).unwrap());
    assert_eq!(config["architectures"][0], "BertModel");
    assert_eq!(config["hidden_dropout_prob"], 0.1, "for fine-tuning");
    assert!(config.get("id2label").is_none());

    // Stopped half way and resumed, it ends in the same bytes.
    run(folder, &format!("{distill} --max-steps 30 --output runs/again --checkpoint-every 13"))
        .ok();
    for step in ["step-00000026", "step-00000030"] {
        let path = folder.join("runs/again/checkpoints").join(step);
        assert!(path.is_dir(), "{path:?}");
    }
    fs::remove_dir_all(folder.join("runs/again/checkpoints/step-00000030")).unwrap();
    fs::remove_dir_all(folder.join("runs/again/best")).unwrap();
    run(folder, "distill --resume runs/again --quiet").ok();
    let weights = |run: &str| fs::read(folder.join(run).join("best/model.safetensors")).unwrap();
    assert_eq!(weights("runs/again"), weights("runs/student"));

    run(folder, "train --init runs/student --batch-size 8 --max-steps 1 --output fine --quiet")
        .ok();
    let said = run(folder, "export --int8 --model runs/student/best --output encoder --json").ok();
    let judged = json(&said.stdout);
    assert!(judged["mean_cosine"].as_f64().unwrap() > 0.99, "{judged}");
    let (before, after) = (bytes_of(&student.join("best")), bytes_of(&folder.join("encoder")));
    assert!(after * 100 < before * 30, "{before} bytes became {after}");
    run(folder, "train --init encoder --batch-size 8 --max-steps 1 --output finer --quiet").ok();
}

#[test]
fn distill_learns_relations_and_resumes_them() {
    let folder = trained();
    let texts: Vec<String> = (0..16).map(|i| format!("text {i} is so very sad\n")).collect();
    fs::write(folder.join("related.txt"), texts.concat()).unwrap();
    let distill = "distill --teacher runs/quick --texts related.txt --student 1L-64D --batch-size 8 \
                   --max-length 16 --log-every 1 --warmup-steps 2 --learning-rate 5e-3 --max-steps 10 \
                   --checkpoint-every 6 --quiet --output";
    let alone = "--state-weight 0 --last-weight 0 --mean-weight 0 --pooler-weight 0";
    let losses = |path: &str, rest: &str| -> Vec<f64> {
        run(folder, &format!("{distill} {path} {rest}")).ok();
        let log = fs::read_to_string(folder.join(path).join("log.jsonl")).unwrap();
        rows(&log).iter().filter_map(|event| event["loss"].as_f64()).collect()
    };
    assert!(losses("runs/nothing", alone).iter().all(|&loss| loss == 0.0));
    let related =
        losses("runs/related", &format!("{alone} --relation-weight 1 --relation-heads 8"));
    assert!(related[9] < 0.8 * related[0], "{related:?}");
    let settings = fs::read_to_string(folder.join("runs/related/settings.toml")).unwrap();
    for expected in ["relation_weight = 1.0", "relation_heads = 8", "relation_layer = 2"] {
        assert!(settings.contains(expected), "no {expected:?} in {settings}");
    }
    let first = "--relation-weight 1 --relation-heads 8 --relation-layer 1";
    let first = losses("runs/first", &format!("{alone} {first}"));
    assert_ne!(first[0], related[0]);

    let related = folder.join("runs/related");
    let weights = || fs::read(related.join("best/model.safetensors")).unwrap();
    let before = weights();
    fs::remove_dir_all(related.join("checkpoints/step-00000010")).unwrap();
    fs::remove_dir_all(related.join("best")).unwrap();
    run(folder, "distill --resume runs/related --quiet").ok();
    assert_eq!(weights(), before);
}

#[test]
fn distill_refuses_what_cannot_be_learned() {
    let folder = trained();
    fs::write(folder.join("blank.txt"), "\n \n").unwrap();
    fs::write(folder.join("some.txt"), "some text\n").unwrap();
    fs::write(folder.join("bad.txt"), b"fine\n\xff\xfe\n").unwrap();
    let distill = |rest: &str| run(folder, &format!("distill --teacher runs/quick {rest}"));
    distill("--student 1L-64D").fails(2, &["--texts"]);
    distill("--texts blank.txt --student 1L-64D").fails(1, &["no rows", "blank.txt"]);
    distill("--texts bad.txt --student 1L-64D").fails(1, &["bad.txt:2", "UTF-8"]);
    fs::write(folder.join("body.csv"), "body\nsome text\n").unwrap();
    distill("--texts body.csv --student 1L-64D")
        .fails(1, &["body.csv", "\"text\"", "--text-column"]);
    let column =
        "--texts body.csv --text-column body --student 1L-64D --max-steps 1 --output column";
    distill(column).ok();
    run(folder, "distill --resume column --text-column body").fails(2, &["--text-column"]);
    let settings = fs::read_to_string(folder.join("column/settings.toml")).unwrap();
    assert!(settings.contains("text_column = \"body\""), "{settings}");
    fs::write(folder.join("column/settings.toml"), settings.replace("text_column", "older"))
        .unwrap();
    run(folder, "distill --resume column").fails(1, &["body.csv", "\"text\""]);
    distill("--texts nowhere.txt --student 1L-64D").fails(1, &["nowhere.txt"]);
    distill("--texts some.txt --student 4L-64D").fails(1, &["4 layers", "only 2"]);
    distill("--texts some.txt --student 1L-256D").fails(1, &["256", "128"]);
    distill("--texts some.txt --student 1L-64D --layers 3").fails(1, &["--layers", "1 to 2"]);
    let related = |rest: &str| {
        distill(&format!("--texts some.txt --student 1L-64D --relation-weight {rest}"))
    };
    related("1").fails(1, &["--relation-heads", "12", "128", "64", "1, 2, 4, 8, 16, 32, 64"]);
    related("1 --relation-heads 0").fails(1, &["0 relation heads"]);
    related("1 --relation-heads 8 --relation-layer 3").fails(1, &["--relation-layer", "1 to 2"]);
    related("0 --relation-layer 2").fails(2, &["--relation-layer needs"]);
    related("nan").fails(2, &["--relation-weight", "from 0 up"]);
    distill("--texts some.txt --student 1L-64D --precision int8").fails(2, &["int8", "hint:"]);
    run(folder, "distill --resume runs/quick").fails(1, &["not of a distillation"]);
}

/// Makes the last norm's output 0 in column 0 and 1 in column 1, and the classifier of that: each row
/// has a huge weight for the 0, and what its bias loses, as a weight for the 1. In f32 little changes;
/// in int8 the huge weight leaves the other no bits, and no label is ever near its threshold.
fn spoil(file: &std::path::Path) {
    // The default recipe pools by the mean of the last norm's output.
    let norm = "bert.encoder.layer.1.output.LayerNorm";
    change_weights(file, |set| {
        for column in [0, 1] {
            set(&format!("{norm}.weight"), column, &|_| 0.0);
        }
        set(&format!("{norm}.bias"), 0, &|_| 0.0);
        set(&format!("{norm}.bias"), 1, &|_| 1.0);
        for row in 0..28 {
            set("classifier.weight", row * 128, &|_| 1e5);
            set("classifier.weight", row * 128 + 1, &|_| 30.0);
            set("classifier.bias", row, &|bias| bias - 30.0);
        }
    });
}
