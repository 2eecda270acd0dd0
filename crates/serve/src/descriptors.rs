//! The file descriptors that a server needs, and the limit that the system sets (`ulimit -n`).
//!
//! Without enough of them, connections below `max_connections` cannot be accepted, and tokio panics if there are
//! fewer than it needs to begin with. So the limit is checked, and raised if the system allows it, before all else.

use crate::server::ServeError;
use crate::settings::Settings;

/// Standard streams, the listener, signals, a client that waits to be accepted, and what opening a model takes.
const OTHERS: usize = 32;

/// A thread's runtime on Linux: two epolls, an eventfd, a socket for signals.
const OF_A_THREAD: usize = 4;

/// How many a server with these settings needs.
fn needed(settings: &Settings) -> usize {
    // One thread more accepts connections.
    let of_threads = settings.threads.saturating_add(1).saturating_mul(OF_A_THREAD);
    settings.max_connections.saturating_add(of_threads).saturating_add(OTHERS)
}

/// Makes sure that this process may open as many file descriptors as a server with these settings needs: raises its
/// soft limit to that number if it is lower and the hard limit allows it.
///
/// # Errors
/// If the hard limit is lower. Nothing is changed then.
#[cfg(unix)]
pub fn reserve_descriptors(settings: &Settings) -> Result<(), ServeError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = needed(settings);
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed as u64);
    let raised = Rlimit { current: Some(needed as u64), ..limit };
    if is_enough(limit.current)
        || is_enough(limit.maximum) && setrlimit(Resource::Nofile, raised).is_ok()
    {
        return Ok(());
    }
    Err(ServeError::Descriptors {
        // Unlimited where even so it cannot be raised: macOS has another limit.
        allowed: limit.maximum.or(limit.current).unwrap_or_default(),
        needed,
        connections: settings.max_connections,
        threads: settings.threads,
    })
}

/// There is no such limit here.
#[cfg(not(unix))]
pub fn reserve_descriptors(_: &Settings) -> Result<(), ServeError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_those_of_connections_of_threads_and_some_more() {
        let settings = Settings { max_connections: 100, threads: 3, ..Settings::default() };
        assert_eq!(needed(&settings), 100 + 4 * 4 + 32);
        assert_eq!(needed(&Settings { max_connections: usize::MAX, ..settings }), usize::MAX);
    }
}
