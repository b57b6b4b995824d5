use keystile_contract::{
    Identity, proto::vault::v1::app_service_server::AppServiceServer, transport,
};
use keystile_domain::Role;
use keystile_testkit::{AppsDouble, MockClock};
use tonic::service::Routes;

use super::*;

fn document(title: &str) -> String {
    format!("openapi: 3.1.0\ninfo: {{ title: {title}, version: '1' }}\npaths: {{}}\n")
}

fn world() -> (AppsDouble, MockClock, Apps) {
    let (vault, clock) = (AppsDouble::default(), MockClock::default());
    let routes = Routes::new(AppServiceServer::new(vault.clone())).prepare();
    let way = transport::local(routes, Identity::Role(Role::Gateway));
    let apps = Apps::new(Catalog::default(), way, Arc::new(clock.clone()));
    (vault, clock, apps)
}

fn team() -> TeamId {
    TeamId::from_uuid(uuid::Uuid::from_u128(1))
}

async fn names(apps: &Apps, age: Duration) -> Result<Vec<String>, ErrorKind> {
    let own = apps.own(team(), age).await.map_err(|failure| failure.kind)?;
    Ok(own.apps().map(|app| app.name.clone()).collect())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn a_copy_is_as_young_as_it_is_asked_to_be() {
    let (vault, clock, apps) = world();
    vault.put("a", 1, &document("First"));
    assert_eq!(names(&apps, FRESH).await, Ok(texts(&["First"])));
    vault.put("a", 2, &document("Second"));
    vault.put("b", 1, &document("Other"));
    assert_eq!(names(&apps, FRESH).await, Ok(texts(&["First"])));
    assert_eq!(vault.asked(), 1);
    clock.advance(FRESH + Duration::from_millis(1));
    // Two documents that are not known, in two answers.
    assert_eq!(names(&apps, FRESH).await, Ok(texts(&["Second", "Other"])));
    assert_eq!(vault.asked(), 3);
    vault.remove("a");
    clock.advance(Duration::from_millis(1));
    assert_eq!(names(&apps, Duration::ZERO).await, Ok(texts(&["Other"])));
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let (vault, _, apps) = world();
    vault.put("a", 1, &document("First"));
    let asks = (0..50).map(|_| names(&apps, Duration::ZERO));
    for answer in futures::future::join_all(asks).await {
        assert_eq!(answer, Ok(texts(&["First"])));
    }
    assert_eq!(vault.asked(), 1);
}

#[tokio::test]
async fn without_vault_what_is_known_serves_for_a_while() {
    let (vault, clock, apps) = world();
    vault.set_down(true);
    assert_eq!(names(&apps, FRESH).await, Err(ErrorKind::Unavailable));
    vault.set_down(false);
    vault.put("a", 1, &document("First"));
    assert_eq!(names(&apps, FRESH).await, Ok(texts(&["First"])));
    vault.set_down(true);
    clock.advance(Duration::from_mins(9));
    assert_eq!(names(&apps, FRESH).await, Ok(texts(&["First"])));
    clock.advance(Duration::from_mins(2));
    assert_eq!(names(&apps, FRESH).await, Err(ErrorKind::Unavailable));
}
