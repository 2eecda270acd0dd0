//! Those who listen to training: progress for people, `log.jsonl` and TensorBoard for tools.

mod jsonl;
mod meter;
mod progress;
mod tensorboard;

pub(crate) use jsonl::JsonLog;
pub use meter::Meter;
pub use progress::{Progress, ProgressStyle};
pub use tensorboard::{ScalarWriter, masked_crc32c};
