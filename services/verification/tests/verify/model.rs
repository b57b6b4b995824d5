//! Random grants and requests against a reference model of ten lines.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use keystile_domain::{
    Clock, ComponentId, ConnectionId, Grant,
    facts::{GrantFacts, KeyStatus, Request},
};
use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use crate::{Rig, word};

/// A key: of each of three apps, perhaps a grant of some of its three components.
#[derive(Debug, Clone)]
struct Key {
    status: u8,
    suspended: bool,
    plan: bool,
    expired: bool,
    network: bool,
    grants: [Option<Held>; 3],
}

#[derive(Debug, Clone)]
struct Held {
    components: BTreeSet<u8>,
    connection: Option<u8>,
    usable: bool,
}

/// A request: component of app, connection, whether from inside the key's network.
#[derive(Debug, Clone)]
struct Asked {
    component: Option<(u8, u8)>,
    connection: Option<u8>,
    inside: Option<bool>,
}

/// The reference.
fn model(key: &Key, asked: &Asked) -> &'static str {
    let held = asked.component.and_then(|(app, component)| {
        key.grants[usize::from(app)].as_ref().filter(|held| held.components.contains(&component))
    });
    let other_account =
        |held: &Held| asked.connection.is_some() && asked.connection != held.connection;
    match (asked.component, held) {
        _ if key.status == 2 => "revoked",
        _ if key.status == 1 => "disabled",
        _ if key.suspended => "suspended",
        _ if key.expired => "expired",
        _ if !key.plan => "plan_required",
        _ if key.network && asked.inside != Some(true) => "ip_not_allowed",
        (Some(_), None) => "component_not_allowed",
        (Some(_), Some(held)) if !held.usable || other_account(held) => "connection_not_allowed",
        (Some(_), Some(_)) | (None, _) => "allowed",
    }
}

fn component(app: u8, component: u8) -> ComponentId {
    format!("action.app-{app}.do-{component}").parse().expect("a component id")
}

fn connection(id: u8) -> ConnectionId {
    ConnectionId::from_uuid(Uuid::from_u128(id.into()))
}

fn grants(key: &Key) -> Box<[GrantFacts]> {
    let held = (0..).zip(&key.grants).filter_map(|(app, held)| Some((app, held.as_ref()?)));
    held.map(|(app, held)| {
        let components = held.components.iter().map(|at| component(app, *at)).collect();
        let connection = held.connection.map(connection);
        let app = component(app, 0).app_key();
        let grant = Grant::new(app, connection, None, components).expect("valid");
        GrantFacts { grant, usable: held.usable }
    })
    .collect()
}

fn any_key() -> impl Strategy<Value = Key> {
    let held = (
        proptest::collection::btree_set(0..3_u8, 1..=3),
        option::of(0..2_u8),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(components, connection, usable)| Held { components, connection, usable });
    let status = prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(2)];
    let rarely = || prop::bool::weighted(0.1);
    let grants = [option::of(held.clone()), option::of(held.clone()), option::of(held)];
    (status, rarely(), prop::bool::weighted(0.9), rarely(), any::<bool>(), grants).prop_map(
        |(status, suspended, plan, expired, network, grants)| Key {
            status,
            suspended,
            plan,
            expired,
            network,
            grants,
        },
    )
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let component = option::weighted(0.9, (0..3_u8, 0..3_u8));
    (component, option::of(0..2_u8), option::weighted(0.9, prop::bool::weighted(0.8)))
        .prop_map(|(component, connection, inside)| Asked { component, connection, inside })
}

/// Every request cold and warm.
async fn agrees(key: &Key, requests: &[Asked]) -> Result<(), TestCaseError> {
    let rig = Rig::new().await;
    let now = rig.clock.now();
    let (_, token) = rig.issuance.create(|facts| {
        facts.status = KeyStatus::ALL[usize::from(key.status)];
        facts.team_suspended = key.suspended;
        facts.api_access = key.plan;
        facts.expires_at = key.expired.then_some(now - Duration::from_secs(1));
        if key.network {
            facts.ip_allow_list = Box::new(["192.0.2.0/24".parse().expect("a network")]);
        }
        facts.grants = grants(key);
    });
    rig.issuance.barrier().await;
    for asked in requests.iter().chain(requests) {
        let component = asked.component.map(|(app, at)| component(app, at));
        let address = |inside| if inside { "192.0.2.7" } else { "198.51.100.7" };
        let request = Request {
            component: component.as_ref(),
            connection: asked.connection.map(connection),
            source_ip: asked
                .inside
                .map(|inside| address(inside).parse::<IpAddr>().expect("an address")),
        };
        let answer = rig.ask(&token, request, None).await;
        prop_assert_eq!(answer.as_ref().map(word), Ok(model(key, asked)), "{:?} {:?}", key, asked);
    }
    prop_assert_eq!(rig.lookups(), 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_grants_and_requests_agree_with_the_reference_model(
        key in any_key(),
        requests in vec(any_asked(), 1..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(agrees(&key, &requests))?;
    }
}
