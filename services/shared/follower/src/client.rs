//! The calls to issuance, in domain types.

use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use keystile_contract::{
    Failure, Transport,
    convert::{self, from_log_row, nonce, required_position},
    proto::{
        common::v1 as common,
        issuance::v1::{self as proto, log_service_client::LogServiceClient},
    },
};
use keystile_domain::{
    Incarnation, Position, Role,
    log::{Applied, History, LogRow, Nonce},
};
use tokio::sync::watch;
use tonic::Request;

use crate::terms::LeaseTerms;

/// A registration answers with an hour of the log: some 120 bytes a row.
const MAX_MESSAGE: usize = 64 << 20;

/// How long a registration or the opening of a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The head of the log and the rows that lead to it.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) head: Position,
    pub(crate) head_nonce: Nonce,
    pub(crate) rows: Vec<LogRow>,
}

/// The answer to a registration.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) tail: Tail,
    pub(crate) floor: u64,
    pub(crate) resumed: bool,
    pub(crate) terms: LeaseTerms,
}

/// Rows that were pushed.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) history: History,
    pub(crate) rows: Vec<LogRow>,
}

/// Speaks for one incarnation.
#[derive(Clone)]
pub(crate) struct Client {
    log: LogServiceClient<Transport>,
    incarnation: Incarnation,
}

impl Client {
    pub(crate) fn new(issuance: Transport, incarnation: Incarnation) -> Self {
        let log = LogServiceClient::new(issuance).max_decoding_message_size(MAX_MESSAGE);
        Self { log, incarnation }
    }

    pub(crate) async fn register(
        &mut self,
        role: Role,
        resume_from: Option<Applied>,
    ) -> Result<Registered, Failure> {
        let mut request = Request::new(proto::RegisterRequest {
            incarnation: self.incarnation.to_string(),
            role: role.to_string(),
            resume_from: resume_from.map(|point| convert::position(&point.position)),
            resume_nonce: resume_from.map(|point| point.nonce.0.to_vec()).unwrap_or_default(),
        });
        request.set_timeout(OPEN_TIMEOUT);
        let answer = within(OPEN_TIMEOUT, self.log.register(request).boxed()).await?.into_inner();
        Ok(Registered {
            tail: tail(answer.head.as_ref(), &answer.head_nonce, &answer.rows)?,
            floor: answer.floor,
            resumed: answer.resumed,
            terms: LeaseTerms::read(answer.terms.as_ref())?,
        })
    }

    /// Renews within `timeout`.
    pub(crate) async fn renew(
        &mut self,
        applied: Applied,
        timeout: Duration,
    ) -> Result<Tail, Failure> {
        let mut request = Request::new(proto::RenewRequest {
            incarnation: self.incarnation.to_string(),
            applied: Some(convert::position(&applied.position)),
            applied_nonce: applied.nonce.0.to_vec(),
        });
        request.set_timeout(timeout);
        let answer = within(timeout, self.log.renew(request).boxed()).await?.into_inner();
        tail(answer.head.as_ref(), &answer.head_nonce, &answer.rows)
    }

    /// Opens the stream of rows. What `applied` holds is sent at once and whenever it changes; a
    /// later value stands for all before it.
    pub(crate) async fn watch(
        mut self,
        applied: watch::Receiver<Applied>,
    ) -> Result<impl Stream<Item = Result<Pushed, Failure>>, Failure> {
        let incarnation = self.incarnation.to_string();
        let up = stream::unfold((applied, true), move |(mut applied, first)| {
            let incarnation = incarnation.clone();
            async move {
                if !first {
                    applied.changed().await.ok()?;
                }
                let Applied { position, nonce } = *applied.borrow_and_update();
                let request = proto::WatchRequest {
                    incarnation,
                    applied: Some(convert::position(&position)),
                    applied_nonce: nonce.0.to_vec(),
                };
                Some((request, (applied, false)))
            }
        });
        let down = within(OPEN_TIMEOUT, self.log.watch(up).boxed()).await?.into_inner();
        Ok(down.map(|message| {
            let message = message?;
            Ok(Pushed {
                history: convert::parse("history", &message.history)?,
                rows: rows(&message.rows)?,
            })
        }))
    }
}

async fn within<T>(
    timeout: Duration,
    call: BoxFuture<'_, Result<T, tonic::Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(tonic::Status::deadline_exceeded("the deadline passed").into()),
    }
}

fn tail(
    head: Option<&common::Position>,
    head_nonce: &[u8],
    wire: &[common::LogRow],
) -> Result<Tail, Failure> {
    Ok(Tail {
        head: required_position("head", head)?,
        head_nonce: nonce("head_nonce", head_nonce)?,
        rows: rows(wire)?,
    })
}

fn rows(wire: &[common::LogRow]) -> Result<Vec<LogRow>, Failure> {
    wire.iter().map(from_log_row).collect()
}
