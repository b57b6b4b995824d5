//! What every store promises, on each of them.

use std::time::Duration;

use keystile_console::{
    Digest,
    store::{
        Audit, Error, Founding, Membership, Revoked, Store, Team, Token, User, memory::MemoryStore,
        migration::Migrator, sql::SqlStore,
    },
};
use keystile_domain::{AuditId, Clock as _, ManagementTokenId, MemberRole, TeamId, UserId};
use keystile_sql::{Database, Pool};
use keystile_testkit::{MockClock, Postgres, SeededEntropy};

struct Make {
    clock: MockClock,
    entropy: SeededEntropy,
}

impl Make {
    fn token(&self, team: TeamId, user: UserId, digest: u8) -> Token {
        self.clock.advance(Duration::from_millis(1));
        Token {
            id: ManagementTokenId::generate(self.clock.now(), &self.entropy),
            team,
            created_by: user,
            name: "ci".to_owned(),
            role: MemberRole::Admin,
            digest: Digest([digest; 32]),
            created_at: self.clock.now(),
            expires_at: Some(self.clock.now() + Duration::from_hours(1)),
            revoked_at: None,
        }
    }

    fn audit(&self, team: TeamId, subject: &str) -> Audit {
        self.clock.advance(Duration::from_millis(1));
        Audit {
            id: AuditId::generate(self.clock.now(), &self.entropy),
            at: self.clock.now(),
            team,
            actor: "operator".to_owned(),
            actor_label: "operator".to_owned(),
            action: "token.created".to_owned(),
            subject_id: subject.to_owned(),
            subject_label: "ci".to_owned(),
            before: String::new(),
            after: "{}".to_owned(),
            request_id: "req_1".to_owned(),
            source_ip: String::new(),
        }
    }

    fn founding(&self, email: &str, digest: u8) -> Founding {
        let now = self.clock.now();
        let (team, user) =
            (TeamId::generate(now, &self.entropy), UserId::generate(now, &self.entropy));
        Founding {
            user: User {
                id: user,
                email: email.parse().expect("an address"),
                name: None,
                password_hash: "$argon2id$".to_owned(),
                created_at: now,
            },
            team: Team { id: team, name: "Acme".to_owned(), created_at: now },
            membership: Membership { team, user, role: MemberRole::Owner, created_at: now },
            token: self.token(team, user, digest),
            audit: vec![self.audit(team, "first")],
        }
    }
}

async fn conforms(store: &dyn Store) {
    let make = Make { clock: MockClock::default(), entropy: SeededEntropy::new(3) };
    store.ping().await.expect("answers");

    let ada = make.founding("ada@example.com", 1);
    store.found(ada.clone()).await.expect("stored");
    let found = store.user_by_email(&ada.user.email).await.expect("reads");
    assert_eq!(found, Some(ada.user.clone()));
    assert_eq!(store.team(ada.team.id).await.expect("reads"), Some(ada.team.clone()));

    // The same address again changes nothing.
    let again = make.founding("ada@example.com", 2);
    assert_eq!(store.found(again.clone()).await, Err(Error::EmailTaken));
    assert_eq!(store.team(again.team.id).await.expect("reads"), None);
    assert_eq!(store.holder(&again.token.digest).await.expect("reads"), None);

    let bob = make.founding("bob@example.com", 3);
    store.found(bob.clone()).await.expect("stored");

    // A holder is the token with its creator's role now.
    let (team, user) = (ada.team.id, ada.user.id);
    let holder = store.holder(&ada.token.digest).await.expect("reads").expect("a holder");
    assert_eq!((holder.token, holder.role), (ada.token.clone(), Some(MemberRole::Owner)));
    assert_eq!(holder.email, ada.user.email);
    let audit = make.audit(team, "member");
    let viewer = Some(MemberRole::Viewer);
    assert!(store.set_member_role(team, user, viewer, audit.clone()).await.expect("stored"));
    let holder = store.holder(&ada.token.digest).await.expect("reads").expect("a holder");
    assert_eq!(holder.role, viewer);
    assert!(!store.set_member_role(team, bob.user.id, viewer, audit).await.expect("reads"));
    let audit = make.audit(team, "member");
    assert!(store.set_member_role(team, user, None, audit).await.expect("stored"));
    assert_eq!(store.membership(team, user).await.expect("reads"), None);
    let holder = store.holder(&ada.token.digest).await.expect("reads").expect("a holder");
    assert_eq!(holder.role, None);

    // Tokens: newest first, by pages, of one team only.
    let second = make.token(team, user, 4);
    let audit = make.audit(team, &second.id.to_string());
    store.create_token(second.clone(), audit).await.expect("stored");
    let all = store.tokens(team, None, 10).await.expect("reads");
    assert_eq!(all, [second.clone(), ada.token.clone()]);
    let page = store.tokens(team, Some(second.id), 1).await.expect("reads");
    assert_eq!(page, std::slice::from_ref(&ada.token));
    assert_eq!(store.token(bob.team.id, second.id).await.expect("reads"), None);

    // Revoking: once, and only by the team.
    let at = make.clock.now();
    let audit = |subject| make.audit(team, subject);
    let foreign = store.revoke_token(bob.team.id, second.id, at, audit("x")).await;
    assert_eq!(foreign.expect("reads"), Revoked::Missing);
    let gone = Token { revoked_at: Some(at), ..second.clone() };
    let now = store.revoke_token(team, second.id, at, audit("revoked")).await.expect("stored");
    assert_eq!(now, Revoked::Now(gone.clone()));
    let later = at + Duration::from_secs(1);
    let again = store.revoke_token(team, second.id, later, audit("x")).await.expect("reads");
    assert_eq!(again, Revoked::Before(gone));

    // The trail has one row a change, newest first, by pages and by subject, of one team only.
    let trail = store.audit(team, None, None, 100).await.expect("reads");
    let subjects: Vec<_> = trail.iter().map(|row| row.subject_id.as_str()).collect();
    assert_eq!(subjects, ["revoked", &second.id.to_string(), "member", "member", "first"]);
    let page = store.audit(team, Some(trail[1].id), None, 2).await.expect("reads");
    assert_eq!(page, trail[2..4]);
    let of = store.audit(team, None, Some("member"), 100).await.expect("reads");
    assert_eq!(of, trail[2..4]);
    assert_eq!(store.audit(bob.team.id, None, None, 100).await.expect("reads").len(), 1);
}

#[tokio::test]
async fn the_memory_store_conforms() {
    conforms(&MemoryStore::default()).await;
}

#[tokio::test]
async fn the_sql_store_conforms_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    conforms(&migrated(format!("sqlite://{}/console.db", folder.path().display())).await).await;
}

#[tokio::test]
async fn the_sql_store_conforms_on_postgres() {
    let server = Postgres::start();
    conforms(&migrated(server.database()).await).await;
}

async fn migrated(url: String) -> SqlStore {
    let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
    assert_eq!(database.pending::<Migrator>().await.expect("reads"), ["m0001_initial"]);
    database.migrate::<Migrator>().await.expect("migrates");
    assert!(database.pending::<Migrator>().await.expect("reads").is_empty());
    SqlStore::new(database)
}
