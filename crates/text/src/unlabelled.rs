//! Texts without labels, for a teacher to label. They are held in memory, all of them.

use std::path::PathBuf;

use crate::{DataError, RowError, RowProblem, StreamOptions, TextStream};

/// The texts of some files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unlabelled {
    /// The texts, in the order of the files and their rows.
    pub texts: Vec<String>,
    /// Rows that were passed over because nothing stands in them.
    pub blank: usize,
    /// Rows that were passed over because they are malformed.
    pub bad_rows: Vec<RowError>,
}

impl Unlabelled {
    /// Reads files as [`TextStream`] does; labels that stand beside the texts are not looked at.
    ///
    /// # Errors
    /// When one cannot be read, has no text, or has a malformed row that is not to be passed over.
    pub fn read(
        paths: &[PathBuf],
        options: &StreamOptions,
        skip_bad_rows: bool,
    ) -> Result<Self, DataError> {
        let mut all = Self::default();
        for path in paths {
            let before = all.texts.len();
            for row in TextStream::open(path, options)? {
                let row = row?;
                match row.text {
                    Ok(text) => all.texts.push(text),
                    Err(RowProblem::EmptyText) => all.blank += 1,
                    Err(problem) => {
                        let hint = problem.hint(all.texts.len() == before).to_owned();
                        let row = RowError { path: path.clone(), line: row.line, problem };
                        if !skip_bad_rows {
                            return Err(DataError::Row { row, hint });
                        }
                        all.bad_rows.push(row);
                    }
                }
            }
            if all.texts.len() == before {
                return Err(DataError::Empty(path.clone()));
            }
        }
        Ok(all)
    }
}
