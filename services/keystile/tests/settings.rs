//! The configuration as a whole.

use keystile::Settings;
use keystile_runtime::config::load_from;

fn from_env(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    load_from(None, variables, &[]).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_on_loopback_and_the_ports_of_the_handbook() {
    let settings = from_env(&[]).expect("loads");
    let listens = [
        (settings.gateway.listen, 8080),
        (settings.console.listen, 8081),
        (settings.verification.listen, 8090),
        (settings.issuance.listen, 8091),
        (settings.vault.listen, 8092),
        (settings.triggers.listen, 8093),
        (settings.telemetry.listen, 9090),
    ];
    for (listen, port) in listens {
        assert!(listen.ip().is_loopback());
        assert_eq!(listen.port(), port);
    }
    assert_eq!(settings.data_dir.as_os_str(), ".keystile");
}

#[test]
fn every_section_can_be_set_from_the_environment() {
    let settings = from_env(&[
        ("KEYSTILE_DATA_DIR", "/var/lib/keystile"),
        ("KEYSTILE_GATEWAY__LISTEN", "127.0.0.1:1"),
        ("KEYSTILE_GATEWAY__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
        ("KEYSTILE_GATEWAY__LIMITS__BODY_BYTES", "2048"),
        ("KEYSTILE_CONSOLE__DATABASE_URL", "postgres://u:hunter2@db/console"),
        ("KEYSTILE_ISSUANCE__LEASE_TTL_MS", "3000"),
        ("KEYSTILE_VERIFICATION__MAX_LOOKUPS", "7"),
        ("KEYSTILE_VAULT__ALLOW__SOCKETS", "127.0.0.1:9"),
        ("KEYSTILE_TRIGGERS__LISTEN", "127.0.0.1:2"),
        ("KEYSTILE_TELEMETRY__LOG", "keystile=debug"),
        ("KEYSTILE_SECRETS__TOKEN_KEYS", "1:hunter2,2:hunter2"),
        ("KEYSTILE_CLI__TOKEN", "ksm_hunter2"),
    ])
    .expect("loads");
    assert_eq!(settings.gateway.trusted_proxies.len(), 2);
    assert_eq!(settings.gateway.limits.body_bytes, 2048);
    assert_eq!(settings.issuance.lease_ttl_ms, 3000);
    assert_eq!(settings.verification.max_lookups, 7);
    assert_eq!(settings.vault.allow.sockets.len(), 1);
    assert_eq!(settings.secrets.token_keys.len(), 2);
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn an_unknown_field_of_any_section_is_named_with_its_variable() {
    let sections = [
        "GATEWAY",
        "CONSOLE",
        "VERIFICATION",
        "ISSUANCE",
        "VAULT",
        "TRIGGERS",
        "CACHE",
        "TELEMETRY",
        "SECRETS",
        "SANDBOX",
        "CLI",
    ];
    for section in sections {
        let variable = format!("KEYSTILE_{section}__LISTN");
        let said = from_env(&[(&variable, "hunter2")]).expect_err("refuses");
        let field = format!("`{}.listn`", section.to_ascii_lowercase());
        assert_eq!(said, format!("{field} from the environment variable {variable}: is unknown"));
    }
    let said = from_env(&[("KEYSTILE_QUEUE__URL", "memory://")]).expect_err("no section");
    assert!(said.starts_with("`queue`"), "{said}");
}
