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

`train` writes report.html into its run's folder when it ends, and `report` writes it again: after \
`tune`, say, or of a run that was stopped. Beside the page, a.html, lie all its numbers in a.json and, of \
several runs, tables in a.md; a file there that is of no report is never replaced. The \
model's README.md gets the figures too, unless it was taken for your own. Runs that were judged on \
different rows are not compared.")]
pub struct ReportArgs {
    /// Folders of runs, as runs/NAME, or `latest`; the first is what others are held against
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The page [default: RUN/report.html; for several, comparison.html]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Resamplings behind intervals and tests, 0 for none
    #[arg(long, value_name = "N", default_value = "2000", value_parser = parse_resamples)]
    pub bootstrap: usize,
    /// How many texts of each kind are shown; 0 leaves all texts out
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
