//! Testing a connection with the app's cheapest read.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use keystile_catalog::{App, Component};
use keystile_domain::{Actor, ConnectionId, Permission};
use serde_json::json;

use crate::{
    audit::{self, Author, Who},
    connection::{Connection, Health, Status},
    error::Error,
    integration,
    outside::{Answer, Call},
    store::SealedCredential,
    vault::Vault,
};

/// How long the app may take: less than a caller without a deadline of its own is given.
const TIMEOUT: Duration = Duration::from_secs(8);

/// What came of a test.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) connection: Connection,
    pub(crate) ok: bool,
    pub(crate) detail: String,
}

impl Vault {
    /// Calls the app with the credential and stores what came of it.
    pub(crate) async fn test(
        self: &Arc<Self>,
        actor: &Actor,
        id: ConnectionId,
    ) -> Result<Tested, Error> {
        let team = actor.require(Permission::ConnectionsWrite)?;
        let found = self.store.find_connection(team, id).await?;
        let (connection, sealed) = found.ok_or(Error::ConnectionNotFound)?;
        let app = self.app(team, &connection.app).await?;
        let Some(component) = cheapest_read(&app) else {
            let detail = "this app has no action that reads without inputs".to_owned();
            return Ok(Tested { connection, ok: false, detail });
        };
        if let Some(detail) = self.unusable(&connection).await? {
            return Ok(Tested { connection, ok: false, detail });
        }
        let mut sealed = sealed;
        let mut outcome = self.read_with(&app, component, &connection, &sealed).await;
        // What a provider issued can have ended without a word: another token first.
        if connection.issued.is_some()
            && matches!(&outcome, Ok(answer) if answer.status == StatusCode::UNAUTHORIZED)
        {
            match self.fresh(team, id, Some(sealed.version)).await {
                Ok(fresh) => {
                    sealed = fresh.sealed;
                    outcome = self.read_with(&app, component, &connection, &sealed).await;
                }
                // The refresh has said what there is to say.
                Err(error @ (Error::ConnectionUnusable(_) | Error::Unhealthy { .. })) => {
                    let detail = error.to_string();
                    let connection = self.get(actor, id).await?;
                    return Ok(Tested { connection, ok: false, detail });
                }
                Err(error) => return Err(error),
            }
        }
        let (health, detail) = match outcome {
            Ok(answer) => judge(answer.status),
            Err(Error::Egress(cause)) => {
                (Health::because(Status::Failing, "unreachable"), cause.to_string())
            }
            Err(error) => return Err(error),
        };
        let author = Author::new(Who::of(actor), self.clock.now(), &*self.entropy);
        let tested = |before: &Connection| {
            let after = Connection { health: health.clone(), ..before.clone() };
            author.entry(audit::TESTED, before, Some(before), Some(&after))
        };
        let stored = self.store.set_health(team, id, &health, &tested).await?;
        let connection = stored.ok_or(Error::ConnectionNotFound)?;
        Ok(Tested { connection, ok: health.status == Status::Active, detail })
    }

    /// Why nothing may go out with tokens of a provider, not even to see whether the app takes them:
    /// a token that the app still takes says nothing of a refresh token that may be spent.
    async fn unusable(&self, connection: &Connection) -> Result<Option<String>, Error> {
        let Some(issued) = &connection.issued else { return Ok(None) };
        let Health { status, reason } = &connection.health;
        if !status.may_run() {
            return Ok(Some(format!("it is {} ({reason}): connect it again", status.as_str())));
        }
        let found = self.store.find_integration(connection.team, issued.integration).await?;
        let disabled = found.is_none_or(|(own, _)| own.status == integration::Status::Disabled);
        Ok(disabled.then(|| "its integration is disabled".to_owned()))
    }

    async fn read_with(
        &self,
        app: &App,
        component: &Component,
        connection: &Connection,
        sealed: &SealedCredential,
    ) -> Result<Answer, Error> {
        let account = self.account(connection, sealed).await?;
        let request = Self::request(app, component, &account, &json!({}))?;
        self.last_used.note(connection.team, connection.id, self.clock.now());
        let ends = self.clock.tick() + TIMEOUT;
        let call = Call { request: &request, limits: &app.limits, ends, admit: &|| Ok(()) };
        self.exchange(&call, &account).await
    }
}

/// The first action that only reads and asks for nothing.
fn cheapest_read(app: &App) -> Option<&Component> {
    app.components.values().find(|component| {
        component.required.is_empty()
            && component.operation().is_some_and(|operation| operation.method == Method::GET)
    })
}

fn judge(status: StatusCode) -> (Health, String) {
    let code = status.as_u16();
    match code {
        200..=299 => (Health::active(), "the app accepted the credential".to_owned()),
        401 => (
            Health::because(Status::Expired, "credential_refused"),
            "the app refused the credential (401)".to_owned(),
        ),
        403 => (
            Health::because(Status::MissingScopes, "access_refused"),
            "the app knows the credential and refused access (403)".to_owned(),
        ),
        _ => (
            Health::because(Status::Failing, "unexpected_status"),
            format!("the app answered {code}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_s_status_decides() {
        for (code, status) in [
            (200, Status::Active),
            (204, Status::Active),
            (401, Status::Expired),
            (403, Status::MissingScopes),
            (404, Status::Failing),
            (429, Status::Failing),
            (503, Status::Failing),
        ] {
            let code = StatusCode::from_u16(code).expect("a status");
            assert_eq!(judge(code).0.status, status, "{code}");
        }
    }
}
