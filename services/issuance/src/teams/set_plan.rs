//! Setting a team's entitlements.

use keystile_domain::{TeamId, log::ChangeKind, plan::Plan};

use super::{Edit, Team};
use crate::{Error, Service, change::Outcome, keys::Caller, store::TeamRecord};

impl Service {
    /// Sets a plan, for the operator. Lowering what a verdict depends on is a cut.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    #[tracing::instrument(name = "issuance.set_plan", skip_all, fields(team.id = %id))]
    pub async fn set_plan(
        &self,
        caller: &Caller,
        id: TeamId,
        plan: Plan,
    ) -> Result<(Team, Outcome), Error> {
        self.edit_team(caller, id, SetPlan(plan)).await
    }
}

struct SetPlan(Plan);

impl Edit for SetPlan {
    const KIND: ChangeKind = ChangeKind::PlanSet;

    fn edit(&self, team: &mut TeamRecord) -> bool {
        let cut = self.0.is_below(&team.plan);
        team.plan = self.0.clone();
        cut
    }
}
