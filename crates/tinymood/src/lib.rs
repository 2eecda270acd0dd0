//! The front door: what the binary's commands are made of, for programs that would rather call than
//! spawn.
//!
//! ```text
//! args         the command line as typed
//! commands     one module a command: args to settings to library calls
//! bundled      the models that are part of the program
//! data         a dataset's arguments to splits
//! fetching     downloads, of which whoever waits is told
//! model        a folder, run or hub id to a model ready to answer
//! teachers     models that label texts for a student
//! init         where training starts
//! read_ahead   texts to come, while others are answered
//! predictions  probabilities to labels, and how they are written
//! hint         what to do about an error
//! misuse       whose fault it is
//! stop         signals that ask a command to stop
//! ```

#![forbid(unsafe_code)]

pub mod args;
mod bundled;
pub mod commands;
mod data;
mod fetching;
pub mod hint;
mod init;
pub mod misuse;
mod model;
mod output;
pub mod predictions;
mod read_ahead;
pub mod stop;
mod teachers;

pub use model::{Model, ModelError, Origin};
pub use teachers::TeacherError;
