//! Checking an integration: does the provider know this client, and where are its endpoints?

use keystile_catalog::App;
use keystile_domain::{Actor, IntegrationId, Permission};

use super::{GrantType, Integration, Status};
use crate::{
    audit::{self, Author, Who},
    error::Error,
    oauth::{
        Failure,
        client::Client,
        endpoints::{self, Endpoints},
        metadata, random,
        token::{self, Exchange},
    },
    vault::Vault,
};

/// What came of a check.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) integration: Integration,
    pub(crate) ok: bool,
    pub(crate) detail: String,
}

/// A check that did not pass: a stable code, and a sentence for a person.
struct Doubt {
    code: &'static str,
    detail: String,
}

impl Vault {
    /// Asks the provider, and stores what came of it. A disabled integration stays disabled.
    pub(crate) async fn check_integration(
        &self,
        actor: &Actor,
        id: IntegrationId,
    ) -> Result<Checked, Error> {
        let team = actor.require(Permission::IntegrationsWrite)?;
        let found = self.store.find_integration(team, id).await?;
        let (before, sealed) = found.ok_or(Error::IntegrationNotFound)?;
        let app = self.app(team, &before.app).await?;
        let mut client = self.open_client(&before, &sealed).await?;
        let outcome = self.ask_provider(&before, &app, &mut client).await;
        let mut after = Integration { version: before.version + 1, ..before.clone() };
        let (ok, detail) = match outcome {
            Ok(()) => {
                after.status_reason.clear();
                if before.status == Status::Draft {
                    after.status = Status::Configured;
                }
                (true, "the provider knows this client".to_owned())
            }
            Err(doubt) => {
                // What worked before may be tried again tomorrow; only a draft has to pass.
                if before.status == Status::Draft {
                    doubt.code.clone_into(&mut after.status_reason);
                }
                (false, doubt.detail)
            }
        };
        let sealed = self.seal_client(&after, sealed.version + 1, &client).await?;
        let author = Author::new(Who::of(actor), self.clock.now(), &*self.entropy);
        let entry =
            author.integration(audit::INTEGRATION_CHECKED, &after, Some(&before), Some(&after));
        if !self.store.update_integration(&after, &sealed, &entry).await? {
            return Err(Error::IntegrationChanged);
        }
        Ok(Checked { integration: after, ok, detail })
    }

    /// Sets the endpoints of a client that the provider knows.
    async fn ask_provider(
        &self,
        integration: &Integration,
        app: &App,
        client: &mut Client,
    ) -> Result<(), Doubt> {
        let grant = integration.grant_type;
        let scheme = grant.scheme(app).ok_or(Doubt {
            code: "not_offered",
            detail: "the app's document no longer offers this way to connect".to_owned(),
        })?;
        let metadata = metadata::fetch(&self.egress, scheme).await.map_err(|failure| Doubt {
            code: "metadata_unavailable",
            detail: format!("the provider's metadata cannot be used: {failure}"),
        })?;
        let endpoints = Endpoints::resolve(app, grant, metadata.as_ref())
            .map_err(|absent| Doubt { code: "no_endpoint", detail: absent.to_string() })?;
        // The document is not sealed: it must not decide alone where a secret goes next.
        let moved = client.endpoints.as_ref().is_some_and(|known| {
            known.token.origin() != endpoints.token.origin()
                || known.for_refresh().origin() != endpoints.for_refresh().origin()
        });
        if moved {
            return Err(Doubt {
                code: "endpoint_moved",
                detail: "the provider's token endpoint is at another host than before: give the \
                         client secret again"
                    .to_owned(),
            });
        }
        let redirect_uri = self.callback_url(integration.id);
        // A code that nobody issued: whoever gets as far as to refuse it knows the client.
        let (code, verifier) = (random::text(&*self.entropy), random::text(&*self.entropy));
        let pkce = endpoints::dialect(app, grant).is_none_or(|dialect| dialect.pkce);
        let scope = scope_text(integration, app);
        let exchange = match grant {
            GrantType::AuthorizationCode => Exchange::Code {
                code: &code,
                verifier: pkce.then_some(&verifier),
                redirect_uri: &redirect_uri,
            },
            GrantType::ClientCredentials => Exchange::ClientCredentials { scope: &scope },
        };
        match token::exchange(&self.egress, client, &endpoints, &exchange).await {
            Ok(_) => {}
            Err(failure) if grant == GrantType::AuthorizationCode && failure.refuses_grant() => {}
            Err(failure) => return Err(doubt(&failure)),
        }
        client.endpoints = Some(endpoints);
        Ok(())
    }
}

/// The scopes as the provider wants them.
pub(crate) fn scope_text(integration: &Integration, app: &App) -> String {
    let dialect = endpoints::dialect(app, integration.grant_type);
    let separator = dialect.map_or(" ", |dialect| dialect.scope_separator.as_str());
    integration.scopes.join(separator)
}

fn doubt(failure: &Failure) -> Doubt {
    let (code, detail) = match failure {
        Failure::Refused(answer) if failure.refuses_client() => (
            "client_refused",
            format!("the provider does not know this client id and secret: it answered {answer}"),
        ),
        Failure::Refused(answer) if answer == "redirect_uri_mismatch" => (
            "redirect_uri_mismatch",
            "the callback URL is not registered at the provider".to_owned(),
        ),
        Failure::Refused(answer) => {
            ("provider_error", format!("the provider refused the check: it answered {answer}"))
        }
        failure @ (Failure::Unavailable(_) | Failure::Lost) => {
            ("provider_unavailable", failure.to_string())
        }
        failure @ Failure::Invalid(_) => ("invalid_answer", failure.to_string()),
    };
    Doubt { code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_says_is_told_apart() {
        let refused = |code: &str| Failure::Refused(code.to_owned());
        for (failure, code) in [
            (refused("invalid_client"), "client_refused"),
            (refused("incorrect_client_credentials"), "client_refused"),
            (refused("redirect_uri_mismatch"), "redirect_uri_mismatch"),
            (refused("invalid_request"), "provider_error"),
            (Failure::Unavailable("503".to_owned()), "provider_unavailable"),
            (Failure::Lost, "provider_unavailable"),
            (Failure::Invalid("x"), "invalid_answer"),
        ] {
            assert_eq!(doubt(&failure).code, code, "{failure:?}");
        }
    }
}
