//! What to do about an error: the first hint that a link of its chain of causes has.

use tinymood_eval::ThresholdError;
use tinymood_hub::HubError;
use tinymood_report::ReportError;
use tinymood_serve::ServeError;
use tinymood_text::{DataError, TokenizerError};
use tinymood_train::{RunFolderError, TrainError};
use tinymood_weights::WeightsError;
use tinymood_weights::regular::StandIn;

use crate::model::ModelError;
use crate::teachers::TeacherError;

/// The hint of the outermost cause that has one.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(of_cause)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return StandIn::behind(error).map(|stand_in| stand_in.hint().to_owned());
    }
    if let Some(error) = cause.downcast_ref::<HubError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<DataError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<WeightsError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<TrainError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<RunFolderError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<ReportError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<ServeError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<TeacherError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(ThresholdError::Json(_)) = cause.downcast_ref() {
        return Some(
            "`tinymood tune` writes the file, with policy, objective, split and thresholds; without it, each \
             label's threshold is 0.5"
                .to_owned(),
        );
    }
    match cause.downcast_ref::<TokenizerError>() {
        Some(TokenizerError::Missing(_)) => Some(
            "save the tokenizer beside the model: tokenizer.save_pretrained(folder)".to_owned(),
        ),
        Some(TokenizerError::Field { field, .. }) if field == "tokenizer_class" => Some(
            "only tokenizers with the ids of transformers' BertTokenizerFast are supported: take another model, or \
             save its tokenizer as a BertTokenizerFast if that gives the same ids"
                .to_owned(),
        ),
        Some(TokenizerError::Row { source, .. }) => of_cause(&**source),
        Some(TokenizerError::NoEmbedding { .. }) => Some(
            "take the tokenizer that the model was trained with, or leave the token out of the text"
                .to_owned(),
        ),
        Some(TokenizerError::Contents { .. } | TokenizerError::Config { .. }) => Some(
            "fetch the tokenizer's files again from where they came from, or save them again: \
             tokenizer.save_pretrained(folder)"
                .to_owned(),
        ),
        _ => None,
    }
}
