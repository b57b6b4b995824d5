//! `LogService`.

use std::pin::Pin;

use futures::Stream;
use keystile_contract::{
    Failure, Identity,
    convert::{duration, log_row, nonce, parse, position, required_position},
    proto::{
        common::v1 as common,
        issuance::v1::{
            LeaseTerms, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse,
            WatchRequest, WatchResponse, log_service_server::LogService,
        },
    },
};
use keystile_domain::{Incarnation, Role, log::Applied};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Error, Service,
    lease::Terms,
    log::{Registration, Rows},
};

/// Batches on their way to one follower. A slow one is served from the log when it is ready.
const QUEUED: usize = 4;

fn terms(terms: &Terms) -> LeaseTerms {
    LeaseTerms {
        lease_ttl: Some(duration(terms.lease_ttl)),
        renew_interval: Some(duration(terms.renew_interval)),
    }
}

/// The role that calls. Whose word counts for a follower decides whether a cut is over.
fn caller<T>(request: &Request<T>) -> Result<Role, Error> {
    match request.extensions().get() {
        Some(Identity::Role(role)) => Ok(*role),
        Some(Identity::Caller(_)) | None => Err(Error::AnotherRole),
    }
}

fn acknowledgement(request: &WatchRequest) -> Result<(Incarnation, Applied), Failure> {
    let incarnation = parse("incarnation", &request.incarnation)?;
    let WatchRequest { applied, applied_nonce, .. } = request;
    Ok((incarnation, row(APPLIED, applied.as_ref(), applied_nonce)?))
}

/// The fields that say which row was applied: its position and its mark.
const APPLIED: [&str; 2] = ["applied", "applied_nonce"];
const RESUME: [&str; 2] = ["resume_from", "resume_nonce"];

fn row(
    [at_field, mark_field]: [&str; 2],
    at: Option<&common::Position>,
    mark: &[u8],
) -> Result<Applied, Failure> {
    let position = required_position(at_field, at)?;
    Ok(Applied { position, nonce: nonce(mark_field, mark)? })
}

#[tonic::async_trait]
impl LogService for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let RegisterRequest { incarnation, role, resume_from, resume_nonce } = request.get_ref();
        let role = Role::parse(role)
            .ok_or_else(|| Failure::invalid("role", "is not the name of a role"))?;
        if role != caller(&request)? {
            return Err(Error::AnotherRole.into());
        }
        let resume_from = resume_from.as_ref().map(|at| row(RESUME, Some(at), resume_nonce));
        let new = Registration {
            incarnation: parse("incarnation", incarnation)?,
            role,
            resume_from: resume_from.transpose()?,
        };
        let registered = Service::register(self, new).await?;
        Ok(Response::new(RegisterResponse {
            head: Some(position(&registered.head)),
            head_nonce: registered.head_nonce.0.to_vec(),
            floor: registered.floor,
            rows: registered.rows.iter().map(log_row).collect(),
            resumed: registered.resumed,
            terms: Some(terms(&self.terms)),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let by = caller(&request)?;
        let RenewRequest { incarnation, applied, applied_nonce } = request.get_ref();
        let incarnation = parse("incarnation", incarnation)?;
        let applied = row(APPLIED, applied.as_ref(), applied_nonce)?;
        let renewed = Service::renew(self, by, incarnation, applied).await?;
        Ok(Response::new(RenewResponse {
            head: Some(position(&renewed.head)),
            head_nonce: renewed.head_nonce.0.to_vec(),
            rows: renewed.rows.iter().map(log_row).collect(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let by = caller(&request)?;
        let mut inbound = request.into_inner();
        let opening = inbound.message().await?;
        let opening = opening.ok_or_else(|| Failure::invalid("incarnation", "is required"))?;
        let (incarnation, applied) = acknowledgement(&opening)?;
        let rows = Service::watch(self, by, incarnation, applied).await?;
        let (outbound, stream) = mpsc::channel(QUEUED);
        let service = self.clone();
        tokio::spawn(async move {
            // Acknowledgements are heard while a batch waits for a slow reader; whichever side
            // ends first ends the other.
            tokio::select! {
                () = push(rows, &outbound) => {}
                result = hear(&service, incarnation, &mut inbound) => {
                    if let Err(status) = result {
                        // Nobody is left to read it if the stream is gone.
                        let _ = outbound.send(Err(status)).await;
                    }
                }
                () = outbound.closed() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn push(mut rows: Rows, outbound: &mpsc::Sender<Result<WatchResponse, Status>>) {
    loop {
        let batch = match rows.next().await {
            Ok((history, rows)) => Ok(WatchResponse {
                history: history.to_string(),
                rows: rows.iter().map(log_row).collect(),
            }),
            Err(error) => Err(error.into()),
        };
        let over = batch.is_err();
        if outbound.send(batch).await.is_err() || over {
            return;
        }
    }
}

async fn hear(
    service: &Service,
    incarnation: Incarnation,
    inbound: &mut Streaming<WatchRequest>,
) -> Result<(), Status> {
    while let Some(message) = inbound.message().await? {
        let (from, applied) = acknowledgement(&message)?;
        if from != incarnation {
            return Err(Failure::invalid("incarnation", "changed within a stream").into());
        }
        service.acknowledge(incarnation, applied.position);
    }
    Ok(())
}
