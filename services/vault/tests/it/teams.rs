//! Threat 33: another team's connection, by every rpc.

use keystile_contract::{
    Failure,
    proto::vault::v1::{
        CheckGrantRequest, DeleteConnectionRequest, GetConnectionRequest, ListAuditRequest,
        ListConnectionsRequest, TestConnectionRequest,
    },
};
use keystile_domain::{ErrorKind, MemberRole};
use serde_json::json;

use crate::world::{CANARY, World, bearer, team};

#[tokio::test]
async fn another_team_s_connection_is_not_there() {
    let world = World::new().await;
    let vault = world.start().await;
    let id = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let connection_id = id.to_string();
    for role in MemberRole::ALL {
        let mut client = vault.connections();
        let get = GetConnectionRequest { connection_id: connection_id.clone() };
        let test = TestConnectionRequest { connection_id: connection_id.clone() };
        let delete = DeleteConnectionRequest { connection_id: connection_id.clone() };
        let answers = [
            client.get_connection(vault.by(team(2), role, get)).await.map(drop),
            client.test_connection(vault.by(team(2), role, test)).await.map(drop),
            client.delete_connection(vault.by(team(2), role, delete)).await.map(drop),
        ];
        for answer in answers {
            let failure = Failure::from(answer.expect_err("foreign"));
            let denied = role == MemberRole::Viewer && failure.kind == ErrorKind::Forbidden;
            assert!(failure.kind == ErrorKind::NotFound || denied, "{failure:?}");
        }
        let list = vault.by(team(2), role, ListConnectionsRequest::default());
        let listed = client.list_connections(list).await.expect("lists").into_inner();
        assert_eq!(listed.connections, []);
    }
    let trail = vault.by(
        team(2),
        MemberRole::Owner,
        ListAuditRequest { subject_id: connection_id.clone(), ..ListAuditRequest::default() },
    );
    let trail = vault.connections().list_audit(trail).await.expect("lists").into_inner();
    assert_eq!(trail.entries, []);
    let grant = CheckGrantRequest {
        team_id: team(2).to_string(),
        app_key: "bearer".to_owned(),
        connection_id,
        components: vec!["action.bearer.read-echo".to_owned()],
    };
    let checked = vault.connections().check_grant(grant).await.expect("answers").into_inner();
    assert_eq!(checked.problems[0].code, "connection_not_found");

    // And nothing of it changed.
    let capability = vault.capability("action.bearer.read-echo", Some(id));
    assert_eq!(vault.run(&capability, json!({})).await.expect("still works").0, 200);
    assert_eq!(world.upstream.received().len(), 1);
    assert!(world.issuance.state().attempts.is_empty());
    vault.stop().await;
}
