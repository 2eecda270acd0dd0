//! Panics of the `tokenizers` crate, made errors: the last resort behind [`known`](super::known).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    /// Whether a panic of this thread is caught and becomes an error.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`.
///
/// # Errors
/// What it panicked with. Nothing that it has changed may be used then: the crate's tokenizers are only read.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(before);
    outcome.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}

/// Prints nothing for panics that become a [`TokenizerError`](super::TokenizerError). Others are reported as
/// before. For a program to call once, at its start: the panic hook is one for all threads.
pub fn silence_caught_panics() {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        if !IS_GUARDED.get() {
            before(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use tokenizers::pre_tokenizers::fixed_length::FixedLength;

    use super::super::{Reference, Shared, Source, Tokenizer, TokenizerError};
    use super::*;

    /// A tokenizer that the crate panics with, as no file can ask for it.
    #[test]
    fn a_text_that_the_crate_panics_on_is_an_error() {
        let bundled = Tokenizer::bundled();
        let mut tokenizer = bundled.reference().unwrap().clone();
        tokenizer.with_pre_tokenizer(Some(FixedLength { length: 0 }));
        let reference = OnceLock::from(Ok(Reference { tokenizer, growth: 1 }));
        let source = Source {
            text: "".into(),
            is_json: true,
            config: super::super::Config::default(),
            from: "test".to_owned(),
        };
        let shared = Arc::new(Shared { source, fast: None, reference });
        let panicking = Tokenizer { shared, ..bundled };
        let outcomes = panicking.encode_each(&["", "a", ""]);
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert!(matches!(&outcomes[1], Err(TokenizerError::Failed(_))), "{outcomes:?}");
        assert!(matches!(panicking.tokens("a", true), Err(TokenizerError::Failed(_))));
        assert!(matches!(panicking.words("a"), Err(TokenizerError::Failed(_))));
        assert_eq!(panicking.encode("").unwrap().ids, [101, 102]);
    }

    #[test]
    fn a_panic_becomes_an_error_and_the_next_call_works() {
        assert_eq!(guarded(|| 1), Ok(1));
        let text = "damaged".to_owned();
        assert_eq!(guarded(|| -> u8 { panic!("{text}") }), Err("damaged".to_owned()));
        assert_eq!(guarded(|| guarded(|| -> u8 { panic!("inner") })), Ok(Err("inner".to_owned())));
        assert!(!IS_GUARDED.get());
        assert_eq!(guarded(|| 2), Ok(2));
    }
}
