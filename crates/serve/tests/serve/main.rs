//! The server as clients meet it, over sockets, with an engine that the tests steer.
#![allow(unreachable_pub)] // modules of one test

mod batching;
mod early;
mod endpoints;
mod fixture;
mod hostile;
mod hosts;
mod lifecycle;
mod limits;
