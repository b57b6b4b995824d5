//! The network between a client and each process of issuance, in the way of every call.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::WithTrailers};
use keystile_contract::{Transport, transport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, body::Body};
use tower::ServiceExt;

use crate::{
    counts::{Counts, What},
    process::Process,
    rng::{Rng, Streams},
};

/// How bad the network is, in thousandths of all messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) twice: u64,
    pub(crate) stream_cut: u64,
    /// The latest that a late message comes.
    pub(crate) latest: Duration,
}

impl Noise {
    pub(crate) const NONE: Self =
        Self { lost: 0, late: 0, twice: 0, stream_cut: 0, latest: Duration::from_millis(2) };
}

/// A server that can be replaced by its next run.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Mutex<Option<(Process, Transport)>>>);

impl Endpoint {
    pub(crate) fn down() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn set(&self, running: Option<(Process, Transport)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }

    fn get(&self) -> Option<(Process, Transport)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The way from one client to one process of issuance.
pub(crate) struct Link {
    rng: Streams,
    noise: Noise,
    /// What each call takes on top, there and back.
    distance: Duration,
    counts: Counts,
    blocked: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    to: Endpoint,
}

impl Link {
    pub(crate) fn new(
        rng: Rng,
        noise: Noise,
        distance: Duration,
        counts: Counts,
        to: Endpoint,
    ) -> Arc<Self> {
        let (blocked, cuts) = (watch::Sender::new(false), watch::Sender::new(0));
        let rng = Streams::new(rng);
        Arc::new(Self { rng, noise, distance, counts, blocked, cuts, to })
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.send_replace(blocked);
    }

    /// Breaks every stream that is open.
    pub(crate) fn cut_streams(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn draw(&self, rng: &Rng, permille: u64, what: What) -> bool {
        let drawn = rng.chance(permille);
        if drawn {
            self.counts.one(what);
        }
        drawn
    }

    /// The time that a message takes.
    async fn travel(&self, rng: &Rng) {
        let late = self.draw(rng, self.noise.late, What::Late);
        let latest = u64::try_from(self.noise.latest.as_millis()).unwrap_or(u64::MAX);
        let time = if late { rng.millis(20, latest.max(21)) } else { rng.millis(0, 4) };
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    async fn passable(&self) {
        let _ = self.blocked.subscribe().wait_for(|blocked| !*blocked).await;
    }

    /// Is a message lost? Of those that meet a partition, half wait for its end.
    async fn loses(&self, rng: &Rng, what: What) -> bool {
        if self.draw(rng, self.noise.lost, what) {
            return true;
        }
        if *self.blocked.borrow() && rng.chance(500) {
            self.counts.one(what);
            return true;
        }
        self.passable().await;
        false
    }

    /// What the client of a lost message sees: an error, or nothing until its deadline.
    async fn lost(&self, rng: &Rng) -> Response<Body> {
        if rng.chance(500) {
            std::future::pending::<()>().await;
        }
        refused()
    }

    async fn unary(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return refused() };
        let body = body.to_bytes();
        // A change of a team has no operation id by which a late repeat would be recognised.
        let rng = &self.rng.next(head.uri.path());
        let plain = head.uri.path().contains("TeamService");
        let twice = !plain && self.draw(rng, self.noise.twice, What::Twice);
        let build = move || Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
        if twice {
            let (link, request, rng) = (Arc::clone(&self), build(), rng.fork(1));
            tokio::spawn(async move { link.deliver(&rng, request).await });
        }
        let (answer, answered) = oneshot::channel();
        let (link, request, own) = (Arc::clone(&self), build(), rng.fork(2));
        let delivery = async move {
            if let Some(response) = link.deliver(&own, request).await {
                let _ = answer.send(response);
            }
        };
        if plain {
            let ((), response) = tokio::join!(delivery, answered);
            return response.unwrap_or_else(|_| refused());
        }
        // On its own: a request on its way arrives even if the client left.
        tokio::spawn(delivery);
        match answered.await {
            Ok(response) => response,
            Err(_) => self.lost(rng).await,
        }
    }

    /// There and back; `None` if either way was lost.
    async fn deliver(&self, rng: &Rng, request: Request<Body>) -> Option<Response<Body>> {
        self.travel(rng).await;
        if self.loses(rng, What::LostRequest).await {
            return None;
        }
        let Some((process, server)) = self.to.get() else {
            self.counts.one(What::Refusal);
            return Some(refused());
        };
        let served = async {
            let Ok(response) = server.oneshot(request).await else { return refused() };
            let (head, body) = response.into_parts();
            match body.collect().await {
                Ok(body) => {
                    let trailers = body.trailers().cloned();
                    let whole: WithTrailers<Full<Bytes>, _> = Full::new(body.to_bytes())
                        .with_trailers(std::future::ready(trailers.map(Ok)));
                    Response::from_parts(head, Body::new(whole))
                }
                Err(status) => status.into_http(),
            }
        };
        let response = process.run(served).await?;
        if !self.distance.is_zero() {
            tokio::time::sleep(self.distance).await;
        }
        self.travel(rng).await;
        if self.loses(rng, What::LostAnswer).await { None } else { Some(response) }
    }

    async fn stream(self: Arc<Self>, client: Process, request: Request<Body>) -> Response<Body> {
        let rng = &self.rng.next("Watch");
        self.travel(rng).await;
        if self.loses(rng, What::LostRequest).await {
            return self.lost(rng).await;
        }
        let Some((process, server)) = self.to.get() else {
            self.counts.one(What::Refusal);
            return refused();
        };
        let ends = [client, process.clone()];
        let up = |body| self.pipe(rng.fork(1), body, [ends[0].clone(), ends[1].clone()]);
        let request = request.map(up);
        let Some(Ok(response)) = process.run(server.oneshot(request)).await else {
            return self.lost(rng).await;
        };
        self.travel(rng).await;
        let [near, far] = ends;
        response.map(|body| self.pipe(rng.fork(2), body, [far, near]))
    }

    /// Carries frames in order, until the stream is cut or an end of it dies.
    fn pipe(self: &Arc<Self>, rng: Rng, mut body: Body, [from, to]: [Process; 2]) -> Body {
        let (out, frames) = mpsc::channel(64);
        let link = Arc::clone(self);
        let mut cuts = self.cuts.subscribe();
        tokio::spawn(async move {
            let carry = async {
                loop {
                    let Some(Some(frame)) = from.run(body.frame()).await else { return };
                    if link.draw(&rng, link.noise.stream_cut, What::StreamCut) {
                        let _ = out.send(Err(broken())).await;
                        return;
                    }
                    link.travel(&rng).await;
                    link.passable().await;
                    to.running().await;
                    if out.send(frame).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = from.dead() => {}
                () = to.dead() => {}
                _ = cuts.changed() => link.counts.one(What::StreamCut),
                () = out.closed() => return,
                () = carry => return,
            }
            let _ = out.try_send(Err(broken()));
        });
        Body::new(StreamBody::new(ReceiverStream::new(frames)))
    }
}

fn broken() -> Status {
    Status::unavailable("the connection broke")
}

fn refused() -> Response<Body> {
    broken().into_http()
}

/// What a node's calls tell the checker.
pub(crate) trait Heard: Send + Sync + 'static {
    /// A call is made: what names it when it is answered.
    fn sent(&self) -> u64;
    /// It was answered, and well.
    fn answered(&self, path: &str, sent: u64);
}

/// A client's way to issuance: over any of `links`, one drawn for each call.
pub(crate) fn balanced(
    links: Vec<Arc<Link>>,
    client: Process,
    rng: Rng,
    heard: Arc<dyn Heard>,
) -> Transport {
    let rng = Arc::new(Streams::new(rng));
    transport::remote(tower::service_fn(move |request: Request<Body>| {
        let sent = heard.sent();
        let chosen = rng.next(request.uri().path()).index(links.len());
        let link = Arc::clone(&links[chosen]);
        let (client, heard) = (client.clone(), Arc::clone(&heard));
        async move {
            client.running().await;
            let path = request.uri().path().to_owned();
            let response = if path.ends_with("/Watch") {
                link.stream(client.clone(), request).await
            } else {
                link.unary(request).await
            };
            client.running().await;
            let failed = response.headers().get("grpc-status").is_some_and(|code| code != "0");
            if !failed {
                heard.answered(&path, sent);
            }
            Ok::<_, Infallible>(response)
        }
    }))
}
