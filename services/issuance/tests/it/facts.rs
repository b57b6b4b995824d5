//! Facts for verification, capabilities for triggers, scope statuses from vault.

use keystile_contract::{
    SealKeys, capability,
    proto::{
        common::v1::{Refusal, Scope, ScopeKind},
        issuance::v1::{
            AuthorizeRequest, AuthorizeResponse, DeleteKeyRequest, DisableKeyRequest, Key,
            KeyStatus, LookupRequest, LookupResponse, SetScopeStatusRequest, SuspendTeamRequest,
            authorize_response::Outcome,
        },
    },
};
use keystile_domain::{Clock, ConnectionId, ErrorKind, IntegrationId, Role};

use crate::world::{Person, SEALING, World, new_key, receipt};

const ECHO: &str = "action.sandbox.echo";

async fn lookup(world: &World, key: &Key) -> LookupResponse {
    let kid = key.public_key.rsplit('_').next().expect("a kid").to_owned();
    world.facts().lookup(LookupRequest { kid }).await.expect("answers").into_inner()
}

async fn authorize(world: &World, key: &Key, component: &str) -> AuthorizeResponse {
    let request = AuthorizeRequest {
        key_id: key.id.clone(),
        component: component.to_owned(),
        connection_id: String::new(),
    };
    world.facts().authorize(request).await.expect("answers").into_inner()
}

async fn refusal(world: &World, key: &Key, component: &str) -> Option<Refusal> {
    match authorize(world, key, component).await.outcome.expect("an outcome") {
        Outcome::Capability(_) => None,
        Outcome::Refusal(why) => Some(Refusal::try_from(why).expect("a refusal")),
    }
}

/// A key through a connection of an integration.
async fn connected(world: &World, owner: &Person) -> (Key, ConnectionId, IntegrationId) {
    let now = world.clock.now();
    let connection = ConnectionId::generate(now, world.entropy());
    let integration = IntegrationId::generate(now, world.entropy());
    world.vault.answer(&[], &integration.to_string());
    let mut request = new_key("a key");
    request.grants[0].connection_id = connection.to_string();
    let made = world.keys().create_key(world.by(owner, request)).await.expect("created");
    (made.into_inner().key.expect("a key"), connection, integration)
}

#[tokio::test]
async fn a_lookup_answers_the_facts_and_the_head_of_one_snapshot() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        let (key, _) = world.key(&owner).await;
        let answer = lookup(&world, &key).await;
        assert_eq!(answer.as_of.expect("a position").seq, 2);
        let facts = answer.facts.expect("facts");
        assert_eq!(facts.key_id, key.id);
        assert_eq!(facts.team_id, owner.0.team.expect("a team").to_string());
        assert_eq!(facts.status(), KeyStatus::Active);
        assert!(facts.api_access && !facts.team_suspended && facts.grants[0].usable);
        assert!(facts.secrets[0].phc.starts_with("$argon2id$v=19$m=256,t=1,p=1$"));

        let unknown = LookupRequest { kid: "0".repeat(16) };
        let unknown = world.facts().lookup(unknown).await.expect("answers").into_inner();
        assert!(unknown.facts.is_none());
        assert_eq!(unknown.as_of.expect("a position").seq, 2);
        let malformed = world.facts().lookup(LookupRequest { kid: "é".repeat(8) }).await;
        assert_eq!(World::refused(malformed).kind, ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_deleted_key_is_looked_up_as_revoked() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let request = DeleteKeyRequest { key_id: key.id.clone(), ..Default::default() };
    world.keys().delete_key(world.by(&owner, request)).await.expect("deleted");
    let facts = lookup(&world, &key).await.facts.expect("facts");
    assert_eq!(facts.status(), KeyStatus::Revoked);
}

#[tokio::test]
async fn authorize_decides_afresh_and_seals_for_vault() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, connection, integration) = connected(&world, &owner).await;
    let answer = authorize(&world, &key, ECHO).await;
    let Some(Outcome::Capability(sealed)) = answer.outcome else { panic!("refused") };
    let mut metadata = tonic::metadata::MetadataMap::new();
    capability::attach(&mut metadata, &sealed);
    let vault = SealKeys::derive(Role::Vault, &SEALING);
    let opened = capability::of_request(&metadata, &vault, world.clock.now()).expect("for vault");
    assert_eq!(opened.key.to_string(), key.id);
    assert_eq!((opened.connection, opened.integration), (Some(connection), Some(integration)));
    assert_eq!(opened.as_of.seq, 2);

    assert_eq!(
        refusal(&world, &key, "action.sandbox.fail").await,
        Some(Refusal::ComponentNotAllowed)
    );
    let request = DisableKeyRequest { key_id: key.id.clone(), ..Default::default() };
    world.keys().disable_key(world.by(&owner, request)).await.expect("disabled");
    assert_eq!(refusal(&world, &key, ECHO).await, Some(Refusal::Disabled));
    let (other, ..) = connected(&world, &owner).await;
    let team_id = owner.0.team.expect("a team").to_string();
    let request = world.by(&World::operator(), SuspendTeamRequest { team_id });
    world.teams().suspend_team(request).await.expect("suspended");
    assert_eq!(refusal(&world, &other, ECHO).await, Some(Refusal::Suspended));
}

#[tokio::test]
async fn a_key_with_an_ip_list_may_still_be_used_where_no_caller_stands_behind_it() {
    let world = World::memory().await;
    let owner = world.team().await;
    let mut request = new_key("a key");
    request.ip_allow_list = vec!["10.0.0.0/8".into()];
    let made = world.keys().create_key(world.by(&owner, request)).await.expect("created");
    assert_eq!(refusal(&world, &made.into_inner().key.expect("a key"), ECHO).await, None);
}

#[tokio::test]
async fn a_grant_is_unusable_while_its_connection_or_integration_is() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        let (key, connection, integration) = connected(&world, &owner).await;
        let team_id = owner.0.team.expect("a team").to_string();
        for (kind, id) in [
            (ScopeKind::Connection, connection.to_string()),
            (ScopeKind::Integration, integration.to_string()),
        ] {
            for usable in [false, true] {
                let request = SetScopeStatusRequest {
                    team_id: team_id.clone(),
                    scope: Some(Scope { kind: kind.into(), id: id.clone() }),
                    usable,
                    operation_id: world.operation(),
                };
                let set = world.facts().set_scope_status(request.clone()).await.expect("set");
                let outcome = set.into_inner().outcome;
                assert_eq!(
                    lookup(&world, &key).await.facts.expect("facts").grants[0].usable,
                    usable
                );
                let expected = (!usable).then_some(Refusal::ConnectionNotAllowed);
                assert_eq!(refusal(&world, &key, ECHO).await, expected);
                if usable {
                    assert!(outcome.expect("an outcome").receipt.is_none());
                    continue;
                }
                let seq = receipt(outcome).seq;
                let again = world.facts().set_scope_status(request).await.expect("set again");
                assert_eq!(receipt(again.into_inner().outcome).seq, seq, "recognised");
            }
        }
        let request = SetScopeStatusRequest {
            team_id,
            scope: Some(Scope { kind: ScopeKind::Key.into(), id: key.id }),
            usable: false,
            operation_id: world.operation(),
        };
        let refused = World::refused(world.facts().set_scope_status(request).await);
        assert_eq!(refused.faults[0].field, "scope.kind");
    }
}

#[tokio::test]
async fn another_teams_word_on_a_connection_changes_nothing_here() {
    let world = World::sqlite().await;
    let (owner, stranger) = (world.team().await, world.team().await);
    let (key, connection, _) = connected(&world, &owner).await;
    let request = SetScopeStatusRequest {
        team_id: stranger.0.team.expect("a team").to_string(),
        scope: Some(Scope { kind: ScopeKind::Connection.into(), id: connection.to_string() }),
        usable: false,
        operation_id: world.operation(),
    };
    world.facts().set_scope_status(request).await.expect("set");
    assert!(lookup(&world, &key).await.facts.expect("facts").grants[0].usable);
}
