//! Letting a suspended team's keys work again.

use keystile_domain::{TeamId, log::ChangeKind};

use super::{Edit, Team};
use crate::{
    Error, Service,
    change::Outcome,
    keys::Caller,
    store::{TeamRecord, TeamStatus},
};

impl Service {
    /// Resumes a team, for the operator.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    #[tracing::instrument(name = "issuance.resume_team", skip_all, fields(team.id = %id))]
    pub async fn resume_team(&self, caller: &Caller, id: TeamId) -> Result<(Team, Outcome), Error> {
        self.edit_team(caller, id, Resume).await
    }
}

struct Resume;

impl Edit for Resume {
    const KIND: ChangeKind = ChangeKind::TeamResumed;

    fn edit(&self, team: &mut TeamRecord) -> bool {
        team.status = TeamStatus::Active;
        false
    }
}
