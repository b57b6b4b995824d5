//! A wire between two processes that a test can break.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// They arrive.
    Whole,
    /// They stay where they are, and nobody is told.
    Silent,
    /// Every connection is closed, and none lasts.
    Cut,
}

/// A TCP proxy to one address. Dropped, it is cut.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    accepting: AbortHandle,
}

impl Wire {
    /// A whole one.
    ///
    /// # Panics
    /// If there is no port to listen on.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(watch::Sender::new(State::Whole));
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&state))).abort_handle();
        Self { address, state, accepting }
    }

    /// Its near end.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses nothing and carries nothing, until mended: as a network that drops packets.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Closes every connection, now and until mended.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: Arc<watch::Sender<State>>) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(carry(near, target, state.subscribe()));
    }
}

async fn carry(near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    if !carries(&mut state).await {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    for stream in [&near, &far] {
        // A proxy that waits to fill its packets is no wire.
        let _ = stream.set_nodelay(true);
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // An end that closes is the end of both.
    tokio::select! {
        () = one_way(near_in, far_out, state.clone()) => {}
        () = one_way(far_in, near_out, state) => {}
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) {
    let mut chunk = [0; 16_384];
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read,
            cut = state.wait_for(|state| *state == State::Cut) => {
                drop(cut);
                return;
            }
        };
        let Ok(read @ 1..) = read else { return };
        if !carries(&mut state).await || to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits while it is silent; false if it is cut.
async fn carries(state: &mut watch::Receiver<State>) -> bool {
    let state = state.wait_for(|state| *state != State::Silent).await;
    state.is_ok_and(|state| *state == State::Whole)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        stream.write_all(b"x").await.is_ok() && stream.read(&mut [0]).await.is_ok_and(|n| n == 1)
    }

    #[tokio::test]
    async fn a_silent_wire_carries_later_what_it_was_given_and_a_cut_one_loses_it() {
        let wire = Wire::to(echo().await).await;
        let connect = || TcpStream::connect(wire.address());
        let mut stream = connect().await.expect("accepted");
        assert!(answers(&mut stream).await);

        wire.silence();
        stream.write_all(b"x").await.expect("taken");
        let mut late = connect().await.expect("accepted");
        let quiet = timeout(Duration::from_millis(50), stream.read(&mut [0])).await;
        assert!(quiet.is_err(), "carried");
        wire.mend();
        assert_eq!(stream.read(&mut [0]).await.expect("carried"), 1);
        assert!(answers(&mut late).await);

        wire.cut();
        assert!(!answers(&mut stream).await && !answers(&mut late).await);
        assert!(!answers(&mut connect().await.expect("accepted")).await);
        wire.mend();
        assert!(answers(&mut connect().await.expect("accepted")).await);
    }
}
