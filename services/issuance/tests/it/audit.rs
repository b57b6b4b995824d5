//! Every change leaves one row in the trail.

use std::time::Duration;

use keystile_contract::{
    convert::timestamp,
    proto::{
        common::v1::AuditEntry,
        issuance::v1::{
            DeleteKeyRequest, DisableKeyRequest, EnableKeyRequest, EndOverlapRequest,
            ListAuditRequest, PutGrantRequest, RegenerateKeyRequest, RemoveGrantRequest,
            ResumeTeamRequest, RevokeKeyRequest, RotateKeyRequest, SuspendTeamRequest,
            UpdateKeyRequest,
        },
    },
};
use keystile_domain::{Clock, MemberRole};

use crate::world::{Person, World, grant};

async fn trail(world: &World, person: &Person, request: ListAuditRequest) -> Vec<AuditEntry> {
    let page = world.keys().list_audit(world.by(person, request)).await.expect("listed");
    page.into_inner().entries
}

#[tokio::test]
async fn every_change_has_its_row_with_who_what_when_and_where_from() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        let team_id = owner.0.team.expect("a team").to_string();
        let (key, token) = world.key(&owner).await;
        let key_id = key.id.clone();
        let end = Some(timestamp(world.clock.now() + Duration::from_hours(1)));
        let mut keys = world.keys();
        macro_rules! done {
            ($method:ident, $request:expr) => {
                keys.$method(world.by(&owner, $request)).await.expect(stringify!($method))
            };
        }
        done!(
            update_key,
            UpdateKeyRequest {
                key_id: key_id.clone(),
                name: Some("renamed".into()),
                ..Default::default()
            }
        );
        done!(
            put_grant,
            PutGrantRequest {
                key_id: key_id.clone(),
                grant: Some(grant("gmail", &["send-email"])),
                ..Default::default()
            }
        );
        done!(
            remove_grant,
            RemoveGrantRequest {
                key_id: key_id.clone(),
                app_key: "gmail".into(),
                ..Default::default()
            }
        );
        done!(disable_key, DisableKeyRequest { key_id: key_id.clone(), ..Default::default() });
        done!(enable_key, EnableKeyRequest { key_id: key_id.clone(), ..Default::default() });
        done!(
            rotate_key,
            RotateKeyRequest { key_id: key_id.clone(), overlap_ends_at: end, ..Default::default() }
        );
        done!(end_overlap, EndOverlapRequest { key_id: key_id.clone(), ..Default::default() });
        done!(
            regenerate_key,
            RegenerateKeyRequest { key_id: key_id.clone(), ..Default::default() }
        );
        done!(revoke_key, RevokeKeyRequest { key_id: key_id.clone(), ..Default::default() });
        done!(delete_key, DeleteKeyRequest { key_id: key_id.clone(), ..Default::default() });
        let operator = World::operator();
        let request = SuspendTeamRequest { team_id: team_id.clone() };
        world.teams().suspend_team(world.by(&operator, request)).await.expect("suspended");
        let request = ResumeTeamRequest { team_id };
        world.teams().resume_team(world.by(&operator, request)).await.expect("resumed");

        let entries = trail(&world, &owner, ListAuditRequest::default()).await;
        let actions: Vec<_> = entries.iter().rev().map(|entry| entry.action.as_str()).collect();
        assert_eq!(
            actions,
            [
                "team.created",
                "key.created",
                "key.updated",
                "key.grant_put",
                "key.grant_removed",
                "key.disabled",
                "key.enabled",
                "key.rotated",
                "key.overlap_ended",
                "key.regenerated",
                "key.revoked",
                "key.deleted",
                "team.suspended",
                "team.resumed",
            ]
        );
        let head = world.store.epoch().await.expect("read").head;
        assert_eq!(head, entries.len() as u64, "one row of the log each");
        let renamed = &entries[entries.len() - 3];
        assert_eq!(renamed.before, r#"{"name":"a key"}"#);
        assert_eq!(renamed.after, r#"{"name":"renamed"}"#);
        assert_eq!(renamed.subject_id, key_id);
        assert_eq!(renamed.subject_label, format!("a key ({})", key.public_key), "as it then was");
        assert_eq!(renamed.actor_label, "owner@example.com");
        assert!(renamed.actor.starts_with("user_"));
        assert_eq!(renamed.source_ip, "192.0.2.7");
        assert_eq!(renamed.request_id, "req-1");
        assert_eq!(renamed.at, Some(timestamp(world.clock.now())));
        let disabled = entries.iter().find(|entry| entry.action == "key.disabled").expect("there");
        assert_eq!(disabled.subject_label, format!("renamed ({})", key.public_key));
        assert_eq!(entries[0].actor, "operator");
        let cuts = entries.iter().rev().filter(|entry| entry.receipt.is_some());
        let cuts: Vec<_> = cuts.map(|entry| entry.action.as_str()).collect();
        assert_eq!(
            cuts,
            [
                "key.grant_removed",
                "key.disabled",
                "key.overlap_ended",
                "key.regenerated",
                "key.revoked",
                "key.deleted",
                "team.suspended",
            ],
            "every cut's row has its receipt"
        );
        let secret = &token[token.len() - 51..token.len() - 6];
        assert!(entries.iter().all(|entry| {
            let text = format!("{}{}", entry.before, entry.after);
            !text.contains(secret) && !text.contains("argon2")
        }));
    }
}

#[tokio::test]
async fn the_trail_pages_newest_first_and_by_subject_and_needs_its_permission() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(world.key(&owner).await.0.id);
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListAuditRequest { page_size: 3, page_token, subject_id: String::new() };
        let page = world.keys().list_audit(world.by(&owner, request)).await.expect("listed");
        let page = page.into_inner();
        seen.extend(page.entries.into_iter().map(|entry| entry.seq));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (1..=8).rev().collect::<Vec<u64>>());
    let request = ListAuditRequest { subject_id: ids[4].clone(), ..Default::default() };
    let of_one = trail(&world, &owner, request).await;
    assert_eq!(of_one.len(), 1);
    assert_eq!(of_one[0].subject_id, ids[4]);
    let developer = world.member(owner.0.team.expect("a team"), MemberRole::Developer);
    let request = world.by(&developer, ListAuditRequest::default());
    let refused = World::refused(world.keys().list_audit(request).await);
    assert_eq!(refused.facts.get("required").map(String::as_str), Some("audit_export"));
}
