//! Running an action for the holder of a key.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use keystile_catalog::{App, Component};
use keystile_contract::capability::Capability;
use keystile_domain::{ComponentId, Tick};
use serde_json::Value;

use crate::{
    error::Error,
    fence,
    idempotency::IdempotencyKey,
    outside::{Account, Answer, Call},
    vault::Vault,
};

/// The largest inputs, bytes.
const MAX_INPUTS: usize = 1 << 20;

/// Kept back from the caller's time for the way of the answer.
const MARGIN: Duration = Duration::from_millis(50);

/// What is asked to be run.
pub(crate) struct Asked {
    pub(crate) component: ComponentId,
    /// JSON.
    pub(crate) inputs: Vec<u8>,
    /// If the component is to run once however often this is asked.
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// The time that the caller gives.
    pub(crate) within: Option<Duration>,
}

impl Vault {
    /// Runs the capability's component with the credential of its connection. True beside an answer
    /// that was given before, to a request with the same idempotency key.
    ///
    /// The fence is asked at first, so that nothing is read for a capability that is worthless, and
    /// again right before each time that something is sent, because a cut may have come between.
    pub(crate) async fn run_action(
        self: &Arc<Self>,
        capability: &Capability,
        asked: Asked,
    ) -> Result<(Answer, bool), Error> {
        let allowed = self.config.action_timeout(asked.within).saturating_sub(MARGIN);
        let ends = self.clock.tick() + allowed;
        if capability.component != asked.component {
            return Err(Error::OtherComponent);
        }
        fence::admit(&self.follower, capability)?;
        let app = self.app(capability.team, &capability.component.app_key()).await?;
        let component = component_of(&app, &capability.component)?;
        let inputs = read(&asked.inputs)?;
        component.validate(&inputs).map_err(Error::Inputs)?;
        match asked.idempotency_key {
            Some(name) => self.run_once(capability, &name, app, inputs, ends).await,
            None => Ok((self.perform(capability, &app, &inputs, ends).await?, false)),
        }
    }

    /// Runs a capability's component, whose inputs are valid for this version of its app.
    pub(crate) async fn perform(
        self: &Arc<Self>,
        capability: &Capability,
        app: &App,
        inputs: &Value,
        ends: Tick,
    ) -> Result<Answer, Error> {
        let component = component_of(app, &capability.component)?;
        let opened = match capability.connection {
            None if app.needs_connection() => {
                return Err(Error::ConnectionUnusable("this app needs one".to_owned()));
            }
            None => None,
            Some(id) => Some(self.opened(capability, app, id, None).await?),
        };
        let none = Account::none();
        let account = opened.as_ref().map_or(&none, |opened| &opened.account);
        let answer = self.send(capability, app, component, account, inputs, ends).await?;
        match opened.filter(|opened| opened.renewable) {
            // Once: an app that refuses a fresh token means something else.
            Some(opened) if answer.status == StatusCode::UNAUTHORIZED => {
                let id = opened.connection;
                let fresh = self.opened(capability, app, id, Some(opened.version)).await?;
                self.send(capability, app, component, &fresh.account, inputs, ends).await
            }
            _ => Ok(answer),
        }
    }

    async fn send(
        &self,
        capability: &Capability,
        app: &App,
        component: &Component,
        account: &Account,
        inputs: &Value,
        ends: Tick,
    ) -> Result<Answer, Error> {
        let request = Self::request(app, component, account, inputs)?;
        if let Some(connection) = capability.connection {
            self.last_used.note(capability.team, connection, self.clock.now());
        }
        let admit = || fence::admit(&self.follower, capability);
        let call = Call { request: &request, limits: &app.limits, ends, admit: &admit };
        self.exchange(&call, account).await
    }
}

fn component_of<'a>(app: &'a App, id: &ComponentId) -> Result<&'a Component, Error> {
    app.components.get(id).ok_or(Error::UnknownComponent)
}

fn read(inputs: &[u8]) -> Result<Value, Error> {
    if inputs.len() > MAX_INPUTS {
        return Err(Error::field("inputs_json", "must have at most 1 MiB"));
    }
    serde_json::from_slice(inputs).map_err(|_| Error::field("inputs_json", "is not valid JSON"))
}
