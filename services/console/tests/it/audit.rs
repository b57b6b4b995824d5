//! Three trails as one.

use axum::http::StatusCode;
use keystile_contract::proto::common::v1::AuditEntry;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::world::World;

/// A page of `entries`, newest first, as the services cut them: the token is the last id shown.
pub(crate) fn page(entries: Vec<AuditEntry>, size: u32, token: &str) -> (Vec<AuditEntry>, String) {
    let from = entries.iter().position(|entry| entry.id == token).map_or(0, |at| at + 1);
    let mut rest: Vec<_> = entries.into_iter().skip(from).collect();
    let more = rest.len() > size as usize;
    rest.truncate(size as usize);
    let next = rest.last().filter(|_| more).map(|entry| entry.id.clone()).unwrap_or_default();
    (rest, next)
}

#[tokio::test]
async fn pages_of_any_size_show_every_row_once_newest_first_while_rows_are_added() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let mut expected = Vec::new();
    for round in 0..40_u32 {
        // An uneven mix, so that the trails' pages end at different places.
        let id = match round * round % 7 {
            0 | 1 => world.vault.audited("connection.created"),
            _ => world.issuance.audited("key.created"),
        };
        expected.push(id);
        if round % 9 == 0 {
            world.token(&owner, "viewer").await;
        }
    }
    expected.reverse();
    let whole = world.get(&owner, "/api/manage/v1/audit?page_size=200").await;
    let ids = |body: &serde_json::Value| -> Vec<String> {
        let items = body["items"].as_array().expect("items").iter();
        items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    let all = ids(&whole.body);
    assert_eq!(whole.body["nextCursor"], serde_json::Value::Null);
    assert_eq!(all.len(), 40 + 5 + 3);
    let outside: Vec<_> = all.iter().filter(|id| expected.contains(id)).cloned().collect();
    assert_eq!(outside, expected);
    let times = whole.body["items"].as_array().expect("items").iter();
    let times = times.map(|item| item["at"].as_str().expect("a time"));
    let times: Vec<_> =
        times.map(|at| OffsetDateTime::parse(at, &Rfc3339).expect("RFC 3339")).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older));

    for size in [1, 2, 7, 20] {
        let mut seen = Vec::new();
        let mut path = format!("/api/manage/v1/audit?page_size={size}");
        loop {
            let answer = world.get(&owner, &path).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            seen.extend(ids(&answer.body));
            world.issuance.audited("key.updated");
            let Some(cursor) = answer.body["nextCursor"].as_str() else { break };
            path = format!("/api/manage/v1/audit?page_size={size}&cursor={cursor}");
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), seen.len(), "no row twice at size {size}");
        assert!(all.iter().all(|id| seen.contains(id)), "every row at size {size}");
    }
    for cursor in ["x", "e30", "W10"] {
        let refused = world.get(&owner, &format!("/api/manage/v1/audit?cursor={cursor}")).await;
        assert_eq!(refused.code(), "invalid_cursor");
    }
}
