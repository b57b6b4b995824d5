//! May this grant be saved? Vault knows the catalog and the accounts.

use keystile_contract::{
    Failure,
    convert::{parse_optional, text},
    proto::vault::v1::{
        CheckGrantRequest, GrantProblem, connection_service_client::ConnectionServiceClient,
    },
    status::Fault,
};
use keystile_domain::{AppKey, ComponentId, ConnectionId, ErrorKind, Grant, TeamId, Tick};

use crate::{Error, Service};

/// A grant as a caller asks for it.
#[derive(Debug, Clone)]
pub struct AskedGrant {
    /// Where it stands in the request, for faults: `grants[0]`.
    pub field: String,
    /// The app.
    pub app: AppKey,
    /// The account.
    pub connection: Option<ConnectionId>,
    /// What may be used, as listed.
    pub components: Vec<ComponentId>,
}

/// Problems that time or a person at the provider can mend: the request itself is well made.
const STATES: [&str; 5] =
    ["expired", "revoked", "missing_scopes", "failing", "integration_disabled"];

impl Service {
    /// The grant, with the integration that vault names for its connection, by `deadline`.
    ///
    /// # Errors
    /// A refusal that names each field at fault.
    pub(super) async fn check_grant(
        &self,
        team: TeamId,
        asked: &AskedGrant,
        deadline: Tick,
    ) -> Result<Grant, Error> {
        // The grant's own rules first: vault is not asked about what cannot be.
        let components = asked.components.iter().cloned().collect();
        let grant = Grant::new(asked.app.clone(), asked.connection, None, components);
        let grant = grant.map_err(|error| {
            Failure::invalid(format!("{}.allowed_components", asked.field), error.to_string())
        })?;
        let mut request = tonic::Request::new(CheckGrantRequest {
            team_id: team.to_string(),
            app_key: asked.app.to_string(),
            connection_id: text(asked.connection),
            // Each once, and so no more than a grant may have.
            components: grant.components().iter().map(ToString::to_string).collect(),
        });
        let left = deadline.since(self.clock.tick());
        let timeout = self.config.vault_timeout().min(left);
        request.set_timeout(timeout);
        let mut vault = ConnectionServiceClient::new(self.vault.clone());
        let answer = tokio::time::timeout(timeout, vault.check_grant(request))
            .await
            .map_err(|_| Failure::new(ErrorKind::Unavailable, "unavailable", "vault is too slow"))?
            .map_err(Failure::from)?
            .into_inner();
        if !answer.problems.is_empty() {
            return Err(unusable(asked, &answer.problems).into());
        }
        let integration = parse_optional("integration_id", &answer.integration_id)
            .map_err(|_| Error::Defect("vault named a malformed integration"))?;
        Grant::new(asked.app.clone(), grant.connection(), integration, grant.components().clone())
            .map_err(|_| Error::Defect("a checked grant became invalid"))
    }
}

/// What the caller is told of vault's problems: a fault for each, by its field.
fn unusable(asked: &AskedGrant, problems: &[GrantProblem]) -> Failure {
    let first = problems.iter().find(|problem| !STATES.contains(&problem.code.as_str()));
    let mut failure = match first {
        Some(problem) => Failure::new(ErrorKind::Invalid, &problem.code, &problem.detail),
        None => Failure::new(
            ErrorKind::Conflict,
            "connection_unusable",
            "the connection cannot serve these components now",
        ),
    };
    for problem in problems {
        failure.facts.entry("problem".to_owned()).or_insert_with(|| problem.code.clone());
        failure
            .faults
            .push(Fault { field: field(asked, problem), message: problem.detail.clone() });
    }
    failure
}

fn field(asked: &AskedGrant, problem: &GrantProblem) -> String {
    let at = asked.components.iter().position(|id| id.as_str() == problem.component);
    match at {
        Some(at) => format!("{}.allowed_components[{at}]", asked.field),
        None if problem.code == "unknown_app" => format!("{}.app_key", asked.field),
        None => format!("{}.connection_id", asked.field),
    }
}
