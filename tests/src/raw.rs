//! Bytes on a socket, for requests that a well-behaved client cannot send.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sends `request` and returns all that comes back until the server closes.
///
/// # Errors
/// If the server neither closes nor goes on within ten seconds.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.context("no connection")?;
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match timeout(Duration::from_secs(10), stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&chunk[..read]),
            Err(_) => anyhow::bail!("the server neither answered nor closed"),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status of a raw answer; 0 if there is none.
#[must_use]
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
