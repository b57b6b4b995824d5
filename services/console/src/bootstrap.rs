//! The first owner of a team.

use std::collections::BTreeSet;

use keystile_domain::{
    Actor, ManagementTokenId, MemberRole, TeamId, UserId, name::Name, permission::Principal,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    Error, Service,
    email::Email,
    password,
    store::{Audit, Founding, Membership, Team, Token, User},
    token,
    trail::Entry,
};

/// What the first token of a team is called.
const TOKEN_NAME: &str = "bootstrap";

/// A new team, its owner, and the only copies of two secrets.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The team.
    pub team: TeamId,
    /// Its owner.
    pub user: UserId,
    /// The owner's password.
    pub password: SecretString,
    /// A management token of role owner, `ksm_…`.
    pub token: SecretString,
}

/// Whoever runs commands on the host.
pub(crate) fn operator(request_id: String) -> Actor {
    Actor {
        principal: Principal::Operator,
        label: "operator".to_owned(),
        team: None,
        permissions: BTreeSet::new(),
        request_id,
        source_ip: None,
    }
}

impl Service {
    /// Makes a team called `team_name`, its first owner with a random password, and a management
    /// token. Each secret is returned once and kept only as a hash.
    ///
    /// A failure leaves nothing that anyone can use: at most a team in issuance that has no member.
    ///
    /// # Errors
    /// [`Error::EmailTaken`] if the address has a user; [`Error::Email`], [`Error::Name`];
    /// [`Error::Peer`] if issuance refuses the team; [`Error::Store`].
    #[tracing::instrument(name = "console.bootstrap", skip_all)]
    pub async fn bootstrap(&self, email: &str, team_name: &str) -> Result<Bootstrap, Error> {
        let email: Email = email.parse()?;
        let name = Name::new(team_name).map_err(|rule| Error::Name { field: "team", rule })?;
        if self.store().user_by_email(&email).await?.is_some() {
            return Err(Error::EmailTaken);
        }
        let now = self.clock().now();
        let (team, user) =
            (TeamId::generate(now, self.entropy()), UserId::generate(now, self.entropy()));
        let password = password::generate(self.entropy());
        let password_hash = password::hash(password.clone(), self.entropy()).await?;
        let (token, digest) = token::mint(self.entropy());

        let actor = operator(format!("bootstrap-{team}"));
        self.peers().create_team(&actor, team, &name).await?;

        let token_row = Token {
            id: ManagementTokenId::generate(now, self.entropy()),
            team,
            created_by: user,
            name: TOKEN_NAME.to_owned(),
            role: MemberRole::Owner,
            digest,
            created_at: now,
            expires_at: None,
            revoked_at: None,
        };
        let audit = self.founding_trail(now, &actor, &email, &name, user, &token_row);
        let founding = Founding {
            user: User { id: user, email, name: None, password_hash, created_at: now },
            team: Team { id: team, name: name.as_str().to_owned(), created_at: now },
            membership: Membership { team, user, role: MemberRole::Owner, created_at: now },
            token: token_row,
            audit,
        };
        self.store().found(founding).await?;
        Ok(Bootstrap { team, user, password, token })
    }

    fn founding_trail(
        &self,
        now: OffsetDateTime,
        actor: &Actor,
        email: &Email,
        team_name: &Name,
        user: UserId,
        token: &Token,
    ) -> Vec<Audit> {
        let row = |action, subject_id: String, subject_label: &str, after: Value| {
            let entry = Entry {
                team: token.team,
                action,
                subject_id,
                subject_label,
                before: Value::Null,
                after,
            };
            self.audit_row(now, actor, entry)
        };
        let owner = MemberRole::Owner.as_str();
        vec![
            row(
                "team.created",
                token.team.to_string(),
                team_name.as_str(),
                json!({ "name": team_name }),
            ),
            row("member.added", user.to_string(), email.as_str(), json!({ "role": owner })),
            row(
                "token.created",
                token.id.to_string(),
                &token.name,
                json!({ "name": token.name, "role": owner }),
            ),
        ]
    }
}
