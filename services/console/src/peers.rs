//! The way to issuance and vault: every call carries who asks, sealed, and a deadline.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    Failure, SealKeys, Transport, actor,
    proto::{
        issuance::v1::{
            CreateTeamRequest, key_service_client::KeyServiceClient,
            team_service_client::TeamServiceClient,
        },
        vault::v1::{
            app_service_client::AppServiceClient, connect_service_client::ConnectServiceClient,
            connection_service_client::ConnectionServiceClient,
            integration_service_client::IntegrationServiceClient,
        },
    },
};
use keystile_domain::{Actor, Clock, ErrorKind, Role, TeamId, name::Name};
use tonic::{Request, Response, Status};

/// What a page of 200 keys with the most grants, or of 200 connections with the most problems, can
/// weigh.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// How long after its deadline a call is given up although the other side, which enforces the
/// deadline, has not answered.
const GRACE: Duration = Duration::from_secs(1);

/// The services that own what the console shows.
#[derive(Clone)]
pub(crate) struct Peers {
    clock: Arc<dyn Clock>,
    seal_keys: Arc<SealKeys>,
    issuance: Transport,
    vault: Transport,
    timeout: Duration,
}

impl Peers {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        seal_keys: SealKeys,
        issuance: Transport,
        vault: Transport,
        timeout: Duration,
    ) -> Self {
        Self { clock, seal_keys: Arc::new(seal_keys), issuance, vault, timeout }
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Transport> {
        KeyServiceClient::new(self.issuance.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(crate) fn teams(&self) -> TeamServiceClient<Transport> {
        TeamServiceClient::new(self.issuance.clone())
    }

    pub(crate) fn connections(&self) -> ConnectionServiceClient<Transport> {
        ConnectionServiceClient::new(self.vault.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(crate) fn integrations(&self) -> IntegrationServiceClient<Transport> {
        IntegrationServiceClient::new(self.vault.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(crate) fn connects(&self) -> ConnectServiceClient<Transport> {
        ConnectServiceClient::new(self.vault.clone())
    }

    pub(crate) fn own_apps(&self) -> AppServiceClient<Transport> {
        AppServiceClient::new(self.vault.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Makes the team in issuance.
    pub(crate) async fn create_team(
        &self,
        actor: &Actor,
        team: TeamId,
        name: &Name,
    ) -> Result<(), Failure> {
        let message =
            CreateTeamRequest { team_id: team.to_string(), name: name.as_str().to_owned() };
        let request = self.request(Role::Issuance, actor, message)?;
        self.answer(self.teams().create_team(request)).await.map(drop)
    }

    /// `message` on behalf of `actor`, for the service of role `audience`.
    pub(crate) fn request<M>(
        &self,
        audience: Role,
        actor: &Actor,
        message: M,
    ) -> Result<Request<M>, Failure> {
        let mut request = Request::new(message);
        actor::attach(request.metadata_mut(), actor, audience, &self.seal_keys, self.clock.now())?;
        request.set_timeout(self.timeout);
        Ok(request)
    }

    /// The answer to a call made with [`Self::request`].
    pub(crate) async fn answer<A>(
        &self,
        call: impl Future<Output = Result<Response<A>, Status>>,
    ) -> Result<A, Failure> {
        match tokio::time::timeout(self.timeout + GRACE, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Failure::new(ErrorKind::Timeout, "timeout", "the deadline passed")),
        }
    }
}
