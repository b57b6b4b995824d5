//! Waiting for what happens in the background.

use std::time::Duration;

/// Waits for a condition, ten seconds at most.
///
/// # Panics
/// If it does not come true; says what was waited for.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(), "never: {what}");
}
