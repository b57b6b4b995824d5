//! kill -9 at random moments of create, regenerate and revoke: the old state or the new one, with its audit
//! row, never half.

use std::time::Duration;

use keystile_tests::{Api, Cluster};
use reqwest::Method;
use serde_json::{Value, json};

/// What is interrupted.
#[derive(Debug, Clone, Copy)]
enum Change {
    Create,
    Regenerate,
    Revoke,
}

/// A small generator of delays; the run number is its seed, so that a failure can be repeated.
fn delay(round: u32) -> Duration {
    let mixed = u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    // A change takes a few milliseconds: before, during and after it.
    Duration::from_micros(mixed % 12_000)
}

/// Every audit row about `subject`, by what was done.
async fn trail(manage: &Api, subject: &str) -> Vec<String> {
    let path = format!("/api/manage/v1/audit?subject={subject}&page_size=200");
    let list = manage.get(&path).await.expect(200);
    let items = list.json["items"].as_array().expect("items").clone();
    items.iter().map(|item| item["action"].as_str().expect("an action").to_owned()).collect()
}

async fn keys_named(manage: &Api, name: &str) -> Vec<Value> {
    let list = manage.get(&format!("/api/manage/v1/keys?name={name}")).await.expect(200);
    list.json["items"].as_array().expect("items").clone()
}

/// Interrupts one change and says whether it took effect.
async fn round(cluster: &mut Cluster, number: u32, change: Change, connection: &str) -> bool {
    let manage = cluster.manage();
    let name = format!("round-{number}");
    let body = json!({"name": name, "environment": "dev", "connections": [{
        "appKey": "sandbox", "connectionId": connection, "allowedComponents": ["action.sandbox.echo"],
    }]});
    let (mut id, mut token) = (String::new(), String::new());
    if !matches!(change, Change::Create) {
        let made = manage.post("/api/manage/v1/keys", &body).await.expect(201);
        made.json["key"]["id"].as_str().expect("an id").clone_into(&mut id);
        made.json["token"].as_str().expect("a token").clone_into(&mut token);
    }
    let (path, sent) = match change {
        Change::Create => ("/api/manage/v1/keys".to_owned(), body),
        Change::Regenerate => (format!("/api/manage/v1/keys/{id}/regenerate"), json!({})),
        Change::Revoke => (format!("/api/manage/v1/keys/{id}/revoke"), json!({})),
    };
    let request = tokio::spawn({
        let manage = manage.clone();
        async move { manage.try_send(Method::POST, &path, &[], Some(&sent)).await }
    });
    // The moment of the cut is the point of the test: there is no condition to wait for.
    tokio::time::sleep(delay(number)).await;
    cluster.kill();
    let answered = request.await.expect("joins").ok().filter(|reply| reply.status.is_success());
    cluster.launch().await;

    let manage = cluster.manage();
    let key = cluster.gateway().with_token(&token);
    let (done, trail) = match change {
        Change::Create => {
            let found = keys_named(&manage, &name).await;
            assert!(found.len() <= 1, "{found:?}");
            let Some(found) = found.first() else {
                assert!(answered.is_none(), "round {number}: an answered create is gone");
                return false;
            };
            assert_eq!(
                found["apps"].as_array().or(found["connections"].as_array()).map(Vec::len),
                Some(1)
            );
            (true, trail(&manage, found["id"].as_str().expect("an id")).await)
        }
        Change::Regenerate => {
            let works = key.get("/api/v1/me").await.status.as_u16() == 200;
            (!works, trail(&manage, &id).await)
        }
        Change::Revoke => {
            let shown = manage.get(&format!("/api/manage/v1/keys/{id}")).await.expect(200);
            let revoked = shown.json["key"]["status"].as_str().or(shown.json["status"].as_str())
                == Some("revoked");
            let works = key.get("/api/v1/me").await.status.as_u16() == 200;
            assert_ne!(revoked, works, "round {number}: half a revoke");
            (revoked, trail(&manage, &id).await)
        }
    };
    let action = match change {
        Change::Create => "key.created",
        Change::Regenerate => "key.regenerated",
        Change::Revoke => "key.revoked",
    };
    let rows = trail.iter().filter(|row| *row == action).count();
    assert_eq!(rows, usize::from(done), "round {number} {change:?}: {trail:?}");
    assert!(done || answered.is_none(), "round {number}: an answered {change:?} is gone");
    if let (Change::Regenerate, Some(reply)) = (change, answered) {
        let new = reply.json["token"].as_str().expect("a token");
        let _ = cluster.gateway().with_token(new).get("/api/v1/me").await.expect(200);
    }
    done
}

async fn rounds(count: u32) {
    let mut cluster = Cluster::start().await;
    let connection = cluster.sandbox_connection(&cluster.manage()).await;
    let mut done = 0;
    for number in 0..count {
        let change = [Change::Create, Change::Regenerate, Change::Revoke][number as usize % 3];
        done += u32::from(round(&mut cluster, number, change, &connection).await);
    }
    println!(
        "{count} power cuts: {done} changes took effect, {} did not, none by half",
        count - done
    );
    assert!(count < 100 || (done > 0 && done < count), "every cut fell on the same side");
}

#[tokio::test]
async fn a_power_cut_leaves_the_old_state_or_the_new_one() {
    rounds(12).await;
}

#[tokio::test]
#[ignore = "deep: tests/deep power_cut"]
async fn deep_two_hundred_power_cuts() {
    rounds(200).await;
}
