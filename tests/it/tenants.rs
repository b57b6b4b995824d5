//! Threat 33: another team's id gets the answer of an id that does not exist. The matrix is generated from the
//! published description of the management API, so a new route is in it by itself.

use std::collections::BTreeMap;

use keystile_tests::{Api, Cluster, in_an_hour};
use reqwest::Method;
use serde_json::{Value, json};

/// A body that passes the route's own checks, so that only the id can be what is refused.
fn body(route: &str) -> Value {
    match route.rsplit('/').next() {
        Some("rotate") => json!({"overlapEndsAt": in_an_hour()}),
        Some("{appKey}") => {
            json!({"connectionId": null, "allowedComponents": ["action.sandbox.echo"]})
        }
        Some("{id}" | "connect") => json!({"name": "renamed"}),
        _ => json!({}),
    }
}

fn method(verb: &str) -> Option<Method> {
    Method::from_bytes(verb.to_uppercase().as_bytes()).ok().filter(|method| {
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
    })
}

async fn answer(api: &Api, verb: &Method, path: &str, body: &Value) -> (u16, String) {
    let body = (*verb != Method::GET && *verb != Method::DELETE).then_some(body);
    let reply = api.try_send(verb.clone(), path, &[], body).await.expect("an answer");
    let mut problem = reply.json;
    for varying in ["requestId", "instance"] {
        problem[varying] = Value::Null;
    }
    (reply.status.as_u16(), problem.to_string())
}

#[tokio::test]
async fn every_route_answers_a_foreign_id_as_an_unknown_one() {
    let (cluster, teams) = Cluster::start_with(&["mine", "theirs"]).await;
    let mine = cluster.console().with_token(&teams[0].token);
    let theirs = cluster.console().with_token(&teams[1].token);
    let connection = cluster.sandbox_connection(&theirs).await;
    let (key, token) = cluster.key(&theirs, &connection, &["action.sandbox.echo"]).await;
    let client = json!({"appKey": "sandbox", "name": "ours", "clientId": "a client"});
    let made = theirs.post("/api/manage/v1/integrations", &client).await.expect(201);
    let integration = made.json["id"].as_str().expect("an id").to_owned();
    let tokens = theirs.get("/api/manage/v1/tokens").await.expect(200);
    let management = tokens.json["items"][0]["id"].as_str().expect("an id").to_owned();
    let revoked =
        theirs.post(&format!("/api/manage/v1/keys/{key}/disable"), &json!({})).await.expect(200);
    let operation = revoked.json["operationId"].as_str().expect("an id").to_owned();
    let _ = theirs.post(&format!("/api/manage/v1/keys/{key}/enable"), &json!({})).await.expect(200);
    // What stands before `{id}` in a path: (foreign, unknown).
    let ids = BTreeMap::from([
        ("/keys/", (key.clone(), "key_00000000000000000000000000")),
        ("/connections/", (connection.clone(), "conn_00000000000000000000000000")),
        ("/integrations/", (integration.clone(), "int_00000000000000000000000000")),
        ("/tokens/", (management, "mtok_00000000000000000000000000")),
        ("/cuts/", (operation, "op_00000000000000000000000000")),
        ("/teams/", (teams[1].id.clone(), "team_00000000000000000000000000")),
        ("/token-keys/", ("250".to_owned(), "251")),
    ]);
    let document = mine.get("/api/manage/v1/openapi.json").await.expect(200);
    let mut tried = 0;
    for (route, verbs) in document.json["paths"].as_object().expect("paths") {
        if !route.contains("{id}") {
            continue;
        }
        let Some((_, (foreign, unknown))) =
            ids.iter().find(|(before, _)| route.contains(&format!("{before}{{id}}")))
        else {
            panic!("{route} takes an id of a kind that this test does not know");
        };
        for verb in verbs.as_object().expect("verbs").keys().filter_map(|verb| method(verb)) {
            let fill = |id: &str| route.replace("{id}", id).replace("{appKey}", "sandbox");
            let body = body(route);
            let to_foreign = answer(&mine, &verb, &fill(foreign), &body).await;
            let to_unknown = answer(&mine, &verb, &fill(unknown), &body).await;
            // No management token opens the operator's routes, whatever the id.
            let expected = if route.starts_with("/api/operator/") { 401 } else { 404 };
            assert_eq!(to_foreign.0, expected, "{verb} {route}: {}", to_foreign.1);
            assert_eq!(
                to_foreign.1.replace(foreign.as_str(), "ID"),
                to_unknown.1.replace(unknown, "ID"),
                "{verb} {route}"
            );
            tried += 1;
        }
    }
    assert!(tried >= 27, "only {tried} routes with an id were found");
    println!("{tried} route and verb pairs with a foreign id");

    // Nothing of the other team moved, and nothing of it is listed.
    let _ = cluster.gateway().with_token(&token).get("/api/v1/me").await.expect(200);
    let own = format!("/api/manage/v1/integrations/{integration}");
    let still = theirs.get(&own).await.expect(200);
    assert_eq!((&still.json["version"], &still.json["status"]), (&json!(1), &json!("draft")));
    let matching = "apps/sandbox/connections?component=action.sandbox.echo";
    for path in ["keys", "connections", "integrations", matching, "audit", "tokens"] {
        let list = mine.get(&format!("/api/manage/v1/{path}")).await.expect(200);
        for id in [&key, &connection, &integration, &teams[1].id] {
            assert!(!list.text.contains(id.as_str()), "{path}: {}", list.text);
        }
    }
}
