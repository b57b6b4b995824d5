//! Can a connection serve what a grant would allow? Asked by issuance before it saves one, and by
//! people who choose one.

use keystile_catalog::App;
use keystile_domain::{
    Actor, AppKey, ComponentId, ConnectionId, IntegrationId, Permission, TeamId,
};

use crate::{
    connection::{Connection, Status},
    error::Error,
    integration,
    read::Page,
    scope,
    store::ConnectionPage,
    vault::Vault,
};

/// Why a grant cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `None` if it concerns the connection or the app as a whole.
    pub(crate) component: Option<ComponentId>,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl Problem {
    fn whole(code: &'static str, detail: &str) -> Self {
        Self { component: None, code, detail: detail.to_owned() }
    }
}

/// What is said of a grant.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Every reason against it; none if it can be saved.
    pub(crate) problems: Vec<Problem>,
    /// What the connection belongs to.
    pub(crate) integration: Option<IntegrationId>,
}

/// A connection and what is in its way.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) connection: Connection,
    pub(crate) problems: Vec<Problem>,
}

impl Vault {
    /// Every reason against the grant.
    pub(crate) async fn check_grant(
        &self,
        team: TeamId,
        app: &AppKey,
        connection: Option<ConnectionId>,
        components: &[ComponentId],
    ) -> Result<Verdict, Error> {
        let whole = |code, detail| Ok(vec![Problem::whole(code, detail)]);
        let mut integration = None;
        let Some(app) = self.find_app(team, app).await? else {
            let problems = whole("unknown_app", "there is no such app");
            return problems.map(|problems| Verdict { problems, integration });
        };
        let mut problems = unknown(&app, components);
        problems.extend(match connection {
            None if app.needs_connection() => {
                whole("connection_required", "this app needs a connected account")
            }
            None => Ok(Vec::new()),
            Some(_) if !app.needs_connection() => {
                whole("connection_not_needed", "this app needs no connected account")
            }
            Some(id) => match self.store.find_connection(team, id).await? {
                None => whole("connection_not_found", "there is no such connection"),
                Some((connection, _)) if connection.app != app.key => {
                    whole("connection_of_another_app", "the connection is of another app")
                }
                Some((connection, _)) => {
                    integration = connection.issued.as_ref().map(|issued| issued.integration);
                    self.obstacles(&app, &connection, components).await
                }
            },
        }?);
        Ok(Verdict { problems, integration })
    }

    /// The app's connections, newest first, each with what is in its way.
    pub(crate) async fn match_connections(
        &self,
        actor: &Actor,
        app: &AppKey,
        components: &[ComponentId],
        page: ConnectionPage,
    ) -> Result<Page<Match>, Error> {
        let team = actor.require(Permission::Read)?;
        let app = self.app(team, app).await?;
        if let Some(problem) = unknown(&app, components).into_iter().next() {
            return Err(Error::field("components", problem.detail));
        }
        let found = self.list(actor, page).await?;
        let mut items = Vec::with_capacity(found.items.len());
        for connection in found.items {
            let problems = self.obstacles(&app, &connection, components).await?;
            items.push(Match { connection, problems });
        }
        Ok(Page { items, more: found.more })
    }

    /// What is in the way of a connection that is to serve these components.
    async fn obstacles(
        &self,
        app: &App,
        connection: &Connection,
        components: &[ComponentId],
    ) -> Result<Vec<Problem>, Error> {
        let whole = match connection.health.status {
            Status::Active => None,
            Status::Expired => Some(("expired", "the app refuses the credential: connect again")),
            Status::Revoked => Some(("revoked", "the connection was withdrawn")),
            // What a provider granted is known, scope by scope.
            Status::MissingScopes if connection.issued.is_some() => None,
            Status::MissingScopes => {
                Some(("missing_scopes", "the credential lacks permissions at the app"))
            }
            Status::Failing => Some(("failing", "the app or its provider did not answer lately")),
        };
        let mut problems: Vec<Problem> =
            whole.into_iter().map(|(code, detail)| Problem::whole(code, detail)).collect();
        let Some(issued) = &connection.issued else { return Ok(problems) };
        let found = self.store.find_integration(connection.team, issued.integration).await?;
        if found.is_none_or(|(own, _)| own.status == integration::Status::Disabled) {
            let detail = "the integration that it was connected through is disabled";
            problems = vec![Problem::whole("integration_disabled", detail)];
        }
        for id in components {
            let Some(component) = app.components.get(id) else { continue };
            let missing = scope::missing(&component.scopes, &issued.scopes);
            if !missing.is_empty() {
                problems.push(Problem {
                    component: Some(id.clone()),
                    code: "missing_scopes",
                    detail: format!("the account did not grant {}", missing.join(", ")),
                });
            }
        }
        Ok(problems)
    }
}

fn unknown(app: &App, components: &[ComponentId]) -> Vec<Problem> {
    let unknown = components.iter().filter(|id| !app.components.contains_key(id));
    let problem = |id: &ComponentId| Problem {
        component: Some(id.clone()),
        code: "unknown_component",
        detail: "the app has no such component".to_owned(),
    };
    unknown.map(problem).collect()
}
