//! Downloads, of which whoever waits is told.

use std::sync::Arc;

use tinymood_hub::{Fetcher, Watch};
use tinymood_train::Meter;

use crate::args::GlobalArgs;

/// What fetches files, and tells of each as the arguments say.
pub(crate) fn fetcher(global: &GlobalArgs) -> Fetcher {
    Fetcher::default().watched(Arc::new(Told(global.clone())))
}

#[derive(Debug)]
struct Told(GlobalArgs);

impl Watch for Told {
    fn begin(&self, name: &str, bytes: Option<u64>) -> Box<dyn FnMut(u64)> {
        let Self(global) = self;
        let Some(bytes) = bytes else {
            global.say(&format!("fetching {name}"));
            return Box::new(|_| {});
        };
        global.say(&format!("fetching {name} ({})", size(bytes)));
        let count = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut meter = Meter::of_bytes(global.progress(), name, count(bytes));
        Box::new(move |received| meter.set(count(received)))
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
