//! Linking, testing and listing connections.

use base64::{Engine, engine::general_purpose::STANDARD};
use keystile_contract::{
    Failure,
    proto::vault::v1::{
        BasicCredential, CheckGrantRequest, ConnectionStatus, CreateConnectionRequest,
        ListAuditRequest, ListConnectionsRequest, StaticCredential, TestConnectionRequest,
        TestConnectionResponse, static_credential::Kind,
    },
};
use keystile_domain::{ConnectionId, ErrorKind, MemberRole};
use serde_json::json;

use crate::world::{CANARY, Vault, World, bearer, team};

fn api_key() -> StaticCredential {
    StaticCredential { kind: Some(Kind::ApiKey(CANARY.to_owned())) }
}

fn basic() -> StaticCredential {
    let (username, password) = ("ada".to_owned(), CANARY.to_owned());
    StaticCredential { kind: Some(Kind::Basic(BasicCredential { username, password })) }
}

async fn test(vault: &Vault, id: ConnectionId) -> TestConnectionResponse {
    let request = TestConnectionRequest { connection_id: id.to_string() };
    let answer = vault.connections().test_connection(vault.by_owner(request)).await;
    answer.expect("tested").into_inner()
}

async fn problems(
    vault: &Vault,
    app: &str,
    id: Option<ConnectionId>,
    component: &str,
) -> Vec<String> {
    let request = CheckGrantRequest {
        team_id: team(1).to_string(),
        app_key: app.to_owned(),
        connection_id: id.map(|id| id.to_string()).unwrap_or_default(),
        components: vec![component.to_owned()],
    };
    let answer = vault.connections().check_grant(request).await.expect("answers").into_inner();
    answer.problems.into_iter().map(|problem| problem.code).collect()
}

#[tokio::test]
async fn each_kind_of_credential_arrives_where_the_app_wants_it_and_nowhere_else() {
    let world = World::new().await;
    let vault = world.start().await;
    let pair = STANDARD.encode(format!("ada:{CANARY}"));
    for (app, credential, header, expected) in [
        ("bearer", bearer(CANARY), "authorization", format!("Bearer {CANARY}")),
        ("basic", basic(), "authorization", format!("Basic {pair}")),
        ("header", api_key(), "x-key", CANARY.to_owned()),
        ("query", api_key(), "", format!("key={CANARY}")),
    ] {
        let id = vault.link(app, credential).await.expect("linked");
        let capability = vault.capability(&format!("action.{app}.read-echo"), Some(id));
        let (status, echo) = vault.run(&capability, json!({})).await.expect("runs");
        let sent = world.upstream.received().pop().expect("sent");
        let found = sent.headers.get(header).map_or(sent.uri.query(), |value| value.to_str().ok());
        assert_eq!((status, found), (200, Some(expected.as_str())), "{app}");
        // The app said what it was sent; the credential was taken out of that.
        let echo = echo.to_string();
        assert!(!echo.contains(CANARY) && !echo.contains(&pair), "{echo}");
    }
    vault.stop().await;
}

#[tokio::test]
async fn what_the_app_does_not_offer_is_refused() {
    let world = World::new().await;
    let vault = world.idle().await;
    for (app, credential, kind) in [
        ("bearer", api_key(), ErrorKind::Invalid),
        ("header", bearer("t"), ErrorKind::Invalid),
        ("query", basic(), ErrorKind::Invalid),
        ("open", bearer("t"), ErrorKind::Invalid),
        ("bearer", bearer("a\r\nb: c"), ErrorKind::Invalid),
        ("bearer", bearer(""), ErrorKind::Invalid),
        ("bearer", StaticCredential { kind: None }, ErrorKind::Invalid),
        ("nothing", bearer("t"), ErrorKind::NotFound),
        ("No App", bearer("t"), ErrorKind::Invalid),
    ] {
        let refused = vault.link(app, credential).await.expect_err("refused");
        assert_eq!(refused.kind, kind, "{refused:?}");
    }
    for (name, variables) in [("<b>", None), ("", None), ("ok", Some(("host", "evil")))] {
        let request = CreateConnectionRequest {
            app_key: "bearer".to_owned(),
            name: name.to_owned(),
            credential: Some(bearer("t")),
            server_variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
        };
        let answer = vault.connections().create_connection(vault.by_owner(request)).await;
        assert_eq!(Failure::from(answer.expect_err("bad")).kind, ErrorKind::Invalid);
    }
    let list = vault.by_owner(ListConnectionsRequest::default());
    let listed = vault.connections().list_connections(list).await.expect("lists").into_inner();
    assert_eq!(listed.connections, []);
}

#[tokio::test]
async fn a_test_stores_what_came_of_it() {
    let world = World::new().await;
    let vault = world.start().await;
    let good = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let tested = test(&vault, good).await;
    assert!(tested.ok, "{tested:?}");
    assert_eq!(problems(&vault, "bearer", Some(good), "action.bearer.read-echo").await, [""; 0]);

    let refused = vault.link("refuses", bearer(CANARY)).await.expect("linked");
    let tested = test(&vault, refused).await;
    assert!(!tested.ok);
    assert_eq!(vault.get(refused).await.expect("there").status(), ConnectionStatus::Expired);
    let component = "action.refuses.read-echo";
    assert_eq!(problems(&vault, "refuses", Some(refused), component).await, ["expired"]);
    let run = vault.run(&vault.capability(component, Some(refused)), json!({})).await;
    assert_eq!(run.expect_err("expired").reason, "connection_unusable");

    let inside = vault.link("inside", bearer(CANARY)).await.expect("linked");
    let tested = test(&vault, inside).await;
    assert_eq!(tested.connection.expect("there").status(), ConnectionStatus::Failing);
    assert!(!tested.detail.contains(CANARY));
    vault.stop().await;
}

#[tokio::test]
async fn a_grant_is_checked_against_catalog_and_connection() {
    let world = World::new().await;
    let vault = world.idle().await;
    let id = vault.link("bearer", bearer("t")).await.expect("linked");
    let read = "action.bearer.read-echo";
    for (app, connection, component, expected) in [
        ("bearer", Some(id), read, None),
        ("nothing", Some(id), read, Some("unknown_app")),
        ("bearer", Some(id), "action.bearer.nothing", Some("unknown_component")),
        ("bearer", None, read, Some("connection_required")),
        ("basic", Some(id), "action.basic.read-echo", Some("connection_of_another_app")),
        ("open", Some(id), "action.open.read-echo", Some("connection_not_needed")),
        ("open", None, "action.open.read-echo", None),
    ] {
        let found = problems(&vault, app, connection, component).await;
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
    vault.delete(id).await.expect("deleted");
    assert_eq!(problems(&vault, "bearer", Some(id), read).await, ["connection_not_found"]);
}

#[tokio::test]
async fn permissions_are_checked_here() {
    let world = World::new().await;
    let vault = world.idle().await;
    let id = vault.link("bearer", bearer("t")).await.expect("linked").to_string();
    let viewer = |connection_id: &str| {
        let request = TestConnectionRequest { connection_id: connection_id.to_owned() };
        vault.by(team(1), MemberRole::Viewer, request)
    };
    let answer = vault.connections().test_connection(viewer(&id)).await;
    let denied = Failure::from(answer.expect_err("a viewer"));
    assert_eq!(
        (denied.kind, denied.facts["required"].as_str()),
        (ErrorKind::Forbidden, "connections_write")
    );
    let developer = vault.by(team(1), MemberRole::Developer, ListAuditRequest::default());
    let denied = vault.connections().list_audit(developer).await.expect_err("a developer");
    for subject_id in ["conn_\0".to_owned(), "c".repeat(101)] {
        let request = ListAuditRequest { subject_id, ..ListAuditRequest::default() };
        let answer = vault.connections().list_audit(vault.by_owner(request)).await;
        assert_eq!(Failure::from(answer.expect_err("no id")).faults[0].field, "subject_id");
    }
    assert_eq!(Failure::from(denied).facts["required"], "audit_export");
    let list = vault.by(team(1), MemberRole::Viewer, ListConnectionsRequest::default());
    assert_eq!(
        vault
            .connections()
            .list_connections(list)
            .await
            .expect("reads")
            .into_inner()
            .connections
            .len(),
        1
    );
    let nobody = vault.connections().list_connections(ListConnectionsRequest::default()).await;
    assert_eq!(Failure::from(nobody.expect_err("no actor")).kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn lists_and_the_trail_come_in_pages() {
    let world = World::new().await;
    let vault = world.idle().await;
    for _ in 0..3 {
        vault.link("bearer", bearer(CANARY)).await.expect("linked");
        world.clock.advance(std::time::Duration::from_millis(2));
    }
    let mut tokens = vec![String::new()];
    let mut seen = 0;
    while let Some(page_token) = tokens.pop() {
        let request = ListConnectionsRequest { page_size: 2, page_token, app_key: String::new() };
        let page = vault.connections().list_connections(vault.by_owner(request)).await;
        let page = page.expect("lists").into_inner();
        seen += page.connections.len();
        tokens.extend(Some(page.next_page_token).filter(|token| !token.is_empty()));
    }
    assert_eq!(seen, 3);
    let request = ListAuditRequest { page_size: 2, ..ListAuditRequest::default() };
    let trail = vault.connections().list_audit(vault.by_owner(request)).await.expect("lists");
    let trail = trail.into_inner();
    assert_eq!((trail.entries.len(), trail.next_page_token.is_empty()), (2, false));
    assert_eq!(trail.entries[0].action, "connection.created");
    assert_eq!(trail.entries[0].actor_label, "ada@example.com");
    assert!(!format!("{trail:?}").contains(CANARY));
    let request = ListConnectionsRequest { page_size: 201, ..ListConnectionsRequest::default() };
    let refused = vault.connections().list_connections(vault.by_owner(request)).await;
    assert_eq!(Failure::from(refused.expect_err("too many")).kind, ErrorKind::Invalid);
}
