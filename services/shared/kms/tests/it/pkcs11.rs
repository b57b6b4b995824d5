//! What is of tokens only.

use std::fs;

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module},
    session::UserType,
};
use keystile_domain::TeamId;
use keystile_kms::{Error, Settings};
use keystile_seal::{DataKeyRecord, Error as SealError, KeyEncryption};
use keystile_testkit::{SeededEntropy, SoftHsm, softhsm::PIN};
use uuid::Uuid;

use crate::child::{LABEL, key, open, settings, with_token};

/// The same library in the same process: what it ends, it ends for all.
fn module() -> Module {
    let module = Module::new(SoftHsm::module()).expect("loads");
    let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    module
}

async fn record(kek: &dyn KeyEncryption) -> DataKeyRecord {
    let team = TeamId::from_uuid(Uuid::from_u128(1));
    let made = DataKeyRecord::generate(team, 1, kek, &SeededEntropy::new(4)).await;
    made.expect("wraps").0
}

#[test]
fn what_is_missing_is_named_and_the_pin_is_not() {
    with_token("pkcs11::what_is_missing_is_named_and_the_pin_is_not", &[1], async || {
        let refused = async |settings: Settings| open(settings).await.expect_err("refuses");
        let elsewhere = refused(Settings { token: "elsewhere".into(), ..settings() }).await;
        assert_eq!(elsewhere, Error::NoToken("elsewhere".into()));
        let unnamed = refused(Settings { label: "other".into(), ..settings() }).await;
        assert_eq!(unnamed, Error::NoKeys("other".into()));
        let module = std::env::current_exe().expect("no module");
        let no_module = refused(Settings { module: module.clone(), ..settings() }).await;
        assert_eq!(no_module, Error::Module(module));
        assert!(!format!("{:?}", settings()).contains(PIN));
    });
}

/// A process that is logged in is not asked again, so this one is only for the wrong PIN.
#[test]
fn a_pin_that_is_refused_is_named_as_such() {
    with_token("pkcs11::a_pin_that_is_refused_is_named_as_such", &[1], async || {
        let refused = open(Settings { pin: "wrong-1234".into(), ..settings() }).await;
        let refused = refused.expect_err("refuses");
        assert_eq!(refused, Error::Pin("PinIncorrect".into()));
        assert!(!refused.to_string().contains("1234"));
    });
}

/// A token locks itself after a few.
#[test]
fn a_pin_that_was_refused_is_not_said_again() {
    with_token("pkcs11::a_pin_that_was_refused_is_not_said_again", &[1], async || {
        let token = open(settings()).await.expect("opens");
        let record = record(&token).await;
        for (old, new) in [(PIN, "another-pin"), ("another-pin", PIN)] {
            let module = module();
            let slot = module.get_slots_with_initialized_token().expect("slots")[0];
            let session = module.open_rw_session(slot).expect("a session");
            let _ = session.login(UserType::User, Some(&old.into()));
            session.set_pin(&old.into(), &new.into()).expect("changed");
            drop(session);
            // Everything that is logged in ends.
            module.finalize().expect("ends");
            // The second time it would be taken.
            let refused = record.unwrap(&token).await.expect_err("is not said again");
            assert!(matches!(refused, SealError::Unavailable(_)), "{refused}");
        }
        open(settings()).await.expect("a new start says it");
    });
}

#[test]
fn a_session_that_was_lost_is_opened_again() {
    with_token("pkcs11::a_session_that_was_lost_is_opened_again", &[1], async || {
        let token = open(settings()).await.expect("opens");
        let record = record(&token).await;
        module().finalize().expect("ends");
        record.unwrap(&token).await.expect("after the library was ended");
        let other = module();
        let slot = other.get_slots_with_initialized_token().expect("slots")[0];
        let session = other.open_ro_session(slot).expect("a session");
        session.logout().expect("logs out");
        record.unwrap(&token).await.expect("after a logout");
    });
}

#[test]
fn a_key_that_comes_is_found_and_one_that_goes_is_gone() {
    with_token("pkcs11::a_key_that_comes_is_found_and_one_that_goes_is_gone", &[1], async || {
        let token = open(settings()).await.expect("opens");
        assert_eq!(token.versions(), [1]);
        for (label, bytes) in [
            (format!("{LABEL}-2"), key(2)),
            // None of these is a version.
            (format!("{LABEL}-02"), key(3)),
            (format!("{LABEL}-0"), key(3)),
            (format!("{LABEL}-x"), key(3)),
            (LABEL.to_owned(), key(3)),
        ] {
            import(&label, &bytes);
        }
        token.refresh().await.expect("looks again");
        assert_eq!(token.versions(), [1, 2]);
    });
}

#[test]
fn keys_that_cannot_be_meant_are_refused() {
    with_token("pkcs11::keys_that_cannot_be_meant_are_refused", &[1], async || {
        let token = open(settings()).await.expect("opens");
        import(&format!("{LABEL}-2"), &[7; 16]);
        let short = open(settings()).await.expect_err("AES-128");
        assert_eq!(short, Error::NotAes256(format!("{LABEL}-2")));
        let refused = token.refresh().await.expect_err("refuses");
        assert!(matches!(refused, SealError::Unavailable(_)), "{refused}");
        assert_eq!(token.versions(), [1], "what was there stays");
        record(&token).await.unwrap(&token).await.expect("and works");
    });
}

#[test]
fn two_keys_of_one_version_are_refused() {
    with_token("pkcs11::two_keys_of_one_version_are_refused", &[1, 1], async || {
        let refused = open(settings()).await.expect_err("which one?");
        assert_eq!(refused, Error::Twice(format!("{LABEL}-1")));
    });
}

/// Into the token of this process, by another.
#[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the test's own")]
fn import(label: &str, bytes: &[u8]) {
    let configuration = std::env::var_os("SOFTHSM2_CONF").expect("set");
    let file = std::path::Path::new(&configuration).with_file_name("imported");
    fs::write(&file, bytes).expect("written");
    let ran = std::process::Command::new("softhsm2-util")
        .arg("--import")
        .arg(&file)
        .args(["--aes", "--token", "keystile", "--pin", PIN])
        .args(["--label", label, "--id", "01", "--force"])
        .output()
        .expect("runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
