//! What issuance is asked about an app's components.

use std::time::Duration;

use keystile_contract::{
    Failure,
    convert::parse,
    proto::issuance::v1::{ReleaseComponentsRequest, fact_service_client::FactServiceClient},
};
use keystile_domain::{AppKey, ComponentId, ErrorKind, TeamId};

use crate::{audit::Who, delete::Deleted, error::Error, outbox, vault::Vault};

/// Who holds components, or held them.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// The first keys: id and name.
    pub(crate) holders: Vec<(String, String)>,
    /// How many in all.
    pub(crate) count: u64,
    /// How the cut ended, if they were taken.
    pub(crate) cut: Option<Deleted>,
}

impl Released {
    /// Refuses what keys still hold.
    pub(super) fn refuse_held(&self) -> Result<(), Error> {
        if self.count == 0 {
            return Ok(());
        }
        let names = self.holders.iter().map(|(id, name)| format!("{name} ({id})"));
        let names = names.collect::<Vec<_>>().join(", ");
        Err(Error::ComponentsInUse { count: self.count, names })
    }
}

impl Vault {
    /// Has issuance name the keys that hold these components of an app (none: all of it), and take
    /// them if forced. Then the cut is over everywhere.
    pub(super) async fn release(
        &self,
        team: TeamId,
        app: &AppKey,
        components: &[ComponentId],
        force: bool,
        who: &Who,
        wait: Duration,
    ) -> Result<Released, Error> {
        let mut request = tonic::Request::new(ReleaseComponentsRequest {
            team_id: team.to_string(),
            app_key: app.to_string(),
            components: components.iter().map(ToString::to_string).collect(),
            force,
            actor: who.actor.clone(),
            actor_label: who.label.clone(),
            request_id: who.request_id.clone(),
            source_ip: who.source_ip.clone(),
        });
        request.set_timeout(wait);
        let mut issuance = FactServiceClient::new(self.issuance.clone());
        let call = tokio::time::timeout(wait, Box::pin(issuance.release_components(request)));
        let late = |_| Failure::new(ErrorKind::Unavailable, "unavailable", "issuance is too slow");
        let answer = call.await.map_err(late)?.map_err(Failure::from)?.into_inner();
        let cut = match answer.outcome {
            Some(outcome) if outcome.pending => return Err(Error::CutPending),
            Some(outcome) => Some(Deleted {
                operation: parse("operation_id", &outcome.operation_id)?,
                receipt: outcome.receipt.as_ref().and_then(outbox::read),
            }),
            None => None,
        };
        let holders = answer.holders.into_iter().map(|one| (one.key_id, one.name));
        Ok(Released { holders: holders.collect(), count: answer.holder_count, cut })
    }
}
