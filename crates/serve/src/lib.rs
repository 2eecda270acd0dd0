//! An HTTP server for multi-label classifiers, whatever engine computes them.
//!
//! The way of a request:
//!
//! ```text
//! server        listening, reloading, stopping
//! connections   how many there may be, and what serves each
//! threads       those that read and write them
//! descriptors   whether the system allows as many files
//! idle          what each is at, and for how long it may be
//! stalled       disconnects clients that do not read, and lingers for those that still send
//! unread        reads or refuses the bodies that no handler has read
//! hosts         refuses requests that name another host (DNS rebinding)
//! observe       its id, its log line, its errors as JSON
//! request       allowed, let in, read in time, JSON
//! api           one module an endpoint; the page
//! tokenization  texts to ids, long ones on a small pool
//! queue         waits, bounded in tokens, and is merged with others into batches
//! infer         one thread that asks the engine
//! metrics       what is counted on the way
//! memory        gives it back after bursts
//! ```
//!
//! Limits are in [`Settings`]; what exceeds one is told which, at once. A lone request never waits for
//! company. One whose client has gone is dropped before it costs anything; HTTP/1 shows that by the closed
//! connection, so a client must keep its sending side open until it has its answer.

#![forbid(unsafe_code)]

mod api;
mod app;
mod classifier;
mod connections;
mod descriptors;
mod error;
mod fields;
mod hosts;
mod idle;
mod infer;
mod memory;
mod metrics;
mod observe;
mod queue;
mod request;
mod server;
mod settings;
mod stalled;
mod threads;
mod tokenization;
mod unread;

pub use classifier::{About, Classifier, ClassifierError};
pub use descriptors::reserve_descriptors;
pub use server::{Reloader, ServeError, Server};
pub use settings::{Settings, SettingsError};
