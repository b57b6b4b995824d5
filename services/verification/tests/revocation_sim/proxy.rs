//! Issuance as a twin passes it on.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use keystile_contract::{
    Identity, Transport,
    convert::duration,
    proto::{
        common::v1::{LogRow, Position, Scope, ScopeKind},
        issuance::v1::{
            AuthorizeRequest, AuthorizeResponse, LookupRequest, LookupResponse, RegisterRequest,
            RegisterResponse, ReleaseComponentsRequest, ReleaseComponentsResponse, RenewRequest,
            RenewResponse, SetScopeStatusRequest, SetScopeStatusResponse, WatchRequest,
            WatchResponse,
            fact_service_client::FactServiceClient,
            fact_service_server::{FactService, FactServiceServer},
            log_service_client::LogServiceClient,
            log_service_server::{LogService, LogServiceServer},
        },
    },
    transport::local,
};
use keystile_domain::{IntegrationId, Role};
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::{rng::Rng, store::Database, twins::Twin, world::LEASE};

#[derive(Clone)]
struct Proxy {
    twin: Twin,
    log: LogServiceClient<Transport>,
    facts: FactServiceClient<Transport>,
    database: Arc<Database>,
    rng: Arc<Rng>,
}

/// What `twin` makes of a follower's way to issuance.
pub(crate) fn twisted(
    twin: Twin,
    issuance: Transport,
    database: Arc<Database>,
    rng: Rng,
) -> Transport {
    let (log, facts) = (LogServiceClient::new(issuance.clone()), FactServiceClient::new(issuance));
    let proxy = Proxy { twin, log, facts, database, rng: Arc::new(rng) };
    let routes = Routes::new(LogServiceServer::new(proxy.clone()))
        .add_service(FactServiceServer::new(proxy));
    local(routes.prepare(), Identity::Role(Role::Verification))
}

impl Proxy {
    fn rows(&self, rows: &mut [LogRow]) {
        if self.twin == Twin::Tombstone {
            for row in rows {
                let kind = ScopeKind::Integration.into();
                let id = IntegrationId::from_uuid(uuid::Uuid::nil()).to_string();
                row.scope = Some(Scope { kind, id });
            }
        }
    }
}

#[tonic::async_trait]
impl LogService for Proxy {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let mut answer = self.log.clone().register(request.into_inner()).await?.into_inner();
        self.rows(&mut answer.rows);
        if let Some(terms) = answer.terms.as_mut().filter(|_| self.twin == Twin::Wait) {
            terms.lease_ttl = Some(duration(LEASE * 2));
        }
        Ok(Response::new(answer))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let request = request.into_inner();
        let (head, head_nonce) = (request.applied.clone(), request.applied_nonce.clone());
        let mut answer = self.log.clone().renew(request).await?.into_inner();
        self.rows(&mut answer.rows);
        if self.twin == Twin::ApplyBeforeExtend {
            answer = RenewResponse { head, head_nonce, ..RenewResponse::default() };
        }
        Ok(Response::new(answer))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut inbound = request.into_inner();
        let opening = inbound.message().await?.unwrap_or_default();
        let incarnation = opening.incarnation.clone();
        let rest = inbound.filter_map(|message| std::future::ready(message.ok()));
        let up = futures::stream::iter([opening]).chain(rest);
        let down = self.log.clone().watch(up).await?.into_inner();
        let proxy = self.clone();
        let down = down.then(move |pushed| {
            let (proxy, incarnation) = (proxy.clone(), incarnation.clone());
            async move {
                let mut pushed = pushed?;
                if let (Twin::AcknowledgeAfterApply, Some(last)) = (proxy.twin, pushed.rows.last())
                {
                    let history = pushed.history.clone();
                    let applied = Some(Position { history, seq: last.seq });
                    let applied_nonce = last.nonce.clone();
                    let renewal = RenewRequest { incarnation, applied, applied_nonce };
                    let _ = proxy.log.clone().renew(renewal).await;
                }
                proxy.rows(&mut pushed.rows);
                Ok(pushed)
            }
        });
        Ok(Response::new(Box::pin(down)))
    }
}

#[tonic::async_trait]
impl FactService for Proxy {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let mut answer = self.facts.clone().lookup(request.into_inner()).await?.into_inner();
        if let Some(as_of) = answer.as_of.as_mut().filter(|_| self.twin == Twin::FillRule) {
            tokio::time::sleep(self.rng.millis(5, 80)).await;
            as_of.seq = self.database.head().await;
        }
        Ok(Response::new(answer))
    }

    async fn authorize(
        &self,
        _: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        Err(Status::unimplemented("verification does not ask"))
    }

    async fn release_components(
        &self,
        _: Request<ReleaseComponentsRequest>,
    ) -> Result<Response<ReleaseComponentsResponse>, Status> {
        Err(Status::unimplemented("nothing is released here"))
    }

    async fn set_scope_status(
        &self,
        _: Request<SetScopeStatusRequest>,
    ) -> Result<Response<SetScopeStatusResponse>, Status> {
        Err(Status::unimplemented("verification does not ask"))
    }
}
