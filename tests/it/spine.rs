//! The main job: issue a key, run an action with it, revoke it.

use std::process::Command;

use keystile_tests::{Cluster, in_an_hour};
use serde_json::json;

const ECHO: &str = "/api/v1/components/action.sandbox.echo/run";

#[tokio::test]
async fn the_three_printed_commands_work_when_pasted() {
    let mut cluster = Cluster::newcomer().await;
    let log = cluster.log();
    let commands: Vec<_> =
        log.lines().map(str::trim).filter(|line| line.contains("curl ")).collect();
    assert_eq!(commands.len(), 3, "{log}");
    let mut answers = Vec::new();
    for command in commands {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(cluster.folder())
            .output()
            .expect("a shell");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        answers.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    assert!(answers[0].contains("action.sandbox."), "{}", answers[0]);
    assert!(answers[1].contains("\"outputs\""), "{}", answers[1]);
    assert!(answers[2].contains("\"component_not_allowed\""), "{}", answers[2]);
}

#[tokio::test]
async fn a_key_does_what_it_is_granted_and_nothing_once_it_is_revoked() {
    let mut cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (id, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let key = cluster.gateway().with_token(&token);

    let me = key.get("/api/v1/me").await.expect(200);
    assert_eq!(me.json["name"], "test key");
    let list = key.get("/api/v1/components/list").await.expect(200);
    assert_eq!(list.json.as_array().map(Vec::len), Some(1));
    let inputs = json!({"inputs": {"message": "hello"}});
    let ran = key.post(ECHO, &inputs).await.expect(200);
    assert_eq!(ran.json["outputs"]["message"], "hello");
    let other = "/api/v1/components/action.sandbox.delete-note/run";
    let refused = key.post(other, &json!({"inputs": {"noteId": "n1"}})).await;
    let refused = refused.expect_problem(403, "component_not_allowed");
    assert_eq!(refused.json["held"], json!(["action.sandbox.echo"]));

    let revoked =
        manage.post(&format!("/api/manage/v1/keys/{id}/revoke"), &json!({})).await.expect(200);
    let heard = |how: &str| revoked.json["receipt"][how].as_u64().expect("a count");
    let accounted = heard("acknowledged") + heard("waitedOut");
    assert_eq!(accounted, cluster.followers(), "{}", revoked.text);
    let _ = key.post(ECHO, &inputs).await.expect_problem(401, "revoked");
    let path = format!("/api/manage/v1/keys/{id}/enable");
    let _ = manage.post(&path, &json!({})).await.expect_problem(409, "key_revoked");
    let refusals = cluster.log();
    let refusals: Vec<_> =
        refusals.lines().filter(|line| line.contains("refused a call")).collect();
    assert_eq!(refusals, Vec::<&str>::new(), "no role asks for what another refuses");
}

#[tokio::test]
async fn each_cut_holds_from_the_moment_it_returns() {
    let cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let inputs = json!({"inputs": {"message": "hello"}});
    let both = ["action.sandbox.echo", "action.sandbox.list-notes"];
    let narrowed = json!({
        "connectionId": connection, "allowedComponents": ["action.sandbox.list-notes"],
    });
    for round in 0..20 {
        let (id, token) = cluster.key(&manage, &connection, &both).await;
        let key = cluster.gateway().with_token(&token);
        let _ = key.post(ECHO, &inputs).await.expect(200);
        let path = format!("/api/manage/v1/keys/{id}");
        match round % 5 {
            0 => {
                let _ = manage.post(&format!("{path}/disable"), &json!({})).await.expect(200);
                let _ = key.post(ECHO, &inputs).await.expect_problem(401, "disabled");
                let _ = manage.post(&format!("{path}/enable"), &json!({})).await.expect(200);
                let _ = key.post(ECHO, &inputs).await.expect(200);
            }
            1 => {
                let _ = manage.put(&format!("{path}/apps/sandbox"), &narrowed).await.expect(200);
                let _ = key.post(ECHO, &inputs).await.expect_problem(403, "component_not_allowed");
            }
            2 => {
                let _ = manage.delete(&format!("{path}/apps/sandbox")).await.expect(200);
                let _ = key.post(ECHO, &inputs).await.expect_problem(403, "component_not_allowed");
                let _ = key.get("/api/v1/me").await.expect(200);
            }
            3 => {
                let made = manage.post(&format!("{path}/regenerate"), &json!({})).await.expect(200);
                let _ = key.post(ECHO, &inputs).await.expect_problem(401, "invalid");
                let token = made.json["token"].as_str().expect("a token");
                let _ = cluster.gateway().with_token(token).post(ECHO, &inputs).await.expect(200);
            }
            _ => {
                let _ = manage.delete(&path).await.expect(200);
                let _ = key.post(ECHO, &inputs).await.expect_problem(401, "revoked");
                let _ = manage.get(&path).await.expect_problem(404, "not_found");
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_connection_stops_every_key_that_uses_it() {
    let cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (_, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let key = cluster.gateway().with_token(&token);
    let inputs = json!({"inputs": {"message": "hello"}});
    let _ = key.post(ECHO, &inputs).await.expect(200);
    let gone = manage.delete(&format!("/api/manage/v1/connections/{connection}")).await.expect(200);
    assert_eq!(gone.json["receipt"]["waitedOut"], 0, "{}", gone.text);
    let _ = key.post(ECHO, &inputs).await.expect_problem(403, "connection_not_allowed");
}

#[tokio::test]
async fn a_rotation_lets_both_tokens_work_until_it_is_ended() {
    let cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (id, old) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let path = format!("/api/manage/v1/keys/{id}");
    let far = json!({"overlapEndsAt": "2099-01-01T00:00:00Z"});
    let _ = manage.post(&format!("{path}/rotate"), &far).await.expect(422);
    let soon = json!({"overlapEndsAt": in_an_hour()});
    let made = manage.post(&format!("{path}/rotate"), &soon).await.expect(200);
    let new = made.json["token"].as_str().expect("a token").to_owned();
    let again = manage.post(&format!("{path}/rotate"), &soon).await;
    let _ = again.expect_problem(409, "rotation_in_progress");
    for token in [&old, &new] {
        let _ = cluster.gateway().with_token(token).get("/api/v1/me").await.expect(200);
    }
    let _ = manage.post(&format!("{path}/end-overlap"), &json!({})).await.expect(200);
    let _ = cluster.gateway().with_token(&old).get("/api/v1/me").await.expect(401);
    let _ = cluster.gateway().with_token(&new).get("/api/v1/me").await.expect(200);
}

#[tokio::test]
async fn it_drains_when_asked_and_starts_again_with_the_same_key() {
    let mut cluster = Cluster::start().await;
    let token = cluster.demo("KEYSTILE_DEMO_TOKEN");
    let status = cluster.stop().await;
    assert!(status.success(), "{status}\n{}", cluster.log());
    cluster.launch().await;
    assert_eq!(cluster.demo("KEYSTILE_DEMO_TOKEN"), token);
    let _ = cluster.gateway().with_token(&token).get("/api/v1/me").await.expect(200);
}
