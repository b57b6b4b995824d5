//! Upstreams that count who comes, and names that resolve to what a test says.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, serve::Listener};
use bytes::Bytes;
use http::{HeaderMap, Method};
use keystile_egress::{Allow, Client, Limits, Policy, Request, Resolve, Unresolved};
use tokio::net::{TcpListener, TcpStream};

/// A server on loopback.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

struct Counting(TcpListener, Arc<AtomicUsize>);

impl Listener for Counting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let accepted = Listener::accept(&mut self.0).await;
        self.1.fetch_add(1, Ordering::SeqCst);
        accepted
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Upstream {
    pub(crate) async fn start(app: Router) -> Self {
        Self::start_at("127.0.0.1:0", app).await
    }

    pub(crate) async fn start_at(address: &str, app: Router) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counting = Counting(listener, Arc::clone(&accepted));
        tokio::spawn(async move { axum::serve(counting, app).await });
        Self { address, accepted }
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Answers in turn, the last answer for ever, and counts the questions.
pub(crate) struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        let answers = answers.iter().map(parse).collect();
        Arc::new(Self { answers, asked: Mutex::default() })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(host.to_owned());
        let turn = asked.len().min(self.answers.len());
        self.answers.get(turn.wrapping_sub(1)).cloned().ok_or(Unresolved)
    }
}

/// A policy that lists these networks.
pub(crate) fn nets(nets: &[&str]) -> Policy {
    let allow =
        Allow { nets: nets.iter().map(|net| net.parse().unwrap()).collect(), ..Allow::default() };
    Policy { allow, ..Policy::default() }
}

/// A policy that lists exactly the sockets of these upstreams.
pub(crate) fn only(upstreams: &[&Upstream]) -> Policy {
    let sockets = upstreams.iter().map(|upstream| upstream.address).collect();
    Policy { allow: Allow { sockets, ..Allow::default() }, ..Policy::default() }
}

pub(crate) fn client(policy: Policy) -> Client {
    named(policy, &Names::new(&[]))
}

pub(crate) fn named(policy: Policy, names: &Arc<Names>) -> Client {
    Client::new(policy, Arc::clone(names) as Arc<dyn Resolve>).unwrap()
}

pub(crate) fn limited(upstream: &Upstream, limits: Limits) -> Client {
    client(Policy { limits, ..only(&[upstream]) })
}

pub(crate) fn get(url: &str) -> Request {
    Request {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(10),
    }
}
