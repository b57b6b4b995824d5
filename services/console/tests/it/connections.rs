//! `/connections`, and which of them serve an app's components.

use axum::http::{Method, StatusCode};
use keystile_contract::{
    Failure, convert,
    proto::vault::v1::{Connection, FieldsCredential, GrantProblem, static_credential::Kind},
};
use keystile_domain::{Clock as _, IntegrationId};
use keystile_testkit::SeededEntropy;
use serde_json::{Value, json};

use crate::world::World;

const CONNECTIONS: &str = "/api/manage/v1/connections";

pub(crate) async fn connection(world: &World, token: &str) -> String {
    let body = json!({"appKey": "slack", "name": "c", "credential": {"bearerToken": "s"}});
    let made = world.post(token, CONNECTIONS, body).await;
    made.body["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn every_kind_of_credential_reaches_vault_as_it_is() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let id = IntegrationId::generate(world.clock.now(), &SeededEntropy::new(5)).to_string();
    let values = [("api_key".to_owned(), "a".to_owned()), ("DD-APP".to_owned(), "b".to_owned())];
    for (credential, kind) in [
        (
            json!({"fields": {"api_key": "a", "DD-APP": "b"}}),
            Kind::Fields(FieldsCredential { values: values.into() }),
        ),
        (json!({"integrationId": id}), Kind::IntegrationId(id.clone())),
        (json!({"apiKey": "k"}), Kind::ApiKey("k".to_owned())),
    ] {
        let body = json!({"appKey": "slack", "name": "c", "credential": credential});
        let made = world.post(&owner, CONNECTIONS, body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(world.vault.rows().credentials.pop().expect("one").kind, Some(kind));
    }
    for (credential, pointer) in [
        (json!({"integrationId": "int_x"}), "/credential/integrationId"),
        (json!({"fields": {"x": 1}}), "/credential/fields/x"),
        (json!({"fields": {}, "apiKey": "k"}), "/credential"),
    ] {
        let body = json!({"appKey": "slack", "name": "c", "credential": credential});
        let refused = world.post(&owner, CONNECTIONS, body).await;
        assert_eq!(refused.code(), "invalid_request", "{refused:?}");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn what_a_provider_issued_is_shown_without_its_tokens() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let id = connection(&world, &owner).await;
    let shown = world.get(&owner, &format!("{CONNECTIONS}/{id}")).await.body;
    assert_eq!((&shown["integrationId"], &shown["scopes"]), (&Value::Null, &json!([])));
    assert_eq!(shown["expiresAt"], Value::Null);
    let now = world.clock.now();
    {
        let mut rows = world.vault.rows();
        let row: &mut Connection = &mut rows.connections[0].1;
        "oauth2".clone_into(&mut row.auth_scheme);
        "int_1".clone_into(&mut row.integration_id);
        row.scopes = vec!["read".to_owned()];
        row.expires_at = Some(convert::timestamp(now + std::time::Duration::from_hours(1)));
    }
    let shown = world.get(&owner, &format!("{CONNECTIONS}/{id}")).await.body;
    assert_eq!(
        (&shown["authScheme"], &shown["integrationId"]),
        (&json!("oauth2"), &json!("int_1"))
    );
    assert_eq!(shown["scopes"], json!(["read"]));
    assert_eq!(shown["expiresAt"], "2026-01-01T13:00:00Z");
    assert_eq!(world.get(&owner, CONNECTIONS).await.body["items"][0], shown);
    let gone = world.act(&owner, Method::DELETE, &format!("{CONNECTIONS}/{id}")).await;
    assert_eq!((gone.status, &gone.body["status"]), (StatusCode::OK, &json!("done")));
}

#[tokio::test]
async fn an_apps_connections_are_told_with_what_is_in_their_way() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let id = connection(&world, &owner).await;
    let path = "/api/manage/v1/apps/slack/connections";
    let asked =
        format!("{path}?component=action.slack.a&page_size=7&component=trigger.slack.b&cursor=c");
    let answer = world.get(&owner, &asked).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["items"][0]["connection"]["id"], id);
    assert_eq!(
        (&answer.body["items"][0]["usable"], &answer.body["items"][0]["problems"]),
        (&json!(true), &json!([]))
    );
    {
        let rows = world.vault.rows();
        let sent = &rows.matched[0];
        assert_eq!(sent.components, ["action.slack.a", "trigger.slack.b"]);
        assert_eq!((&*sent.app_key, sent.page_size, &*sent.page_token), ("slack", 7, "c"));
    }
    let problem = |component: &str, code: &str| GrantProblem {
        component: component.to_owned(),
        code: code.to_owned(),
        detail: "why".to_owned(),
    };
    world.vault.rows().problems =
        vec![problem("", "expired"), problem("action.slack.a", "missing_scopes")];
    let answer = world.get(&owner, &asked).await;
    assert_eq!(answer.body["items"][0]["usable"], false);
    assert_eq!(
        answer.body["items"][0]["problems"],
        json!([
            {"component": null, "code": "expired", "detail": "why"},
            {"component": "action.slack.a", "code": "missing_scopes", "detail": "why"},
        ])
    );

    let sent = world.vault.rows().matched.len();
    for query in [
        "",
        "?component=",
        "?component=nonsense",
        "?component=action.slack.a&x=1",
        "?component=action.slack.a&cursor=a&cursor=b",
        "?component=action.slack.a&page_size=0",
        "?component=action.slack.a&page_size=x",
        "?component=action.slack.a&page_size=1&page_size=1",
    ] {
        let refused = world.get(&owner, &format!("{path}{query}")).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "invalid_query"), "{query}");
    }
    assert_eq!(world.vault.rows().matched.len(), sent, "nobody was asked");
    world.vault.rows().refusal = Some(Failure::invalid("components", "the app has no such one"));
    let refused = world.get(&owner, &asked).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "invalid_query"));
    assert_eq!(refused.body["detail"], "component: the app has no such one");
}
