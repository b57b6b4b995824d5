//! What the demo of `keystile dev` has, and the same where nobody runs that.

use std::{collections::BTreeMap, fs, path::Path};

use super::{Cluster, Team};

const SANDBOX_TOKEN: &str = "sandbox_demo_0123456789abcdefABCDEF";
/// As in the demo: deleting is left out.
const ALLOWED: [&str; 3] =
    ["action.sandbox.list-notes", "action.sandbox.create-note", "action.sandbox.echo"];

/// The variables of `demo.env`.
#[derive(Default)]
pub(super) struct Demo(BTreeMap<String, String>);

impl Demo {
    /// Those that `keystile dev` wrote.
    pub(super) fn read(data_dir: &Path) -> Self {
        let text = fs::read_to_string(data_dir.join("demo.env")).expect("demo.env");
        let values = text.lines().filter_map(|line| line.split_once('='));
        let values = values.map(|(name, value)| (name, value.trim_matches('\'')));
        Self(values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// # Panics
    /// If it is not there.
    pub(super) fn get(&self, name: &str) -> String {
        self.0.get(name).unwrap_or_else(|| panic!("the demo has no {name}")).clone()
    }
}

/// Makes a connection and a key for `owner`.
pub(super) async fn make(cluster: &Cluster, owner: Team) -> Demo {
    let team = cluster.console().with_token(&owner.token);
    let connection = cluster.connection_with(&team, SANDBOX_TOKEN).await;
    let (_, token) = cluster.key(&team, &connection, &ALLOWED).await;
    let values = [
        ("KEYSTILE_DEMO_TOKEN", token),
        ("KEYSTILE_DEMO_MANAGEMENT_TOKEN", owner.token),
        ("KEYSTILE_DEMO_SANDBOX_TOKEN", SANDBOX_TOKEN.to_owned()),
    ];
    Demo(values.map(|(name, value)| (name.to_owned(), value)).into())
}
