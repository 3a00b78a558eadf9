//! Waiting for a condition, with a deadline.

use std::future::Future;
use std::time::Duration;

/// How long a condition may take to come true before a test fails. Long, because machines are slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Asks again and again until `check` gives something, and returns it.
///
/// # Panics
///
/// Panics with `what` where that does not happen within [`DEADLINE`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let asking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until a condition holds, or fails the test and says what it waited for.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, waited).await;
    assert!(in_time.is_ok(), "waited in vain until {what}");
}
