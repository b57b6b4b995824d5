//! The conformance suite of the store: one set of promises, whatever keeps them. Whoever declares
//! this module says by `benches` what is held against it; the simulation of
//! `services/verification` does so with its own.

use std::{any::Any, collections::BTreeSet, sync::Arc, time::Duration};

use keystile_domain::{
    AuditId, ConnectionId, Entropy, Environment, Grant, Incarnation, KeyId, OperationId, Role,
    Scope, SecretId, TeamId, entropy,
    facts::KeyStatus,
    limits::Limits,
    log::{ChangeKind, LogRow, Nonce, Receipt},
    name::{Description, Name},
    plan::Plan,
    token::Kid,
};
use keystile_issuance::{
    Error,
    store::{
        AuditQuery, AuditRecord, Epoch, FactsOf, FollowerRecord, KeyRecord, Operation, ScopeStatus,
        SecretRecord, Store, TeamRecord, TeamStatus,
    },
};
use keystile_testkit::SeededEntropy;
use time::{OffsetDateTime, macros::datetime};

use super::benches;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// A store that is empty.
pub(super) struct Bench {
    store: Arc<dyn Store>,
    entropy: SeededEntropy,
    /// Can several processes use it at once?
    many: bool,
    /// What the store stands on, for as long as it is used.
    _ground: Box<dyn Any + Send>,
}

impl Bench {
    pub(super) fn new(store: impl Store + 'static, many: bool, ground: impl Any + Send) -> Self {
        let (store, entropy) = (Arc::new(store), SeededEntropy::new(4));
        Self { store, entropy, many, _ground: Box::new(ground) }
    }

    fn team(&self) -> TeamRecord {
        TeamRecord {
            id: TeamId::generate(NOW, &self.entropy),
            name: Name::new("a team").expect("valid"),
            status: TeamStatus::Active,
            plan: Plan { max_keys: Some(3), ..Plan::self_hosted() },
            created_at: NOW,
        }
    }

    fn audit(&self, team: TeamId, seq: u64) -> AuditRecord {
        AuditRecord {
            id: AuditId::generate(NOW, &self.entropy),
            seq,
            team,
            at: NOW,
            actor: "operator".into(),
            actor_label: "operator".into(),
            action: ChangeKind::KeyRevoked,
            subject: "key_1".into(),
            subject_label: "a key".into(),
            before: "{}".into(),
            after: "{}".into(),
            request_id: "req-1".into(),
            source_ip: None,
            receipt: None,
        }
    }

    fn secret(&self) -> SecretRecord {
        SecretRecord {
            id: SecretId::generate(NOW, &self.entropy),
            phc: "$argon2id$".into(),
            token_key_version: 1,
            not_after: None,
            created_at: NOW,
        }
    }

    fn key(&self, team: TeamId) -> KeyRecord {
        let components = BTreeSet::from(["action.gmail.send-email".parse().expect("valid")]);
        let connection = Some(ConnectionId::generate(NOW, &self.entropy));
        let app = "gmail".parse().expect("valid");
        KeyRecord {
            id: KeyId::generate(NOW, &self.entropy),
            team,
            kid: Kid::generate(&self.entropy),
            name: Name::new("a key").expect("valid"),
            description: Description::new("two\nlines").expect("valid"),
            environment: Environment::Stg,
            status: KeyStatus::Active,
            deleted_at: None,
            expires_at: Some(NOW + time::Duration::days(1)),
            ip_allow_list: vec!["10.0.0.0/8".parse().expect("valid")],
            limits: Limits { requests_per_minute: Some(5), requests_per_month: Some(1 << 40) },
            grants: vec![Grant::new(app, connection, None, components).expect("valid")],
            secrets: vec![self.secret()],
            created_at: NOW,
            updated_at: NOW,
            created_by: None,
            version: 1,
        }
    }

    fn row(&self, epoch: &Epoch, scope: Scope) -> LogRow {
        LogRow {
            seq: epoch.head + 1,
            nonce: Nonce(entropy::bytes(&self.entropy as &dyn Entropy)),
            previous: epoch.nonce,
            scope,
            kind: ChangeKind::KeyRevoked,
            cut: true,
            operation: OperationId::generate(NOW, &self.entropy),
        }
    }

    async fn append(&self, scope: Scope, at: OffsetDateTime) -> LogRow {
        let mut tx = self.store.begin().await.expect("begins");
        let epoch = tx.lock_epoch().await.expect("locks");
        let row = self.row(&epoch, scope);
        tx.append(&row, at).await.expect("appends");
        tx.commit().await.expect("commits");
        row
    }

    fn follower(&self) -> FollowerRecord {
        FollowerRecord {
            incarnation: Incarnation::generate(NOW, &self.entropy),
            role: Role::Vault,
            since: 1,
            lease_ttl: Duration::from_millis(1_234),
            answered_at: NOW,
            retiring: false,
            local: true,
        }
    }

    /// A stored team with one key.
    async fn stored(&self) -> (TeamRecord, KeyRecord) {
        let team = self.team();
        let key = self.key(team.id);
        let mut tx = self.store.begin().await.expect("begins");
        tx.insert_team(&team).await.expect("inserts");
        tx.insert_key(&key).await.expect("inserts");
        tx.commit().await.expect("commits");
        (team, key)
    }
}

#[tokio::test]
async fn what_is_stored_comes_back_as_it_was_and_only_to_its_team() {
    for bench in benches().await {
        let (team, key) = bench.stored().await;
        assert_eq!(bench.store.team(team.id).await.expect("reads"), Some(team.clone()));
        assert_eq!(bench.store.key(team.id, key.id).await.expect("reads"), Some(key.clone()));
        let other = bench.team().id;
        assert_eq!(bench.store.key(other, key.id).await.expect("reads"), None);
        assert_eq!(bench.store.count_keys(team.id).await.expect("reads"), 1);
        assert_eq!(bench.store.count_keys(other).await.expect("reads"), 0);
        let mut tx = bench.store.begin().await.expect("begins");
        assert!(matches!(tx.insert_team(&team).await, Err(Error::TeamExists)));
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    for bench in benches().await {
        let before = bench.store.epoch().await.expect("reads");
        let team = bench.team();
        {
            let mut tx = bench.store.begin().await.expect("begins");
            let epoch = tx.lock_epoch().await.expect("locks");
            tx.append(&bench.row(&epoch, Scope::Team(team.id)), NOW).await.expect("appends");
            tx.insert_team(&team).await.expect("inserts");
            assert!(tx.team(team.id).await.expect("reads").is_some(), "seen from inside");
        }
        assert_eq!(bench.store.epoch().await.expect("reads"), before);
        assert_eq!(bench.store.team(team.id).await.expect("reads"), None);
    }
}

#[tokio::test]
async fn a_key_is_replaced_only_in_the_version_that_was_read() {
    for bench in benches().await {
        let (team, before) = bench.stored().await;
        let mut after = before.clone();
        after.version += 1;
        after.grants.clear();
        after.secrets[0].not_after = Some(NOW);
        after
            .secrets
            .push(SecretRecord { created_at: NOW + time::Duration::seconds(1), ..bench.secret() });
        let mut tx = bench.store.begin().await.expect("begins");
        tx.update_key(&before, &after).await.expect("updates");
        tx.commit().await.expect("commits");
        assert_eq!(bench.store.key(team.id, before.id).await.expect("reads"), Some(after.clone()));
        let mut tx = bench.store.begin().await.expect("begins");
        let late = tx.update_key(&before, &after).await;
        assert!(matches!(late, Err(Error::ChangedMeanwhile)));
        drop(tx);
        let mut foreign = after.clone();
        foreign.team = bench.team().id;
        let mut tx = bench.store.begin().await.expect("begins");
        let result = tx.update_key(&foreign, &foreign).await;
        assert!(matches!(result, Err(Error::ChangedMeanwhile)), "another team's");
    }
}

#[tokio::test]
async fn the_log_counts_without_gaps_and_names_its_predecessors() {
    for bench in benches().await {
        let team = bench.team().id;
        let genesis = bench.store.epoch().await.expect("reads");
        assert_eq!((genesis.head, genesis.settled), (0, genesis.history));
        let first = bench.append(Scope::Team(team), NOW - time::Duration::hours(2)).await;
        let second = bench.append(Scope::Team(team), NOW).await;
        assert_eq!((first.seq, first.previous), (1, genesis.nonce));
        assert_eq!((second.seq, second.previous), (2, first.nonce));
        let epoch = bench.store.epoch().await.expect("reads");
        assert_eq!((epoch.head, epoch.nonce), (2, second.nonce));
        let (history, rows) = bench.store.log_after(0, 1).await.expect("reads");
        assert_eq!((history, rows), (genesis.history, vec![first]));
        let (_, rows) = bench.store.log_after(1, 5).await.expect("reads");
        assert_eq!(rows, vec![second]);
        let mut tx = bench.store.begin().await.expect("begins");
        assert_eq!(tx.floor(NOW - time::Duration::hours(1)).await.expect("reads"), 1);
        assert_eq!(tx.floor(NOW - time::Duration::hours(3)).await.expect("reads"), 0);
    }
}

#[tokio::test]
async fn whoever_takes_the_lock_has_seen_what_was_committed_under_it() {
    for bench in benches().await {
        let mut first = bench.store.begin().await.expect("begins");
        let epoch = first.lock_epoch().await.expect("locks");
        let store = Arc::clone(&bench.store);
        let mut second = tokio::spawn(async move {
            let mut tx = store.begin().await.expect("begins");
            let epoch = tx.lock_epoch().await.expect("locks");
            (epoch, tx.followers().await.expect("reads"))
        });
        let early = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
        assert!(early.is_err(), "the lock is taken");
        let row = bench.row(&epoch, Scope::Team(bench.team().id));
        let follower = bench.follower();
        first.append(&row, NOW).await.expect("appends");
        first.insert_follower(&follower).await.expect("inserts");
        first.commit().await.expect("commits");
        let (epoch, followers) = second.await.expect("goes on");
        assert_eq!((epoch.head, epoch.nonce), (1, row.nonce));
        assert_eq!(followers, [follower]);
    }
}

#[tokio::test]
async fn the_first_receipt_of_a_cut_is_the_one_that_the_trail_keeps() {
    for bench in benches().await {
        let team = bench.team().id;
        for seq in [1, 2] {
            let mut tx = bench.store.begin().await.expect("begins");
            tx.lock_epoch().await.expect("locks");
            tx.insert_audit(&bench.audit(team, seq)).await.expect("inserts");
            tx.commit().await.expect("commits");
        }
        let receipt = |acknowledged, micros| Receipt {
            seq: 2,
            acknowledged,
            waited_out: 1,
            elapsed: Duration::from_micros(micros),
        };
        bench.store.record_receipt(&receipt(3, 1_234)).await.expect("writes");
        bench.store.record_receipt(&receipt(4, 9_999)).await.expect("writes");
        let query = AuditQuery { team, limit: 9, before: None, subject: None };
        let rows = bench.store.list_audit(&query).await.expect("reads");
        let receipts: Vec<_> = rows.iter().map(|row| row.receipt).collect();
        assert_eq!(receipts, [Some(receipt(3, 1_234)), None]);
        for (seq, expected) in [(1, None), (2, receipts[0]), (3, None)] {
            assert_eq!(bench.store.receipt(seq).await.expect("reads"), expected);
        }
    }
}

#[tokio::test]
async fn a_renewal_reads_head_tail_and_follower_at_once() {
    for bench in benches().await {
        let row = bench.append(Scope::Team(bench.team().id), NOW).await;
        let incarnation = Incarnation::generate(NOW, &bench.entropy);
        let unknown = bench.store.renewal(incarnation, 0).await.expect("reads");
        assert_eq!(unknown.live, None);
        assert_eq!((unknown.epoch.head, unknown.rows), (1, vec![row]));
        let follower = FollowerRecord { incarnation, ..bench.follower() };
        let mut tx = bench.store.begin().await.expect("begins");
        tx.insert_follower(&follower).await.expect("inserts");
        tx.commit().await.expect("commits");
        let renewal = bench.store.renewal(incarnation, 1).await.expect("reads");
        assert!(renewal.live.is_some() && renewal.rows.is_empty());
        assert_eq!(bench.store.followers().await.expect("reads"), vec![follower]);
        let mut tx = bench.store.begin().await.expect("begins");
        let twice = tx.insert_follower(&follower).await;
        assert!(matches!(twice, Err(Error::IncarnationExists)));
        drop(tx);

        let late = NOW + time::Duration::seconds(1);
        bench.store.record_answered(&[incarnation], late).await.expect("writes");
        let mut tx = bench.store.begin().await.expect("begins");
        tx.mark_retiring(late).await.expect("marks");
        assert_eq!(
            tx.followers().await.expect("reads"),
            [FollowerRecord { answered_at: late, ..follower }]
        );
        tx.mark_retiring(late + time::Duration::seconds(1)).await.expect("marks");
        tx.commit().await.expect("commits");
        assert_eq!(bench.store.renewal(incarnation, 1).await.expect("reads").live, None);
        let retiring = FollowerRecord { answered_at: late, retiring: true, ..follower };
        assert_eq!(bench.store.followers().await.expect("reads"), vec![retiring]);
        let mut tx = bench.store.begin().await.expect("begins");
        assert_eq!(tx.followers().await.expect("reads"), vec![retiring], "still counted");
        tx.remove_followers(&[incarnation]).await.expect("removes");
        tx.commit().await.expect("commits");
        assert_eq!(bench.store.followers().await.expect("reads"), vec![]);
    }
}

#[tokio::test]
async fn operations_are_found_by_team_and_id_and_the_last_cut_by_scope() {
    for bench in benches().await {
        let (team, other) = (bench.team().id, bench.team().id);
        let scope = Scope::Key(KeyId::generate(NOW, &bench.entropy));
        let made = |seq, cut| Operation {
            team,
            id: OperationId::generate(NOW, &bench.entropy),
            seq,
            kind: ChangeKind::KeyUpdated,
            scope,
            cut,
            request: cut.then_some([7; 32]),
        };
        let operations = [made(1, true), made(2, true), made(3, false)];
        let mut tx = bench.store.begin().await.expect("begins");
        for operation in &operations {
            tx.insert_operation(operation).await.expect("inserts");
        }
        assert_eq!(tx.last_cut(team, scope).await.expect("reads"), Some(operations[1]));
        assert_eq!(tx.last_cut(other, scope).await.expect("reads"), None);
        tx.commit().await.expect("commits");
        let id = operations[2].id;
        assert_eq!(bench.store.operation(team, id).await.expect("reads"), Some(operations[2]));
        assert_eq!(bench.store.operation(other, id).await.expect("reads"), None);
    }
}

#[tokio::test]
async fn facts_say_which_grants_are_usable() {
    for bench in benches().await {
        let (team, key) = bench.stored().await;
        let scope = Scope::Connection(key.grants[0].connection().expect("a connection"));
        for usable in [true, false, true] {
            let mut tx = bench.store.begin().await.expect("begins");
            let status = ScopeStatus { team: team.id, scope, usable };
            tx.put_scope_status(&status).await.expect("puts");
            assert_eq!(tx.scope_usable(team.id, scope).await.expect("reads"), Some(usable));
            tx.commit().await.expect("commits");
            for of in [FactsOf::Kid(key.kid), FactsOf::Key(key.id)] {
                let (_, facts) = bench.store.facts(of).await.expect("reads");
                assert_eq!(facts.expect("facts").grants[0].usable, usable);
            }
        }
    }
}

#[tokio::test]
async fn what_is_told_is_heard_by_every_process_that_listens() {
    for bench in benches().await {
        if !bench.many {
            // There is nobody to tell.
            bench.store.tell("anything").await.expect("told");
            continue;
        }
        let mut listeners =
            [bench.store.hear().await.expect("hears"), bench.store.hear().await.expect("hears")];
        bench.store.tell("one").await.expect("told");
        bench.store.tell("two").await.expect("told");
        for listener in &mut listeners {
            for text in ["one", "two"] {
                assert_eq!(listener.next().await.expect("hears").as_deref(), Some(text));
            }
        }
    }
}
