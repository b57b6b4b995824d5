//! Can a connection serve what a grant would allow? Asked by issuance before it saves one.

use keystile_catalog::App;
use keystile_domain::{AppKey, ComponentId, ConnectionId, TeamId};

use crate::{connection::Status, error::Error, vault::Vault};

/// Why a grant cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `None` if it concerns the connection or the app as a whole.
    pub(crate) component: Option<ComponentId>,
    pub(crate) code: &'static str,
    pub(crate) detail: &'static str,
}

impl Problem {
    const fn whole(code: &'static str, detail: &'static str) -> Self {
        Self { component: None, code, detail }
    }
}

impl Vault {
    /// Every reason against the grant; none if it can be saved.
    pub(crate) async fn check_grant(
        &self,
        team: TeamId,
        app: &AppKey,
        connection: Option<ConnectionId>,
        components: &[ComponentId],
    ) -> Result<Vec<Problem>, Error> {
        let Some(app) = self.catalog.app(app) else {
            return Ok(vec![Problem::whole("unknown_app", "there is no such app")]);
        };
        let unknown = components.iter().filter(|id| !app.components.contains_key(id));
        let mut problems: Vec<Problem> = unknown
            .map(|id| Problem {
                component: Some(id.clone()),
                code: "unknown_component",
                detail: "the app has no such component",
            })
            .collect();
        problems.extend(self.check_connection(team, app, connection).await?);
        Ok(problems)
    }

    async fn check_connection(
        &self,
        team: TeamId,
        app: &App,
        connection: Option<ConnectionId>,
    ) -> Result<Option<Problem>, Error> {
        let Some(id) = connection else {
            return Ok(app.needs_connection().then_some(Problem::whole(
                "connection_required",
                "this app needs a connected account",
            )));
        };
        if !app.needs_connection() {
            let detail = "this app needs no connected account";
            return Ok(Some(Problem::whole("connection_not_needed", detail)));
        }
        let Some((connection, _)) = self.store.find_connection(team, id).await? else {
            let detail = "there is no such connection";
            return Ok(Some(Problem::whole("connection_not_found", detail)));
        };
        if connection.app != app.key {
            let detail = "the connection is of another app";
            return Ok(Some(Problem::whole("connection_of_another_app", detail)));
        }
        Ok(match connection.health.status {
            Status::Active => None,
            Status::Expired => {
                Some(Problem::whole("expired", "the app refuses the credential: connect again"))
            }
            Status::Revoked => Some(Problem::whole("revoked", "the connection was withdrawn")),
            Status::MissingScopes => Some(Problem::whole(
                "missing_scopes",
                "the credential lacks permissions at the app",
            )),
            Status::Failing => {
                Some(Problem::whole("failing", "the app did not answer its last test"))
            }
        })
    }
}
