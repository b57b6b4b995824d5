//! Roles apart, each behind its own listener: who reaches which method. Threats 40 and 41.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use keystile::{
    Settings,
    wire::{self, Running, Sandbox},
};
use keystile_contract::{
    Failure, Identity, Transport,
    identity::may_reach,
    proto::issuance::v1::{RegisterRequest, RenewRequest, log_service_client::LogServiceClient},
};
use keystile_domain::{Clock as _, Incarnation, Role};
use keystile_runtime::{
    SystemClock, SystemEntropy,
    certs::{self, Request as Certificate},
    grpc,
    mtls::{AUTHORITY, Credentials},
};
use keystile_testkit::{MockClock, Ports, eventually};
use prost::Message as _;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tonic::{Code, Status, body::Body};
use tower::ServiceExt as _;

/// Who may call what, as reviewed: a change of the table in `contract` shows up here.
const REVIEWED: &str = include_str!("fixtures/methods.txt");
/// The roles that answer over gRPC.
const CALLED: [Role; 4] = [Role::Issuance, Role::Verification, Role::Vault, Role::Triggers];

fn issue(dir: &Path, identity: &Identity) -> Credentials {
    let request = Certificate { identity, hosts: &[], lifetime: Duration::from_hours(24) };
    certs::issue(dir, dir, &request, &SystemClock).expect("issues");
    Credentials::read(dir, identity).expect("reads back")
}

fn authority(dir: &Path) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    certs::init(dir, &SystemClock).expect("makes an authority");
}

/// Each called role, alone in its process as far as it knows.
async fn start(home: &Path) -> BTreeMap<Role, Running> {
    authority(&home.join("tls"));
    let mut running = BTreeMap::new();
    for role in CALLED {
        running.insert(role, start_role(home, role).await);
    }
    running
}

/// A role that keeps what it stores in `home`.
async fn start_role(home: &Path, role: Role) -> Running {
    let dir = home.join("tls");
    issue(&dir, &Identity::Role(role));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings { data_dir: home.join(role.as_str()), ..Settings::default() };
    settings.tls.dir = Some(dir);
    settings.telemetry.listen = any;
    settings.issuance.listen = any;
    settings.verification.listen = any;
    settings.vault.listen = any;
    settings.triggers.listen = any;
    // Verification stores nothing, so nobody made its secrets.
    let key = || vec!["1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned().into()];
    settings.secrets.token_keys = key();
    settings.secrets.sealing_keys = key();
    wire::start(&settings, &BTreeSet::from([role]), Sandbox::Leave).await.expect("starts")
}

/// A way to a role with whatever certificate is shown.
fn way(to: &Running, role: Role, tls: Arc<ClientConfig>) -> Transport {
    let at = to.addresses().of(role).expect("listens");
    let peers = format!("https://{at}").parse().expect("a place");
    grpc::peer(role, peers, tls, Arc::new(SystemClock), Arc::new(SystemEntropy))
}

/// Calls `path` with an empty message.
async fn call(way: Transport, path: &str) -> Status {
    let empty = Full::new(bytes::Bytes::from_static(&[0; 5]));
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(empty))
        .expect("a request");
    let response = way.oneshot(request).await.expect("answers");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let http = response.status();
    let collected = response.into_body().collect().await;
    let trailers = collected.ok().and_then(|body| body.trailers().cloned());
    let status = trailers.and_then(|trailers| Status::from_header_map(&trailers));
    status.unwrap_or_else(|| Status::unknown(format!("HTTP {http}")))
}

/// Every method of every service, and the role that answers it.
fn methods() -> Vec<(Role, String)> {
    let descriptors = prost_types::FileDescriptorSet::decode(keystile_contract::DESCRIPTORS);
    let mut methods = Vec::new();
    for file in descriptors.expect("valid").file {
        let package = file.package().to_owned();
        let role = package.split('.').nth(1).and_then(Role::parse);
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{package}.{}/{}", service.name(), method.name());
                methods.push((role.expect("a role's package"), path));
            }
        }
    }
    methods.sort();
    methods
}

fn reason(status: Status) -> String {
    Failure::from(status).reason
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_answered_for_those_that_are_listed_and_for_nobody_else() {
    let home = tempfile::tempdir().expect("a folder");
    let running = start(home.path()).await;
    let dir = home.path().join("tls");
    let caller = Identity::caller("billing").expect("a name");
    let identities: Vec<_> = Role::ALL.into_iter().map(Identity::Role).chain([caller]).collect();
    let mut found = String::new();
    let mut calls = 0;
    for (role, path) in methods() {
        let asked = identities.iter().map(|identity| {
            let tls = issue(&dir, identity).client(role).expect("usable");
            let way = way(&running[&role], role, tls);
            let path = path.as_str();
            async move { (identity, call(way, path).await) }
        });
        let mut answered = Vec::new();
        for (identity, status) in join_all(asked).await {
            calls += 1;
            // Who may call nothing of a role does not come in.
            let outside = !may_reach(identity, role);
            assert_eq!(
                status.code() == Code::Unavailable,
                outside,
                "{identity} {path}: {status:?}"
            );
            let denied =
                status.code() == Code::PermissionDenied && reason(status) == "method_not_allowed";
            if !outside && !denied {
                answered.push(identity.to_string());
            }
        }
        found.extend([path.as_str(), ": ", &answered.join(", "), "\n"]);
    }
    assert_eq!(found, REVIEWED, "update tests/fixtures/methods.txt only after a review:\n{found}");

    // A foreign authority's certificates and none at all end before a method is named.
    let foreign = tempfile::tempdir().expect("a folder");
    authority(foreign.path());
    let strangers = methods().into_iter().flat_map(|(role, path)| {
        let trusted = issue(&dir, &Identity::Role(Role::Console)).client(role).expect("usable");
        let roles = Role::ALL.into_iter().map(|from| {
            let theirs = issue(foreign.path(), &Identity::Role(from));
            let mut shown = (*trusted).clone();
            let shows = theirs.client(role).expect("usable");
            shown.client_auth_cert_resolver = Arc::clone(&shows.client_auth_cert_resolver);
            Arc::new(shown)
        });
        let nobody = std::iter::once(nobody(&dir));
        let ways: Vec<_> = roles.chain(nobody).map(|tls| way(&running[&role], role, tls)).collect();
        ways.into_iter().map(move |way| (way, path.clone()))
    });
    let strangers = strangers.map(|(way, path)| async move { (call(way, &path).await, path) });
    for (status, path) in join_all(strangers).await {
        assert_eq!(status.code(), Code::Unavailable, "{path}: {status:?}");
        calls += 1;
    }
    println!("{calls} calls: {} methods, {} identities", methods().len(), identities.len() + 7);
    for (_, running) in running {
        running.stop().await;
    }
}

/// Trusts the authority by the host's name, as any program would, and shows nothing.
fn nobody(dir: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(dir.join(AUTHORITY)).expect("PEM");
    roots.add(authority).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the defaults")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_is_off_and_a_path_that_is_no_method_reaches_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let running = start(home.path()).await;
    let dir = home.path().join("tls");
    let long = format!("/{}", "x".repeat(4_000));
    for role in CALLED {
        let method = methods().into_iter().find(|(of, _)| *of == role).expect("one").1;
        let wrong = [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned(),
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo".to_owned(),
            "/".to_owned(),
            "//".to_owned(),
            "/..".to_owned(),
            long.clone(),
            method.to_uppercase(),
            format!("{method}/"),
            format!("/{method}"),
            format!("{method}%00"),
            format!("/x/..{method}"),
            method.replacen("keystile", "%6beystile", 1),
            method.rsplit_once('/').expect("a service").0.to_owned(),
        ];
        let caller = Identity::caller("x").expect("a name");
        let inside = Role::ALL.into_iter().map(Identity::Role).chain([caller]);
        for identity in inside.filter(|identity| may_reach(identity, role)) {
            let way =
                way(&running[&role], role, issue(&dir, &identity).client(role).expect("usable"));
            for path in &wrong {
                let status = call(way.clone(), path).await;
                assert_eq!(status.code(), Code::PermissionDenied, "{identity} {path}: {status:?}");
            }
        }
    }
    // The table is by path, and a query is none of it.
    let tls = issue(&dir, &Identity::Role(Role::Vault)).client(Role::Issuance).expect("usable");
    let status = call(
        way(&running[&Role::Issuance], Role::Issuance, tls),
        "/keystile.issuance.v1.KeyService/CreateKey?keystile.verification.v1",
    );
    assert_eq!(status.await.code(), Code::PermissionDenied);
    for (_, running) in running {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuance_that_begins_again_still_counts_the_followers_of_other_processes() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("tls");
    authority(&dir);
    let log = |issuance: &Running| {
        let tls = issue(&dir, &Identity::Role(Role::Vault)).client(Role::Issuance).expect("usable");
        LogServiceClient::new(way(issuance, Role::Issuance, tls))
    };
    let issuance = start_role(home.path(), Role::Issuance).await;
    let incarnation = Incarnation::generate(SystemClock.now(), &SystemEntropy).to_string();
    let register = RegisterRequest {
        incarnation: incarnation.clone(),
        role: Role::Vault.to_string(),
        ..RegisterRequest::default()
    };
    let begun = log(&issuance).register(register).await.expect("registered").into_inner();
    issuance.stop().await;

    let issuance = start_role(home.path(), Role::Issuance).await;
    let renew = RenewRequest { incarnation, applied: begun.head, applied_nonce: begun.head_nonce };
    log(&issuance).renew(renew).await.expect("its lease is still counted");
    issuance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_while_a_database_is_waited_for() {
    let _ = ring::default_provider().install_default();
    let home = tempfile::tempdir().expect("a folder");
    let mut ports = Ports::reserve();
    let mut settings = Settings { data_dir: home.path().join("data"), ..Settings::default() };
    settings.telemetry.listen = SocketAddr::from(([127, 0, 0, 1], ports.take()));
    settings.triggers.listen = SocketAddr::from(([127, 0, 0, 1], ports.take()));
    let nowhere = format!("postgres://keystile:x@127.0.0.1:{}/keystile", ports.take());
    settings.triggers.database_url = Some(nowhere.into());
    settings.secrets.sealing_keys =
        vec!["1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned().into()];
    let telemetry = settings.telemetry.listen;
    let starting = tokio::spawn(async move {
        let here = BTreeSet::from([Role::Triggers]);
        wire::start(&settings, &here, Sandbox::Leave).await.map(drop)
    });
    eventually("it is alive and not ready", async || {
        let status = async |path: &str| {
            let answer = reqwest::get(format!("http://{telemetry}{path}")).await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        };
        let (healthz, readyz) = (status("/healthz").await, status("/readyz").await);
        healthz.is_some_and(|(status, _)| status == 200)
            && readyz
                .is_some_and(|(status, said)| status == 503 && said.contains("\"starting\":true"))
    })
    .await;
    assert!(!starting.is_finished(), "it still waits");
    starting.abort();
}

#[tokio::test]
async fn a_part_without_certificates_is_told_how_to_make_them() {
    let home = tempfile::tempdir().expect("a folder");
    let mut settings = Settings { data_dir: home.path().join("data"), ..Settings::default() };
    settings.gateway.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.telemetry.listen = settings.gateway.listen;
    let here = BTreeSet::from([Role::Gateway]);
    let refused = wire::start(&settings, &here, Sandbox::Leave).await.err().expect("refuses");
    let told = keystile::advice::told(&refused);
    assert!(told.contains("verification, vault"), "{told}");
    assert!(told.contains("tls.dir is not set") && told.contains("keystile certs init"), "{told}");

    // With a folder, but somebody else's certificate in it.
    let dir = home.path().join("tls");
    authority(&dir);
    issue(&dir, &Identity::Role(Role::Vault));
    std::fs::copy(dir.join("vault.pem"), dir.join("gateway.pem")).expect("copies");
    settings.tls.dir = Some(dir);
    let refused = wire::start(&settings, &here, Sandbox::Leave).await.err().expect("refuses");
    let told = keystile::advice::told(&refused);
    assert!(told.contains("is not the certificate of keystile://role/gateway"), "{told}");

    // One that was valid once.
    let long_ago = MockClock::default();
    long_ago.set_wall(time::macros::datetime!(2020-01-01 0:00 UTC));
    let gateway = Identity::Role(Role::Gateway);
    let request =
        Certificate { identity: &gateway, hosts: &[], lifetime: Duration::from_hours(24) };
    let old = home.path().join("old");
    certs::init(&old, &long_ago).expect("makes an authority");
    certs::issue(&old, &old, &request, &long_ago).expect("issues");
    let mut expired = settings.clone();
    expired.tls.dir = Some(old);
    let refused = wire::start(&expired, &here, Sandbox::Leave).await.err().expect("refuses");
    let told = keystile::advice::told(&refused);
    assert!(told.contains("is not valid now") && told.contains("certs issue"), "{told}");

    // And an address that is none.
    settings.verification.url = "http://verification:8090".to_owned();
    issue(settings.tls.dir.as_ref().expect("set"), &Identity::Role(Role::Gateway));
    let refused = wire::start(&settings, &here, Sandbox::Leave).await.err().expect("refuses");
    let told = keystile::advice::told(&refused);
    assert!(told.contains("verification.url: must be https://host:port"), "{told}");
}
