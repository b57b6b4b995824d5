//! Threat 12: what is secret is searched for in everything Keystile says and stores.

use keystile_tests::{Cluster, in_an_hour};
use serde_json::json;

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[tokio::test]
async fn no_secret_is_in_any_answer_log_or_database_file() {
    let (mut cluster, teams) = Cluster::start_with(&["team"]).await;
    let manage = cluster.console().with_token(&teams[0].token);
    let canary = "canary-credential-Zk3vX9qLm2";
    let body = json!({"appKey": "slack", "name": "canary", "credential": {"bearerToken": canary}});
    let made = manage.post("/api/manage/v1/connections", &body).await.expect(201);
    let canary_connection = made.json["id"].as_str().expect("an id").to_owned();

    let connection = cluster.sandbox_connection(&manage).await;
    let (id, first) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let path = format!("/api/manage/v1/keys/{id}");
    let mut tokens = vec![first];
    for change in ["regenerate", "rotate"] {
        let body =
            if change == "rotate" { json!({"overlapEndsAt": in_an_hour()}) } else { json!({}) };
        let made = manage.post(&format!("{path}/{change}"), &body).await.expect(200);
        tokens.push(made.json["token"].as_str().expect("a token").to_owned());
    }
    let minted = cluster.answers().len();

    // Everything that could repeat them.
    for token in &tokens {
        let key = cluster.gateway().with_token(token);
        let run = "/api/v1/components/action.sandbox.echo/run";
        let _ = key.post(run, &json!({"inputs": {"message": "hello"}})).await;
        let _ = key.get("/api/v1/me").await;
        let _ = key.get("/api/v1/nothing").await;
        // A token where it does not belong must not be written down.
        let _ = cluster.gateway().get(&format!("/api/v1/me?token={token}")).await;
        let _ = cluster.console().with_token(token).get("/api/manage/v1/keys").await;
    }
    for path in [
        &*path,
        "/api/manage/v1/keys",
        "/api/manage/v1/audit",
        "/api/manage/v1/connections",
        "/api/manage/v1/tokens",
    ] {
        let _ = manage.get(path).await.expect(200);
    }
    let _ = manage
        .post(&format!("/api/manage/v1/connections/{canary_connection}/test"), &json!({}))
        .await;
    let _ = manage.patch(&path, &json!({"name": "renamed"})).await.expect(200);
    let client_secret = "canary-client-secret-Hq7tB4wY";
    let client = json!({
        "appKey": "sandbox", "name": "canary", "clientId": "a client",
        "clientSecret": client_secret,
    });
    let made = manage.post("/api/manage/v1/integrations", &client).await.expect(201);
    let own = format!("/api/manage/v1/integrations/{}", made.json["id"].as_str().expect("an id"));
    let changed = json!({"clientSecret": client_secret});
    let _ = manage.patch(&own, &changed).await.expect(200);
    let _ = manage.patch(&own, &json!({"clientSecret": [client_secret]})).await.expect(422);
    let _ = manage.post(&format!("{own}/check"), &json!({})).await.expect(200);
    let _ = manage.get("/api/manage/v1/integrations").await.expect(200);

    let mut secrets: Vec<String> =
        tokens.iter().map(|token| token[token.len() - 51..].to_owned()).collect();
    secrets.extend([canary, client_secret].map(str::to_owned));
    secrets.push(teams[0].token["ksm_".len()..].to_owned());
    secrets.push(cluster.demo("KEYSTILE_DEMO_SANDBOX_TOKEN"));
    let mut sinks: Vec<(String, Vec<u8>)> = cluster.answers()[minted..]
        .iter()
        .map(|answer| ("an answer".to_owned(), answer.clone().into_bytes()))
        .collect();
    let status = cluster.stop().await;
    assert!(status.success(), "{status}");
    let stored = cluster.stored();
    for known in [id.as_str(), "renamed", "canary"] {
        let known = known.rsplit('_').next().unwrap_or(known);
        let found = stored.iter().any(|(_, bytes)| contains(bytes, known.as_bytes()));
        assert!(found, "{known:?} is stored: what was written is searched");
    }
    sinks.extend(stored);
    assert!(sinks.iter().any(|(name, _)| name.contains(".log")), "the log is searched");
    let mut searched = 0;
    for (name, bytes) in &sinks {
        for secret in &secrets {
            for form in
                [secret.clone(), hex(secret.as_bytes()), hex(secret.as_bytes()).to_uppercase()]
            {
                assert!(!contains(bytes, form.as_bytes()), "a secret is in {name}");
                searched += 1;
            }
        }
    }
    println!("{searched} searches in {} sinks", sinks.len());
}
