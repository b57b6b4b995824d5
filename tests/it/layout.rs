//! The floors and nevers of the workspace (design §3), read from `cargo metadata` and the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// Every workspace crate and what it depends on at run time (dev-dependencies left out).
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let names = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned));
            (package["name"].as_str().expect("a name").to_owned(), names.collect())
        })
        .collect()
}

/// The floor a crate stands on; imports go down only.
fn floor(name: &str) -> u32 {
    match name {
        "keystile-domain" => 0,
        "keystile-contract" => 1,
        "keystile-follower" | "keystile-egress" | "keystile-seal" | "keystile-cache"
        | "keystile-sql" | "keystile-runtime" | "keystile-catalog" => 2,
        // The first is a dev-dependency of everything above the contract, and of no product crate at
        // run time; the second implements what sealing asks for, and only the binary chooses it.
        // And the third reads what a team has added with the catalog.
        "keystile-testkit" | "keystile-kms" | "keystile-apps" => 3,
        "keystile-issuance"
        | "keystile-verification"
        | "keystile-vault"
        | "keystile-triggers"
        | "keystile-gateway"
        | "keystile-console" => 4,
        "keystile" => 5,
        "keystile-tests" => 6,
        other => panic!("{other} has no floor: add it here and to ARCHITECTURE.md"),
    }
}

#[test]
fn imports_go_down_only_and_no_service_imports_another() {
    let all = dependencies();
    assert_eq!(all.len(), 20, "crates of the workspace");
    for (name, dependencies) in &all {
        for dependency in dependencies.iter().filter(|name| all.contains_key(*name)) {
            assert!(
                floor(dependency) < floor(name),
                "{name} must not depend on {dependency}: same floor or above"
            );
        }
    }
    // The harness of the end-to-end tests is a test itself.
    for (name, dependencies) in all.iter().filter(|(name, _)| *name != "keystile-tests") {
        let uses_testkit = dependencies.iter().any(|dependency| dependency == "keystile-testkit");
        assert!(!uses_testkit, "{name} links the testkit outside its tests");
    }
}

/// Which crates may name a library at run time; everyone else may not.
const RESERVED: &[(&str, &[&str])] = &[
    (
        "sea-orm",
        &[
            "keystile-sql",
            "keystile-issuance",
            "keystile-vault",
            "keystile-triggers",
            "keystile-console",
        ],
    ),
    ("redis", &["keystile-cache"]),
    (
        "axum",
        &[
            "keystile-gateway",
            "keystile-console",
            "keystile-runtime",
            "keystile-testkit",
            // The sandbox app.
            "keystile",
        ],
    ),
    ("reqwest", &["keystile", "keystile-tests"]),
    ("hyper-rustls", &["keystile-egress"]),
    ("argon2", &["keystile-issuance", "keystile-verification", "keystile-console"]),
    ("aes-gcm", &["keystile-seal"]),
    ("cryptoki", &["keystile-kms"]),
    ("keystile-kms", &["keystile"]),
];

#[test]
fn reserved_libraries_stay_where_they_belong() {
    for (name, dependencies) in dependencies() {
        for (library, holders) in RESERVED {
            let used = dependencies.iter().any(|dependency| dependency == library);
            assert!(
                !used || holders.contains(&name.as_str()),
                "{name} must not depend on {library}"
            );
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let all = dependencies();
    for banned in ["tokio", "tonic", "sea-orm", "axum", "redis", "rand", "reqwest", "tracing"] {
        let domain = &all["keystile-domain"];
        assert!(!domain.iter().any(|dependency| dependency == banned), "the domain uses {banned}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Words that may stand only in files whose path contains one of the fragments.
const WORDS: &[(&str, &[&str])] = &[
    ("sea_orm::", &["/store/", "/store.rs", "/shared/sql/", "/tests/"]),
    // The console's REST handlers and its peers are the adapters to other roles' messages, and so
    // are the gateway's pages of connect flows.
    (
        "keystile_contract::proto",
        &[
            "/rpc",
            "/client",
            "/console/src/rest",
            "/console/src/peers",
            "/gateway/src/connect",
            "/shared/",
            "/tests/",
            "/benches/",
        ],
    ),
    ("std::env::", &["/shared/runtime/", "/build.rs", "/tests/", "/benches/"]),
    ("SystemTime::now", &["/shared/runtime/", "/benches/"]),
];

#[test]
fn words_of_a_layer_do_not_leave_it() {
    let root = root();
    let mut files = Vec::new();
    sources(&root.join("services"), &mut files);
    assert!(files.len() > 50, "{} sources", files.len());
    let mut strays = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).expect("inside").display().to_string();
        let text = fs::read_to_string(&file).expect("readable");
        for (word, homes) in WORDS {
            let slashed = format!("/{path}");
            if text.contains(word) && !homes.iter().any(|home| slashed.contains(home)) {
                strays.push(format!("{path}: {word}"));
            }
        }
        assert!(file.file_name().is_none_or(|name| name != "mod.rs"), "{path}: use thing.rs");
    }
    assert!(strays.is_empty(), "{strays:#?}");
}
