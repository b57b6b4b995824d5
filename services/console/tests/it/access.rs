//! Who may do what, and what a token is worth.

use std::{fs, time::Duration};

use axum::http::{Method, StatusCode};
use keystile_console::store::{Audit, Store};
use keystile_domain::{
    AuditId, Clock as _,
    MemberRole::{self, Admin, Developer, Viewer},
};
use keystile_testkit::SeededEntropy;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::world::{OPERATOR, World, new_integration, new_key};

const KEYS: &str = "/api/manage/v1/keys";

#[tokio::test]
async fn bootstrap_keeps_hashes_only_and_refuses_an_address_that_has_a_user() {
    let world = World::new().await;
    let (made, token) = world.team("ada@example.com").await;
    assert_eq!(world.issuance.rows().teams, [made.team.to_string()]);
    let again = world.service.bootstrap("ADA@example.com", "Other").await.expect_err("taken");
    assert_eq!(again, keystile_console::Error::EmailTaken);
    assert_eq!(world.issuance.rows().teams.len(), 1, "nothing was made");
    assert!(world.service.bootstrap("nonsense", "Other").await.is_err());
    assert!(world.service.bootstrap("bob@example.com", "<b>").await.is_err());

    let minted = world.token(&token, "admin").await;
    assert_eq!(world.get(&minted, KEYS).await.status, StatusCode::OK);
    for entry in fs::read_dir(world.folder.path()).expect("lists") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("reads");
        let bytes = String::from_utf8_lossy(&bytes);
        assert!(!bytes.contains(made.password.expose_secret()));
        assert!(!bytes.contains(&token[4..47]));
        assert!(!bytes.contains(&minted[4..47]));
    }
    let trail = world.get(&token, "/api/manage/v1/audit").await;
    let list = world.get(&token, "/api/manage/v1/tokens").await;
    for told in [trail.text, list.text] {
        assert!(!told.contains("ksm_") && !told.contains("argon2"), "{told}");
    }
}

#[tokio::test]
async fn nothing_but_a_live_management_token_opens_the_api() {
    let world = World::new().await;
    let (_, token) = world.team("ada@example.com").await;
    let mut altered = token.clone();
    altered.replace_range(10..11, if &token[10..11] == "x" { "y" } else { "x" });
    let key = "ks_dev_0123456789abcdef_secret";
    for (header, value, code) in [
        ("authorization", format!("Bearer {key}"), "key_not_accepted"),
        ("authorization", format!("Bearer {altered}"), "invalid_token"),
        ("authorization", format!("Bearer {OPERATOR}"), "invalid_token"),
        ("authorization", format!("Basic {token}"), "token_required"),
        ("authorization", token.clone(), "token_required"),
        ("cookie", format!("token={token}"), "token_required"),
        ("x-api-key", token.clone(), "token_required"),
    ] {
        let answer = world.send(Method::GET, KEYS, &[(header, &value)], None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, code), "{header}: {value}");
        assert!(!answer.text.contains(&value));
    }

    let expiring = json!({"name": "short", "role": "viewer", "expiresAt": "2026-01-01T13:00:00Z"});
    let made = world.post(&token, "/api/manage/v1/tokens", expiring).await;
    let short = made.body["token"].as_str().expect("a token").to_owned();
    assert_eq!(world.get(&short, KEYS).await.status, StatusCode::OK);
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(world.get(&short, KEYS).await.code(), "token_expired");

    let victim = world.token(&token, "admin").await;
    let listed = world.get(&token, "/api/manage/v1/tokens").await;
    let id = listed.body["items"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/manage/v1/tokens/{id}");
    let auth = format!("Bearer {token}");
    for _ in 0..2 {
        let gone = world.send(Method::DELETE, &path, &[("authorization", &auth)], None).await;
        assert_eq!(gone.status, StatusCode::OK);
    }
    assert_eq!(world.get(&victim, KEYS).await.code(), "token_revoked");
}

#[tokio::test]
async fn each_role_may_do_what_the_matrix_says() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let key = |env: &str| {
        let (world, owner) = (&world, &owner);
        let body = new_key(env);
        async move {
            let made = world.post(owner, KEYS, body).await;
            made.body["key"]["id"].as_str().expect("an id").to_owned()
        }
    };
    let (dev, prod) = (key("dev").await, key("prod").await);
    let connection = json!({"appKey": "slack", "name": "c", "credential": {"bearerToken": "s"}});
    let made = world.post(&owner, "/api/manage/v1/connections", connection.clone()).await;
    let conn = made.body["id"].as_str().expect("an id").to_owned();
    let made = world.post(&owner, "/api/manage/v1/integrations", new_integration()).await;
    let int = made.body["id"].as_str().expect("an id").to_owned();
    let grant = json!({"allowedComponents": ["action.slack.post-message"]});
    let rotate = json!({"overlapEndsAt": "2026-01-02T12:00:00Z"});
    let token = json!({"name": "x", "role": "viewer"});
    let base = "/api/manage/v1";
    let component = "component=action.slack.post-message";
    let routes = [
        (Method::GET, format!("{base}/keys"), None, Viewer),
        (Method::GET, format!("{base}/keys/{prod}"), None, Viewer),
        (Method::GET, format!("{base}/apps"), None, Viewer),
        (Method::GET, format!("{base}/apps/slack"), None, Viewer),
        (Method::GET, format!("{base}/connections"), None, Viewer),
        (Method::GET, format!("{base}/connections/{conn}"), None, Viewer),
        (Method::GET, format!("{base}/apps/slack/connections?{component}"), None, Viewer),
        (Method::GET, format!("{base}/integrations"), None, Viewer),
        (Method::GET, format!("{base}/integrations/{int}"), None, Viewer),
        (Method::GET, format!("{base}/team"), None, Viewer),
        (Method::POST, format!("{base}/keys"), Some(new_key("dev")), Developer),
        (Method::POST, format!("{base}/keys"), Some(new_key("prod")), Admin),
        (Method::PATCH, format!("{base}/keys/{dev}"), Some(json!({"name": "n"})), Developer),
        (Method::PATCH, format!("{base}/keys/{prod}"), Some(json!({"name": "n"})), Admin),
        (Method::PUT, format!("{base}/keys/{dev}/apps/slack"), Some(grant), Developer),
        (Method::DELETE, format!("{base}/keys/{dev}/apps/slack"), None, Developer),
        (Method::POST, format!("{base}/keys/{dev}/disable"), None, Developer),
        (Method::POST, format!("{base}/keys/{prod}/disable"), None, Admin),
        (Method::POST, format!("{base}/keys/{dev}/enable"), None, Developer),
        (Method::POST, format!("{base}/keys/{dev}/regenerate"), None, Developer),
        (Method::POST, format!("{base}/keys/{dev}/rotate"), Some(rotate), Developer),
        (Method::POST, format!("{base}/keys/{dev}/end-overlap"), None, Developer),
        (Method::POST, format!("{base}/keys/{dev}/revoke"), None, Developer),
        (Method::POST, format!("{base}/connections"), Some(connection), Developer),
        (Method::POST, format!("{base}/connections/{conn}/test"), None, Developer),
        (Method::POST, format!("{base}/integrations"), Some(new_integration()), Admin),
        (Method::PATCH, format!("{base}/integrations/{int}"), Some(json!({"name": "n"})), Admin),
        (Method::POST, format!("{base}/integrations/{int}/disable"), None, Admin),
        (Method::POST, format!("{base}/integrations/{int}/enable"), None, Admin),
        (Method::POST, format!("{base}/integrations/{int}/check"), None, Admin),
        (
            Method::POST,
            format!("{base}/integrations/{int}/connect"),
            Some(json!({"name": "Ada"})),
            Developer,
        ),
        (Method::GET, format!("{base}/audit"), None, Admin),
        (Method::GET, format!("{base}/tokens"), None, Admin),
        (Method::POST, format!("{base}/tokens"), Some(token), Admin),
    ];
    for role in MemberRole::ALL {
        let token = world.token(&owner, role.as_str()).await;
        let auth = format!("Bearer {token}");
        for (method, path, body, least) in &routes {
            let headers = [("authorization", auth.as_str())];
            let answer = world.send(method.clone(), path, &headers, body.clone()).await;
            if role >= *least {
                assert!(answer.status.is_success(), "{role:?} {method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.code(), "permission_denied", "{role:?} {method} {path}");
                assert_eq!(answer.status, StatusCode::FORBIDDEN);
            }
        }
    }
}

#[tokio::test]
async fn nobody_makes_or_revokes_a_token_above_their_own_role() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let admin = world.token(&owner, "admin").await;
    let body = json!({"name": "up", "role": "owner"});
    let refused = world.post(&admin, "/api/manage/v1/tokens", body).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "role_too_high"));
    let listed = world.get(&admin, "/api/manage/v1/tokens").await;
    let of_owner = listed.body["items"].as_array().expect("items").iter();
    let of_owner = of_owner.clone().find(|token| token["role"] == "owner").expect("bootstrap's");
    let path = format!("/api/manage/v1/tokens/{}", of_owner["id"].as_str().expect("an id"));
    let auth = format!("Bearer {admin}");
    let refused = world.send(Method::DELETE, &path, &[("authorization", &auth)], None).await;
    assert_eq!(refused.code(), "role_too_high");
    assert_eq!(world.get(&owner, KEYS).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_worth_no_more_than_its_creators_role_is_now() {
    let world = World::new().await;
    let (made, owner) = world.team("ada@example.com").await;
    let audit = || Audit {
        id: AuditId::generate(world.clock.now(), &SeededEntropy::new(9)),
        at: world.clock.now(),
        team: made.team,
        actor: "operator".to_owned(),
        actor_label: "operator".to_owned(),
        action: "member.role_set".to_owned(),
        subject_id: made.user.to_string(),
        subject_label: "ada@example.com".to_owned(),
        before: String::new(),
        after: String::new(),
        request_id: String::new(),
        source_ip: String::new(),
    };
    assert_eq!(world.get(&owner, "/api/manage/v1/team").await.body["role"], "owner");
    let demoted =
        world.store.set_member_role(made.team, made.user, Some(MemberRole::Viewer), audit());
    assert!(demoted.await.expect("stored"));
    assert_eq!(world.get(&owner, "/api/manage/v1/team").await.body["role"], "viewer");
    let refused = world.post(&owner, KEYS, new_key("dev")).await;
    assert_eq!(refused.code(), "permission_denied");
    let told = world.issuance.rows().actors.last().expect("an actor").permissions.clone();
    assert_eq!(told, MemberRole::Viewer.permissions());
    world.clock.advance(Duration::from_millis(5));
    let left = world.store.set_member_role(made.team, made.user, None, audit());
    assert!(left.await.expect("stored"));
    assert_eq!(world.get(&owner, KEYS).await.code(), "token_creator_left");
}

#[tokio::test]
async fn the_operator_api_takes_the_operator_token_alone() {
    let world = World::new().await;
    let (made, owner) = world.team("ada@example.com").await;
    let path = format!("/api/operator/v1/teams/{}/plan", made.team);
    let plan = json!({"name": "small", "apiAccess": true, "maxKeys": 3});
    for token in [owner.as_str(), "", &OPERATOR[1..], "ks_dev_x"] {
        let auth = format!("Bearer {token}");
        let headers = [("authorization", auth.as_str())];
        let refused = world.send(Method::PUT, &path, &headers, Some(plan.clone())).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (401, "operator_token_required"));
    }
    let auth = format!("Bearer {OPERATOR}");
    let headers = [("authorization", auth.as_str())];
    let set = world.send(Method::PUT, &path, &headers, Some(plan)).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    assert_eq!(set.body["team"]["plan"]["maxKeys"], 3);
    assert_eq!(set.body["receipt"]["acknowledged"], 3);
}
