//! What the name of an output says of its format: a file is never another thing than its name says.

use std::io::{self, IsTerminal};
use std::path::Path;

use crate::args::FormatArg;
use crate::misuse::Misuse;

/// Formats of tables that are written by other tools only.
const OF_OTHERS: [&str; 33] = [
    "parquet", "arrow", "feather", "ipc", "orc", "avro", "xlsx", "xls", "xlsm", "xlsb", "ods",
    "tsv", "tab", "gz", "bz2", "xz", "zst", "zip", "7z", "lz4", "tar", "tgz", "pkl", "pickle",
    "npy", "npz", "h5", "hdf5", "db", "sqlite", "html", "xml", "yaml",
];

/// Files of models that are folders here.
const OF_MODELS: [&str; 14] = [
    "onnx",
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "gguf",
    "ggml",
    "h5",
    "tflite",
    "mlmodel",
    "zip",
    "gz",
    "tar",
];

/// The format of predictions: the one that is asked for, else what the file's name says, else a table for people
/// and JSONL for programs.
///
/// # Errors
/// When the name is that of a format that is not written, says another one than is asked for, or says none.
pub(crate) fn format_of(asked: Option<FormatArg>, output: &Path) -> Result<FormatArg, Misuse> {
    if output == Path::new("-") {
        let default = || match io::stdout().is_terminal() {
            true => FormatArg::Table,
            false => FormatArg::Jsonl,
        };
        return Ok(asked.unwrap_or_else(default));
    }
    let path = output.display();
    let extension = output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let Some(extension) = extension else { return Ok(asked.unwrap_or(FormatArg::Jsonl)) };
    let named = match &*extension {
        "csv" => Some(FormatArg::Csv),
        "jsonl" | "ndjson" => Some(FormatArg::Jsonl),
        other if OF_OTHERS.contains(&other) => {
            return Err(Misuse(format!(
                "--output {path}: .{extension} files are not written, expected a name that ends in .csv or .jsonl"
            )));
        }
        _ => None,
    };
    match (asked, named) {
        (Some(asked), Some(named)) if asked != named && !(asked.is_csv() && named.is_csv()) => {
            let asked = asked.name();
            Err(Misuse(format!(
                "--output {path} is named as {}, and --format is {asked}: change one of them",
                named.name()
            )))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(named)) => Ok(named),
        (None, None) => {
            let hint = if extension == "json" {
                ", or name it .jsonl: one JSON object a line"
            } else {
                ""
            };
            Err(Misuse(format!(
                "--output {path}: .{extension} does not say a format, expected .csv or .jsonl; say it with \
                 --format{hint}"
            )))
        }
    }
}

/// Refuses a folder's name that is one of a file of a model: a folder is written, whatever its name says.
///
/// # Errors
/// When it is.
pub(crate) fn check_folder(output: &Path) -> Result<(), Misuse> {
    let extension = output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.filter(|extension| OF_MODELS.contains(&&**extension)) {
        Some(extension) => Err(Misuse(format!(
            "--output {}: a folder is written, not a .{extension} file: expected the name of a folder",
            output.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_how_it_is_written() {
        use FormatArg::{Csv, CsvIndicators, Jsonl, Table};
        let format =
            |asked, path: &str| format_of(asked, Path::new(path)).map_err(|misuse| misuse.0);
        for (asked, path, expected) in [
            (None, "a.csv", Csv),
            (None, "a.CSV", Csv),
            (None, "a.jsonl", Jsonl),
            (None, "a.ndjson", Jsonl),
            (None, "a", Jsonl),
            (Some(CsvIndicators), "a.csv", CsvIndicators),
            (Some(Jsonl), "a.json", Jsonl),
            (Some(Table), "a.txt", Table),
            (Some(Table), "-", Table),
        ] {
            assert_eq!(format(asked, path), Ok(expected), "{path}");
        }
        for (asked, path, named) in [
            (None, "a.parquet", ".parquet"),
            (Some(Csv), "a.parquet", ".parquet"),
            (Some(Jsonl), "a.jsonl.gz", ".gz"),
            (None, "a.xlsx", ".xlsx"),
            (None, "a.tsv", ".tsv"),
            (Some(Csv), "a.tsv", ".tsv"),
            (None, "a.json", "--format"),
            (None, "a.txt", "--format"),
            (Some(Jsonl), "a.csv", "--format is jsonl"),
            (Some(Csv), "a.jsonl", "--format is csv"),
            (Some(Table), "a.csv", "--format is table"),
        ] {
            let problem = format(asked, path).unwrap_err();
            assert!(problem.contains(path) && problem.contains(named), "{problem}");
        }
    }

    #[test]
    fn a_folder_is_not_named_as_a_file_of_a_model() {
        for path in ["x.onnx", "runs/x.safetensors", "x.GGUF"] {
            assert!(check_folder(Path::new(path)).is_err(), "{path}");
        }
        for path in ["x", "runs/v1.0", "runs/x.int8", "a.b/x"] {
            assert!(check_folder(Path::new(path)).is_ok(), "{path}");
        }
    }
}
