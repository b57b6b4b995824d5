//! Listing keys: pages, filter, sort.

use keystile_contract::proto::{
    common::v1::Environment,
    issuance::v1::{DisableKeyRequest, KeySort, KeyStatus, ListKeysRequest},
};
use keystile_issuance::store::fold;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::world::{Person, World, grant, new_key};

async fn create(world: &World, owner: &Person, name: &str) {
    world.keys().create_key(world.by(owner, new_key(name))).await.expect("created");
}

/// All names that a list answers, in its order, a page at a time.
async fn names(world: &World, owner: &Person, list: ListKeysRequest) -> Vec<String> {
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListKeysRequest { page_token, ..list.clone() };
        let page = world.keys().list_keys(world.by(owner, request)).await.expect("listed");
        let page = page.into_inner();
        names.extend(page.keys.into_iter().map(|key| key.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return names;
        }
    }
}

#[tokio::test]
async fn pages_of_every_order_have_each_key_once() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        let given = ["b", "A", "a", "Zebra", "éclair", "10", "B", "a"];
        for name in given {
            create(&world, &owner, name).await;
            world.clock.wall.advance(std::time::Duration::from_millis(1));
        }
        let by = |sort: KeySort| ListKeysRequest {
            page_size: 3,
            sort: sort.into(),
            ..Default::default()
        };
        let oldest = names(&world, &owner, by(KeySort::CreatedAsc)).await;
        assert_eq!(oldest, given);
        let mut newest = names(&world, &owner, by(KeySort::Unspecified)).await;
        assert_eq!(newest, names(&world, &owner, by(KeySort::CreatedDesc)).await);
        newest.reverse();
        assert_eq!(newest, given);
        let a_first = names(&world, &owner, by(KeySort::NameAsc)).await;
        assert_eq!(a_first, ["10", "A", "a", "a", "b", "B", "Zebra", "éclair"]);
        let mut z_first = names(&world, &owner, by(KeySort::NameDesc)).await;
        z_first.reverse();
        assert_eq!(z_first, a_first);
    }
}

#[tokio::test]
async fn a_page_stays_where_it_is_while_keys_come() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    for name in ["one", "two", "three"] {
        create(&world, &owner, name).await;
        world.clock.wall.advance(std::time::Duration::from_millis(1));
    }
    let list = ListKeysRequest { page_size: 2, ..Default::default() };
    let first = world.keys().list_keys(world.by(&owner, list)).await.expect("listed");
    create(&world, &owner, "four").await;
    let page_token = first.into_inner().next_page_token;
    let next = ListKeysRequest { page_size: 2, page_token, ..Default::default() };
    let next = world.keys().list_keys(world.by(&owner, next)).await.expect("listed").into_inner();
    assert_eq!(next.keys.into_iter().map(|key| key.name).collect::<Vec<_>>(), ["one"]);
}

#[tokio::test]
async fn filters_by_environment_status_and_app() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        create(&world, &owner, "dev").await;
        let mut request = new_key("staging");
        request.environment = Environment::Stg.into();
        request.grants.push(grant("gmail", &["send-email"]));
        let made = world.keys().create_key(world.by(&owner, request)).await.expect("created");
        let key_id = made.into_inner().key.expect("a key").id;
        let request = DisableKeyRequest { key_id, ..Default::default() };
        world.keys().disable_key(world.by(&owner, request)).await.expect("disabled");
        let all = ListKeysRequest::default;
        for (list, expected) in [
            (ListKeysRequest { environment: Environment::Stg.into(), ..all() }, vec!["staging"]),
            (ListKeysRequest { status: KeyStatus::Active.into(), ..all() }, vec!["dev"]),
            (ListKeysRequest { status: KeyStatus::Revoked.into(), ..all() }, vec![]),
            (ListKeysRequest { app_key: "gmail".into(), ..all() }, vec!["staging"]),
            (ListKeysRequest { app_key: "sandbox".into(), ..all() }, vec!["staging", "dev"]),
            (ListKeysRequest { app_key: "slack".into(), ..all() }, vec![]),
        ] {
            let mut found = names(&world, &owner, list.clone()).await;
            found.sort_by(|a, b| b.cmp(a));
            assert_eq!(found, expected, "{list:?}");
        }
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused_by_its_field() {
    let world = World::memory().await;
    let owner = world.team().await;
    create(&world, &owner, "one").await;
    create(&world, &owner, "two").await;
    let first = ListKeysRequest { page_size: 1, ..Default::default() };
    let first = world.keys().list_keys(world.by(&owner, first)).await.expect("listed");
    let page_token = first.into_inner().next_page_token;
    let all = ListKeysRequest::default;
    for (field, list) in [
        ("page_size", ListKeysRequest { page_size: 201, ..all() }),
        ("page_token", ListKeysRequest { page_token: "x".into(), ..all() }),
        ("page_token", ListKeysRequest { page_token, sort: KeySort::NameAsc.into(), ..all() }),
        ("name_contains", ListKeysRequest { name_contains: "n".repeat(201), ..all() }),
        ("name_contains", ListKeysRequest { name_contains: "a\0".into(), ..all() }),
        ("app_key", ListKeysRequest { app_key: "A".into(), ..all() }),
        ("sort", ListKeysRequest { sort: 9, ..all() }),
    ] {
        let refused = World::refused(world.keys().list_keys(world.by(&owner, list)).await);
        assert_eq!(refused.faults[0].field, field);
    }
}

/// Names from few letters, so that filters hit, wildcards and case pairs among them.
fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let letters = proptest::sample::select(vec![
        'a', 'A', 'b', '%', '_', '\\', 'é', 'É', 'Σ', 'σ', 'ß', '-', '\'', '"', '*', '[',
    ]);
    proptest::collection::vec(letters, length).prop_map(|letters| letters.into_iter().collect())
}

#[test]
fn the_name_filter_finds_exactly_the_names_that_contain_it_ignoring_case() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let worlds = runtime.block_on(async { [World::sqlite().await, World::memory().await] });
    let mut runner =
        TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    let cases = (proptest::collection::vec(text(1..6), 1..8), text(1..3));
    runner
        .run(&cases, |(given, part)| {
            for world in &worlds {
                runtime.block_on(async {
                    let owner = world.team().await;
                    for name in &given {
                        create(world, &owner, name).await;
                    }
                    let list =
                        ListKeysRequest { name_contains: part.clone(), ..Default::default() };
                    let mut found = names(world, &owner, list).await;
                    let contains = |name: &&String| fold(name).contains(&fold(&part));
                    let mut expected: Vec<_> = given.iter().filter(contains).cloned().collect();
                    found.sort();
                    expected.sort();
                    prop_assert_eq!(found, expected, "{:?} in {:?}", &part, &given);
                    Ok(())
                })?;
            }
            Ok(())
        })
        .expect("the model agrees");
}
