//! Creating a key.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::future::try_join_all;
use ipnet::IpNet;
use keystile_contract::Failure;
use keystile_domain::{
    Environment, KeyId, Permission, Scope, TeamId,
    facts::KeyStatus,
    limits::Limits,
    log::ChangeKind,
    name::{Description, Name},
    permission::Principal,
    token::Kid,
};
use serde_json::Value;
use time::OffsetDateTime;

use super::{AskedGrant, Caller, Issued, rules};
use crate::{
    Error, Service,
    change::{After, Applied, Change, Effect, subject},
    store::{KeyRecord, Operation, Tx},
    trail,
};

/// Grants that one key has, at most.
pub(super) const MAX_GRANTS: usize = 100;

/// What a new key needs.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Description,
    /// Where it is used.
    pub environment: Environment,
    /// When it stops by itself; in the future.
    pub expires_at: Option<OffsetDateTime>,
    /// Where it may be used from; at most 100.
    pub ip_allow_list: Vec<IpNet>,
    /// How much it may be used.
    pub limits: Limits,
    /// What it may do: at least one, one an app.
    pub grants: Vec<AskedGrant>,
}

impl Service {
    /// Creates a key and returns its token, once.
    ///
    /// # Errors
    /// [`Error::OperationRepeated`] with the key's id if the operation was carried out before;
    /// [`Error::PlanRequired`], [`Error::KeyLimit`]; a refusal that names the fields at fault.
    #[tracing::instrument(name = "issuance.create_key", skip_all)]
    pub async fn create_key(&self, caller: &Caller, new: NewKey) -> Result<Issued, Error> {
        let team = caller.actor.require(Permission::for_keys_in(new.environment))?;
        let now = self.now();
        let expires_at = rules::expiry("expires_at", new.expires_at, now)?;
        let ip_allow_list = rules::networks("ip_allow_list", new.ip_allow_list)?;
        one_an_app(&new.grants)?;
        let checks = new.grants.iter().map(|asked| self.check_grant(team, asked, caller.deadline));
        let mut grants = try_join_all(checks).await?;
        grants.sort_by(|a, b| a.app().cmp(b.app()));
        let kid = Kid::generate(&*self.entropy);
        let (token, secret) = self.mint(new.environment, &kid, now).await?;
        let key = KeyRecord {
            id: KeyId::generate(now, &*self.entropy),
            team,
            kid,
            name: new.name,
            description: new.description,
            environment: new.environment,
            status: KeyStatus::Active,
            deleted_at: None,
            expires_at,
            ip_allow_list,
            limits: new.limits,
            grants,
            secrets: vec![secret],
            created_at: now,
            updated_at: now,
            created_by: match caller.actor.principal {
                Principal::User(user) | Principal::Token(_, user) => Some(user),
                Principal::Operator => None,
            },
            version: 1,
        };
        let change = CreateKey { team, key };
        let (after, outcome) = self.carry_out(&self.ask(caller, team), &change).await?;
        Ok(Issued { key: after.key()?, token, outcome })
    }
}

fn one_an_app(grants: &[AskedGrant]) -> Result<(), Failure> {
    if grants.is_empty() {
        return Err(Failure::invalid("grants", "a key needs at least one grant"));
    }
    if grants.len() > MAX_GRANTS {
        return Err(Failure::invalid("grants", "a key has at most 100 grants"));
    }
    let mut apps = BTreeSet::new();
    match grants.iter().find(|grant| !apps.insert(&grant.app)) {
        Some(twice) => {
            let field = format!("{}.app_key", twice.field);
            Err(Failure::invalid(field, "another grant is for the same app"))
        }
        None => Ok(()),
    }
}

struct CreateKey {
    team: TeamId,
    key: KeyRecord,
}

#[async_trait]
impl Change for CreateKey {
    fn kind(&self) -> ChangeKind {
        ChangeKind::KeyCreated
    }

    fn scope(&self) -> Scope {
        Scope::Key(self.key.id)
    }

    fn is_repeat_of(&self, made: &Operation) -> bool {
        // The first attempt made up another id.
        made.kind == self.kind()
    }

    async fn apply(&self, tx: &mut dyn Tx, _: OffsetDateTime) -> Result<Applied, Error> {
        let team = tx.team(self.team).await?.ok_or(Error::NotFound("team"))?;
        if !team.plan.api_access {
            return Err(Error::PlanRequired);
        }
        if let Some(max) = team.plan.max_keys
            && tx.count_keys(self.team).await? >= u64::from(max)
        {
            return Err(Error::KeyLimit(max));
        }
        tx.insert_key(&self.key).await?;
        Ok(Applied::Changed(Box::new(Effect {
            cut: false,
            label: self.key.label(),
            before: Value::Null,
            after: trail::view(&self.key),
            result: After::Key(Box::new(self.key.clone())),
        })))
    }

    async fn repeat(&self, _: &mut dyn Tx, made: &Operation) -> Result<After, Error> {
        Err(Error::OperationRepeated(subject(made.scope)))
    }
}
