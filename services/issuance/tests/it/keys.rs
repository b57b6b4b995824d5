//! Creating, reading, changing and ending keys.

use keystile_contract::{
    convert::timestamp,
    proto::issuance::v1::{
        CreateKeyRequest, DeleteKeyRequest, DisableKeyRequest, EnableKeyRequest, Expiry,
        GetKeyRequest, IpAllowList, KeyStatus, ListKeysRequest, PutGrantRequest,
        RegenerateKeyRequest, RemoveGrantRequest, RevokeKeyRequest, UpdateKeyRequest,
    },
};
use keystile_domain::{Clock, ErrorKind, MemberRole};

use crate::world::{World, grant, new_key, receipt, ring};

#[tokio::test]
async fn a_created_key_is_what_was_asked_for_and_its_token_is_genuine() {
    for world in [World::memory().await, World::sqlite().await] {
        let owner = world.team().await;
        let (key, token) = world.key(&owner).await;
        let genuine = ring().authenticate(&token).expect("genuine");
        assert_eq!(key.public_key, format!("pk_dev_{}", genuine.kid));
        assert_eq!(key.masked_token, format!("ks_dev_{}…", &genuine.kid.as_str()[..6]));
        assert_eq!(key.status(), KeyStatus::Active);
        assert_eq!(key.grants, vec![grant("sandbox", &["echo", "list-items"])]);
        assert_eq!(key.secrets.len(), 1);
        assert_eq!(key.secrets[0].token_key_version, 2);
        let request = world.by(&owner, GetKeyRequest { key_id: key.id.clone() });
        let got = world.keys().get_key(request).await.expect("found").into_inner();
        assert_eq!(got.key, Some(key));
    }
}

type Spoil = Box<dyn Fn(&mut CreateKeyRequest)>;

#[tokio::test]
async fn a_new_key_that_breaks_a_rule_is_refused_by_its_field_and_nothing_is_changed() {
    let world = World::memory().await;
    let owner = world.team().await;
    let past = timestamp(world.clock.now());
    let sandbox = || grant("sandbox", &["echo"]);
    let cases: Vec<(&str, Spoil)> = vec![
        (
            "name",
            Box::new(|new| {
                new.name = "<b>".into();
            }),
        ),
        ("name", Box::new(|new| new.name = "n".repeat(10_000))),
        ("name", Box::new(|new| new.name = "a\u{0}b".into())),
        ("description", Box::new(|new| new.description = "d".repeat(1_001))),
        ("environment", Box::new(|new| new.environment = 0)),
        ("environment", Box::new(|new| new.environment = 9)),
        ("expires_at", Box::new(move |new| new.expires_at = Some(past))),
        (
            "ip_allow_list[1]",
            Box::new(|new| {
                new.ip_allow_list = vec!["10.0.0.0/8".into(), "10.0.0.300".into()];
            }),
        ),
        (
            "ip_allow_list",
            Box::new(|new| {
                new.ip_allow_list = (0..101).map(|last| format!("10.0.0.{last}")).collect();
            }),
        ),
        (
            "limits",
            Box::new(|new| {
                new.limits = Some(keystile_contract::proto::common::v1::Limits {
                    requests_per_minute: Some(0),
                    requests_per_month: None,
                });
            }),
        ),
        ("grants", Box::new(|new| new.grants = vec![])),
        ("grants[0].allowed_components", Box::new(|new| new.grants = vec![grant("sandbox", &[])])),
        ("grants[1].app_key", Box::new(move |new| new.grants = vec![sandbox(), sandbox()])),
        ("grants[0].app_key", Box::new(|new| new.grants[0].app_key = "../sandbox".into())),
        (
            "grants[0].allowed_components[1]",
            Box::new(|new| {
                new.grants[0].allowed_components[1] = "action.sandbox.%2F".into();
            }),
        ),
        (
            "grants[0].allowed_components",
            Box::new(|new| {
                new.grants[0].allowed_components[1] = "action.gmail.send".into();
            }),
        ),
        ("grants[0].connection_id", Box::new(|new| new.grants[0].connection_id = "conn_1".into())),
        ("operation_id", Box::new(|new| new.operation_id = "op".into())),
    ];
    for (field, spoil) in cases {
        let mut request = new_key("fine");
        spoil(&mut request);
        let refused = World::refused(world.keys().create_key(world.by(&owner, request)).await);
        assert_eq!(refused.kind, ErrorKind::Invalid, "{field}: {refused:?}");
        assert_eq!(refused.faults[0].field, field);
    }
    let list = world.by(&owner, ListKeysRequest::default());
    assert!(world.keys().list_keys(list).await.expect("listed").into_inner().keys.is_empty());
}

#[tokio::test]
async fn each_role_may_do_to_keys_what_the_matrix_says() {
    let world = World::memory().await;
    let owner = world.team().await;
    let team = owner.0.team.expect("a team");
    for (role, environment, allowed) in [
        (MemberRole::Viewer, 3, false),
        (MemberRole::Developer, 3, true),
        (MemberRole::Developer, 2, true),
        (MemberRole::Developer, 1, false),
        (MemberRole::Admin, 1, true),
        (MemberRole::Owner, 1, true),
    ] {
        let person = world.member(team, role);
        let mut request = new_key("a key");
        request.environment = environment;
        let result = world.keys().create_key(world.by(&person, request.clone())).await;
        assert_eq!(result.is_ok(), allowed, "{role:?} {environment}");
        let made = world.keys().create_key(world.by(&owner, request)).await.expect("by the owner");
        let key_id = made.into_inner().key.expect("a key").id;
        let request = RevokeKeyRequest { key_id: key_id.clone(), operation_id: String::new() };
        let result = world.keys().revoke_key(world.by(&person, request)).await;
        assert_eq!(result.is_ok(), allowed, "{role:?} {environment}");
        if !allowed {
            assert_eq!(World::refused(result).reason, "permission_denied");
        }
        assert!(world.keys().get_key(world.by(&person, GetKeyRequest { key_id })).await.is_ok());
    }
    let anonymous = tonic::Request::new(new_key("a key"));
    let refused = World::refused(world.keys().create_key(anonymous).await);
    assert_eq!(refused.kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_is_a_cut_when_it_narrows() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let hour = timestamp(world.clock.now() + time::Duration::hours(1));
    let day = timestamp(world.clock.now() + time::Duration::days(1));
    let nets = |list: &[&str]| {
        Some(IpAllowList { networks: list.iter().map(ToString::to_string).collect() })
    };
    let per_minute = |count| {
        Some(keystile_contract::proto::common::v1::Limits {
            requests_per_minute: count,
            requests_per_month: None,
        })
    };
    let update = |change: UpdateKeyRequest| UpdateKeyRequest { key_id: key.id.clone(), ..change };
    let none = UpdateKeyRequest::default;
    for (what, request, cut) in [
        ("rename", UpdateKeyRequest { name: Some("new".into()), ..none() }, false),
        ("describe", UpdateKeyRequest { description: Some("why".into()), ..none() }, false),
        (
            "first expiry",
            UpdateKeyRequest { expiry: Some(Expiry { at: Some(day) }), ..none() },
            true,
        ),
        ("earlier", UpdateKeyRequest { expiry: Some(Expiry { at: Some(hour) }), ..none() }, true),
        ("later", UpdateKeyRequest { expiry: Some(Expiry { at: Some(day) }), ..none() }, false),
        ("never", UpdateKeyRequest { expiry: Some(Expiry { at: None }), ..none() }, false),
        ("ip", UpdateKeyRequest { ip_allow_list: nets(&["10.0.0.0/8"]), ..none() }, true),
        ("wider", UpdateKeyRequest { ip_allow_list: nets(&["10.0.0.0/7"]), ..none() }, false),
        ("anywhere", UpdateKeyRequest { ip_allow_list: nets(&[]), ..none() }, false),
        ("limit", UpdateKeyRequest { limits: per_minute(Some(60)), ..none() }, true),
        ("raised", UpdateKeyRequest { limits: per_minute(Some(61)), ..none() }, false),
        ("unlimited", UpdateKeyRequest { limits: per_minute(None), ..none() }, false),
    ] {
        let answer = world.keys().update_key(world.by(&owner, update(request))).await;
        let outcome = answer.expect(what).into_inner().outcome.expect("an outcome");
        assert_eq!(outcome.receipt.is_some(), cut, "{what}");
    }
    let past = Expiry { at: Some(timestamp(world.clock.now())) };
    let request = update(UpdateKeyRequest { expiry: Some(past), ..none() });
    let refused = World::refused(world.keys().update_key(world.by(&owner, request)).await);
    assert_eq!(refused.faults[0].field, "expiry.at");
    let request = world.by(&owner, GetKeyRequest { key_id: key.id.clone() });
    let got = world.keys().get_key(request).await.expect("found").into_inner().key;
    let got = got.expect("a key");
    assert_eq!((got.name.as_str(), got.description.as_str()), ("new", "why"));
    assert!(got.expires_at.is_none() && got.ip_allow_list.is_empty());
}

#[tokio::test]
async fn disabling_stops_a_key_and_enabling_lets_it_work_again() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let disable = || DisableKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let first = world.keys().disable_key(world.by(&owner, disable())).await.expect("disabled");
    let first = first.into_inner();
    assert_eq!(first.key.expect("a key").status(), KeyStatus::Disabled);
    let seq = receipt(first.outcome).seq;
    let again = world.keys().disable_key(world.by(&owner, disable())).await.expect("disabled");
    assert_eq!(receipt(again.into_inner().outcome).seq, seq, "the stored cut is waited for");
    let request = EnableKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let enabled = world.keys().enable_key(world.by(&owner, request)).await.expect("enabled");
    let enabled = enabled.into_inner();
    assert_eq!(enabled.key.expect("a key").status(), KeyStatus::Active);
    assert!(enabled.outcome.expect("an outcome").receipt.is_none());
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_a_repeat_returns_the_stored_cut() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let revoke = || RevokeKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let first = world.keys().revoke_key(world.by(&owner, revoke())).await.expect("revoked");
    let seq = receipt(first.into_inner().outcome).seq;
    let again = world.keys().revoke_key(world.by(&owner, revoke())).await.expect("revoked");
    assert_eq!(receipt(again.into_inner().outcome).seq, seq);

    let key_id = key.id.clone();
    let request = EnableKeyRequest { key_id: key_id.clone(), ..Default::default() };
    let enable = World::refused(world.keys().enable_key(world.by(&owner, request)).await);
    let request = RegenerateKeyRequest { key_id: key_id.clone(), ..Default::default() };
    let regenerate = World::refused(world.keys().regenerate_key(world.by(&owner, request)).await);
    let request = RemoveGrantRequest {
        key_id: key_id.clone(),
        app_key: "sandbox".into(),
        ..Default::default()
    };
    let remove = World::refused(world.keys().remove_grant(world.by(&owner, request)).await);
    let request =
        UpdateKeyRequest { key_id: key_id.clone(), name: Some("new".into()), ..Default::default() };
    let update = World::refused(world.keys().update_key(world.by(&owner, request)).await);
    for refused in [enable, regenerate, remove, update] {
        assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Conflict, "key_revoked"));
    }
}

#[tokio::test]
async fn a_deleted_key_is_gone_from_reads_and_deleting_it_again_returns_the_stored_cut() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let delete = || DeleteKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let first = world.keys().delete_key(world.by(&owner, delete())).await.expect("deleted");
    let seq = receipt(first.into_inner().outcome).seq;
    let request = GetKeyRequest { key_id: key.id.clone() };
    let got = World::refused(world.keys().get_key(world.by(&owner, request)).await);
    assert_eq!(got.kind, ErrorKind::NotFound);
    let list = world.by(&owner, ListKeysRequest::default());
    assert!(world.keys().list_keys(list).await.expect("listed").into_inner().keys.is_empty());
    let request = RevokeKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let revoke = World::refused(world.keys().revoke_key(world.by(&owner, request)).await);
    assert_eq!(revoke.kind, ErrorKind::NotFound);
    let again = world.keys().delete_key(world.by(&owner, delete())).await.expect("deleted");
    assert_eq!(receipt(again.into_inner().outcome).seq, seq);
}

#[tokio::test]
async fn an_operation_that_comes_again_and_says_something_else_is_refused_and_changes_nothing() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        let (key, _) = world.key(&owner).await;
        let put = |components: &[&str]| PutGrantRequest {
            key_id: key.id.clone(),
            operation_id: "op_01jd0000000000000000000000".into(),
            grant: Some(grant("sandbox", components)),
        };
        let mut keys = world.keys();
        for again in ["made", "repeated"] {
            let answer = keys.put_grant(world.by(&owner, put(&["echo"]))).await;
            let outcome = answer.expect(again).into_inner().outcome.expect("an outcome");
            assert_eq!(outcome.receipt.expect("it narrows").seq, 3, "{again}");
        }
        let other = keys.put_grant(world.by(&owner, put(&["list-items"]))).await;
        assert_eq!(World::refused(other).reason, "operation_reused");
        let request = world.by(&owner, GetKeyRequest { key_id: key.id.clone() });
        let key = keys.get_key(request).await.expect("read").into_inner().key.expect("a key");
        assert_eq!(key.grants[0].allowed_components, ["action.sandbox.echo"]);
        assert_eq!(world.store.epoch().await.expect("read").head, 3);
    }
}

#[tokio::test]
async fn a_retried_create_is_refused_with_the_keys_id_and_no_token() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let mut request = new_key("a key");
    request.operation_id = world.operation();
    let first = world.keys().create_key(world.by(&owner, request.clone())).await.expect("created");
    let key = first.into_inner().key.expect("a key");
    let refused = World::refused(world.keys().create_key(world.by(&owner, request.clone())).await);
    assert_eq!(
        (refused.kind, refused.reason.as_str()),
        (ErrorKind::Conflict, "operation_repeated")
    );
    assert_eq!(refused.facts.get("key_id"), Some(&key.id));
    assert!(!format!("{refused:?}").contains("ks_dev_"));
    let list = world.by(&owner, ListKeysRequest::default());
    let listed = world.keys().list_keys(list).await.expect("listed").into_inner().keys;
    assert_eq!(listed.len(), 1);

    // The same operation id names another change, or belongs to another team.
    let revoke = RevokeKeyRequest { key_id: key.id, operation_id: request.operation_id.clone() };
    let refused = World::refused(world.keys().revoke_key(world.by(&owner, revoke)).await);
    assert_eq!(refused.reason, "operation_reused");
    let stranger = world.team().await;
    assert!(world.keys().create_key(world.by(&stranger, request)).await.is_ok());
}

#[tokio::test]
async fn a_retried_revoke_is_recognised_by_its_operation_id() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let request = RevokeKeyRequest { key_id: key.id.clone(), operation_id: world.operation() };
    let first = world.keys().revoke_key(world.by(&owner, request.clone())).await.expect("revoked");
    let again = world.keys().revoke_key(world.by(&owner, request)).await.expect("revoked");
    let (first, again) = (first.into_inner(), again.into_inner());
    assert_eq!(first.key, again.key);
    assert_eq!(receipt(first.outcome).seq, receipt(again.outcome).seq);
}

#[tokio::test]
async fn an_expiry_finer_than_what_is_stored_is_no_change_when_it_is_repeated() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let mut end = timestamp(world.clock.now() + time::Duration::HOUR);
    end.nanos = 123_456_789;
    let update = || UpdateKeyRequest {
        key_id: key.id.clone(),
        expiry: Some(Expiry { at: Some(end) }),
        ..Default::default()
    };
    let cut = world.keys().update_key(world.by(&owner, update())).await.expect("cut").into_inner();
    let told = cut.key.expect("a key").expires_at.expect("an end");
    assert_eq!(told.nanos, 123_456_000, "what is stored");
    let again = world.keys().update_key(world.by(&owner, update())).await.expect("waited for");
    assert_eq!(receipt(again.into_inner().outcome).seq, receipt(cut.outcome).seq, "the same cut");
}
