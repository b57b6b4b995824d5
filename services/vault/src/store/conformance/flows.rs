//! Connect flows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keystile_domain::name::Name;
use keystile_testkit::on_every_backend;

use super::{ANY_DATA_KEY, NOW, integrations::int, keys, migrated, team, uuid};
use crate::{
    audit::Who,
    connect::{Flow, FlowId, TTL},
    store::Store,
};

fn flow(number: u128) -> Flow {
    Flow {
        id: FlowId(uuid(number)),
        team: team(1),
        integration: int(10),
        name: Name::new("Ada's account").expect("a name"),
        again: None,
        variables: BTreeMap::from([("shop".to_owned(), "tea".to_owned())]),
        who: Who { label: "ada@example.com".to_owned(), ..Who::vault() },
        return_url: Some("https://app.example/done".to_owned()),
        expires_at: NOW + TTL,
        attempt: 0,
    }
}

const TICKET: [u8; 32] = [1; 32];
const COOKIE: [u8; 32] = [2; 32];
const STATE: [u8; 32] = [3; 32];

/// What is sealed for a flow.
fn secret(noise: u8) -> Vec<u8> {
    keys::sealed_under(ANY_DATA_KEY, noise).bytes
}

/// A flow that a browser has opened and begun.
async fn begun(store: &dyn Store) -> Flow {
    store.insert_flow(&flow(1), &TICKET).await.expect("stored");
    let opened = store.open_flow(int(10), &TICKET, &COOKIE, NOW).await.expect("works");
    assert_eq!(opened, Some(flow(1)));
    keys::add_data_key(store, team(1), ANY_DATA_KEY).await;
    assert_eq!(store.begin_flow(FlowId(uuid(1)), 1, &STATE, &secret(1)).await, Ok(true));
    Flow { attempt: 1, ..flow(1) }
}

async fn a_ticket_is_used_once(store: Arc<dyn Store>) {
    store.insert_flow(&flow(1), &TICKET).await.expect("stored");
    let open = async |integration, ticket, at| {
        store.open_flow(integration, ticket, &COOKIE, at).await.expect("works").is_some()
    };
    assert!(!open(int(11), &TICKET, NOW).await, "another integration");
    assert!(!open(int(10), &COOKIE, NOW).await, "another ticket");
    assert!(!open(int(10), &TICKET, NOW + TTL).await, "too late");
    assert!(open(int(10), &TICKET, NOW).await);
    assert!(!open(int(10), &TICKET, NOW).await, "again");
    let find = async |integration, cookie, at| {
        store.flow_of_cookie(integration, cookie, at).await.expect("works")
    };
    assert_eq!(find(int(10), &COOKIE, NOW).await, Some(flow(1)));
    assert_eq!(find(int(11), &COOKIE, NOW).await, None);
    assert_eq!(find(int(10), &TICKET, NOW).await, None);
    assert_eq!(find(int(10), &COOKIE, NOW + TTL).await, None);
}

async fn only_its_browser_integration_and_last_state_end_a_flow(store: Arc<dyn Store>) {
    let own = begun(&*store).await;
    let other = [9; 32];
    for (integration, cookie, state) in
        [(int(11), &COOKIE, &STATE), (int(10), &other, &STATE), (int(10), &COOKIE, &other)]
    {
        assert_eq!(store.end_flow(integration, cookie, state).await, Ok(None));
    }
    // Begun once more: the first state is nothing any more, and no attempt comes twice.
    assert_eq!(store.begin_flow(own.id, 2, &other, &secret(2)).await, Ok(true));
    assert_eq!(store.begin_flow(own.id, 2, &STATE, &secret(3)).await, Ok(false));
    assert_eq!(store.end_flow(int(10), &COOKIE, &STATE).await, Ok(None));
    let ended = store.end_flow(int(10), &COOKIE, &other).await;
    assert_eq!(ended, Ok(Some((Flow { attempt: 2, ..own }, secret(2)))));
    assert_eq!(store.end_flow(int(10), &COOKIE, &other).await, Ok(None));
}

async fn of_many_who_end_a_flow_one_does(store: Arc<dyn Store>) {
    begun(&*store).await;
    let ends = (0..8).map(|_| store.end_flow(int(10), &COOKIE, &STATE));
    let ended = futures::future::join_all(ends).await;
    let won = ended.into_iter().filter(|end| end.as_ref().is_ok_and(Option::is_some));
    assert_eq!(won.count(), 1);
}

async fn flows_that_are_over_are_forgotten(store: Arc<dyn Store>) {
    begun(&*store).await;
    assert_eq!(store.prune_flows(NOW + TTL).await, Ok(0));
    assert_eq!(store.prune_flows(NOW + TTL + Duration::from_secs(1)).await, Ok(1));
    assert_eq!(store.end_flow(int(10), &COOKIE, &STATE).await, Ok(None));
}

on_every_backend! {
    migrated:
    a_ticket_is_used_once
    only_its_browser_integration_and_last_state_end_a_flow
    of_many_who_end_a_flow_one_does
    flows_that_are_over_are_forgotten
}
