//! Running an action for the holder of a key.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use keystile_catalog::{App, Component};
use keystile_contract::capability::Capability;
use keystile_domain::ComponentId;
use serde_json::Value;

use crate::{
    error::Error,
    fence,
    outside::{Account, Answer},
    vault::Vault,
};

/// The largest inputs, bytes.
const MAX_INPUTS: usize = 1 << 20;

/// Kept back from the caller's time for the way of the answer.
const MARGIN: Duration = Duration::from_millis(50);

impl Vault {
    /// Runs the capability's component with the credential of its connection.
    ///
    /// The fence is asked twice: at first, so that nothing is read for a capability that is
    /// worthless, and right before dialling, because a cut may have come between.
    pub(crate) async fn run_action(
        self: &Arc<Self>,
        capability: &Capability,
        component: &ComponentId,
        inputs: &[u8],
        asked: Option<Duration>,
    ) -> Result<Answer, Error> {
        let started_at = self.clock.tick();
        if capability.component != *component {
            return Err(Error::OtherComponent);
        }
        fence::admit(&self.follower, capability)?;
        let app = self.app(capability.team, &component.app_key()).await?;
        let component = app.components.get(component).ok_or(Error::UnknownComponent)?;
        let inputs = read(inputs)?;
        component.validate(&inputs).map_err(Error::Inputs)?;

        let left = || {
            self.config
                .action_timeout(asked)
                .saturating_sub(self.clock.tick().since(started_at))
                .saturating_sub(MARGIN)
        };
        let opened = match capability.connection {
            None if app.needs_connection() => {
                return Err(Error::ConnectionUnusable("this app needs one".to_owned()));
            }
            None => None,
            Some(id) => Some(self.opened(capability, &app, id, None).await?),
        };
        let none = Account::none();
        let account = opened.as_ref().map_or(&none, |opened| &opened.account);
        let answer = self.send(capability, component, &app, account, &inputs, left()).await?;
        match opened.filter(|opened| opened.renewable) {
            // Once: an app that refuses a fresh token means something else.
            Some(opened) if answer.status == StatusCode::UNAUTHORIZED => {
                let id = opened.connection;
                let fresh = self.opened(capability, &app, id, Some(opened.version)).await?;
                self.send(capability, component, &app, &fresh.account, &inputs, left()).await
            }
            _ => Ok(answer),
        }
    }

    async fn send(
        &self,
        capability: &Capability,
        component: &Component,
        app: &App,
        account: &Account,
        inputs: &Value,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let request = Self::request(app, component, account, inputs)?;
        fence::admit(&self.follower, capability)?;
        if let Some(connection) = capability.connection {
            self.last_used.note(capability.team, connection, self.clock.now());
        }
        self.exchange(request, account, timeout).await
    }
}

fn read(inputs: &[u8]) -> Result<Value, Error> {
    if inputs.len() > MAX_INPUTS {
        return Err(Error::field("inputs_json", "must have at most 1 MiB"));
    }
    serde_json::from_slice(inputs).map_err(|_| Error::field("inputs_json", "is not valid JSON"))
}
