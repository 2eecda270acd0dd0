use std::path::PathBuf;

use clap::Args;

use super::parse_resamples;

/// `tinymood report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tinymood report latest                   rewrite the newest run's page
  tinymood report runs/a runs/b            runs/a and runs/b side by side, in comparison.html
  tinymood report runs/a --examples 0      a page without any text of the data
  tinymood report runs/a --output a.html   somewhere else

`train` writes report.html into its run's folder when it ends, and `report` writes it again, for example \
after `tune` or for a run that was stopped. Beside a page a.html, a.json has all its numbers and, for \
several runs, a.md its tables; a file there that is not a report's is never replaced. The figures \
also go into the model's README.md, unless you have made that file your own. Runs evaluated on different \
rows are not compared.")]
pub struct ReportArgs {
    /// Run folders, such as runs/NAME, or `latest`; the others are compared with the first
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// File to write [default: RUN/report.html; for several runs, comparison.html]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Bootstrap resamples for intervals and tests, 0 for none
    #[arg(long, value_name = "N", default_value = "2000", value_parser = parse_resamples)]
    pub bootstrap: usize,
    /// How many texts of each kind to show; 0 leaves all texts out
    #[arg(long, value_name = "N", default_value = "12", value_parser = parse_examples)]
    pub examples: usize,
    /// Print the numbers as one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

fn parse_examples(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count <= 1000 => Ok(count),
        _ => Err("expected a whole number from 0 to 1000".to_owned()),
    }
}
