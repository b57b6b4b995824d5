//! Stopping every key of a team.

use keystile_domain::{TeamId, log::ChangeKind};

use super::{Edit, Team};
use crate::{
    Error, Service,
    change::Outcome,
    keys::Caller,
    store::{TeamRecord, TeamStatus},
};

impl Service {
    /// Suspends a team, for the operator: a cut.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    #[tracing::instrument(name = "issuance.suspend_team", skip_all, fields(team.id = %id))]
    pub async fn suspend_team(
        &self,
        caller: &Caller,
        id: TeamId,
    ) -> Result<(Team, Outcome), Error> {
        self.edit_team(caller, id, Suspend).await
    }
}

struct Suspend;

impl Edit for Suspend {
    const KIND: ChangeKind = ChangeKind::TeamSuspended;

    fn edit(&self, team: &mut TeamRecord) -> bool {
        team.status = TeamStatus::Suspended;
        true
    }
}
