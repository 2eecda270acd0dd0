//! Misuse: a command line that means nothing, whatever files and machine it meets. The program ends
//! with status 2 then, as it does where the command line cannot be read.

use std::fmt;

use tinymood_report::ReportError;
use tinymood_serve::SettingsError;
use tinymood_train::RecipeError;

use crate::model::ModelError;
use crate::teachers::TeacherError;

/// What is wrong with the arguments, and what to give instead.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// Whether the arguments are to blame.
pub fn is_misuse(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let by_recipe = matches!(
            cause.downcast_ref(),
            Some(RecipeError::Unknown { .. } | RecipeError::Value { .. })
        );
        let by_report = matches!(cause.downcast_ref(), Some(ReportError::Twice(_)));
        let by_teachers = matches!(cause.downcast_ref(), Some(TeacherError::None(_)));
        let by_precision = matches!(cause.downcast_ref(), Some(ModelError::TrainInt8));
        let any = by_recipe || by_report || by_teachers || by_precision;
        any || cause.is::<Misuse>() || cause.is::<SettingsError>()
    })
}
