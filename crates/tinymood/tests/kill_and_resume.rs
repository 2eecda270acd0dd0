//! A run killed at random moments and resumed ends in the very bytes of one that never was, on one
//! thread and on two.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{QUICK, run, tinymood};

const RECIPE: &str = "--max-steps 30 --evaluate-every 7 --checkpoint-every 4 --ema-decay 0.9 \
    --gradient-accumulation 2 --metric loss --quiet";

/// All bytes that a finished run promises.
fn result(run: &Path) -> Vec<Vec<u8>> {
    let files = ["model.safetensors", "thresholds.json", "config.json", "tokenizer.json"];
    files.map(|file| fs::read(run.join("best").join(file)).unwrap()).to_vec()
}

/// SplitMix64.
struct Moments(u64);

impl Moments {
    fn next(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        longest.mul_f64((x >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[test]
fn a_killed_run_ends_in_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    killed_or_not(place.path(), "", &[1, 2]);
}

#[test]
fn a_killed_run_with_a_teacher_ends_in_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let texts: String = (0..400).map(|i| format!("the {i} roads to {}\n", i * i % 97)).collect();
    fs::write(folder.join("more.txt"), texts).unwrap();
    run(folder, &format!("train {QUICK} --max-steps 4 --output teacher --quiet")).ok();
    // Without a cache, each run that is killed early asks the teacher again.
    let teaching = "--teacher teacher --unlabelled more.txt --cache-dir file/that/is/none";
    fs::write(folder.join("file"), "").unwrap();
    killed_or_not(folder, teaching, &[2]);
}

fn killed_or_not(folder: &Path, more: &str, threads: &[usize]) {
    let arguments = |threads: usize, name: &str| {
        format!("train {QUICK} {RECIPE} {more} --threads {threads} --output {name}")
    };
    let begun = Instant::now();
    run(folder, &arguments(1, "whole")).ok();
    let whole_time = begun.elapsed();
    let expected = result(&folder.join("whole"));

    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut moments = Moments(seed);
    for &threads in threads {
        let name = format!("killed-{threads}");
        let run_folder = folder.join(&name);
        let mut kills = 0;
        loop {
            // Before its settings are saved, a run is begun and not resumed.
            let arguments = match run_folder.join("settings.toml").exists() {
                true => format!("train --resume {name} --threads {threads} --quiet"),
                false => arguments(threads, &name),
            };
            let mut command = tinymood(folder);
            command.args(arguments.split_whitespace()).stdin(Stdio::null());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            if kills < 6 {
                std::thread::sleep(moments.next(whole_time.mul_f64(0.4)));
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            if output.status.success() && kills > 0 {
                break;
            }
            if output.status.success() {
                // Quicker than the first run was: nothing is shown by it.
                fs::remove_dir_all(&run_folder).unwrap();
                continue;
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_none(), "seed {seed}, {kills} kills: {stderr}");
            kills += 1;
        }
        assert!(result(&run_folder) == expected, "seed {seed}, {threads} threads, {kills} kills");
    }
}

#[cfg(unix)]
#[test]
fn sigterm_saves_a_checkpoint_and_is_told_by_the_status() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let arguments = format!("train {QUICK} --max-steps 100000 --output long");
    let mut command = tinymood(folder);
    command.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    // Training has begun when the log has its first step.
    let log = folder.join("long/log.jsonl");
    let begun = Instant::now();
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("\"step\"")) {
        assert!(begun.elapsed() < Duration::from_secs(120), "training never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert!(stderr.contains("train --resume long"), "{stderr}");
    assert_eq!(fs::read_dir(folder.join("long/checkpoints")).unwrap().count(), 1);
}
