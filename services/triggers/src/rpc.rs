//! The gRPC face: convert, call, convert.

use std::sync::Arc;

use keystile_contract::{
    Failure,
    convert::position,
    proto::triggers::v1::{
        GetStatusRequest, GetStatusResponse, trigger_service_server::TriggerService,
    },
};
use keystile_follower::Follower;
use tonic::{Request, Response, Status, async_trait};
use tracing::instrument;

use crate::{error::Error, store::Store};

/// `TriggerService`.
pub(crate) struct Triggers {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) follower: Follower,
}

#[async_trait]
impl TriggerService for Triggers {
    #[instrument(name = "triggers.get_status", skip_all)]
    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let refuse = |error| Failure::from(Error::Store(error));
        let applied = self.store.applied().await.map_err(refuse)?;
        let tombstones = self.store.tombstones().await.map_err(refuse)?;
        Ok(Response::new(GetStatusResponse {
            applied: applied.map(|at| position(&at.position)),
            lease_current: self.follower.lease_current(),
            tombstones,
        }))
    }
}
