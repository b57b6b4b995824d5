//! A private Redis Cluster on loopback.

use super::Redis;
use crate::{ports::Ports, process::wait_for, tls::Authority};

/// The slots that a Cluster's keys spread over.
const SLOTS: usize = 16_384;

/// Masters that share all slots. One that is gone takes its slots with it, and no others.
#[derive(Debug)]
pub struct Cluster {
    /// In the order of their slots.
    pub nodes: Vec<Redis>,
    _buses: Ports,
}

impl Cluster {
    /// Starts three masters with these lines of configuration, over TLS if there is a CA.
    ///
    /// # Panics
    /// If they do not start, or do not agree.
    #[must_use]
    pub fn start(settings: &[&str], authority: Option<&Authority>) -> Self {
        let mut ports = Ports::reserve();
        let buses = [(); 3].map(|()| ports.take());
        let nodes: Vec<_> = buses
            .iter()
            .map(|bus| {
                let bus = format!("cluster-port {bus}");
                let clustered = [
                    "cluster-enabled yes",
                    "cluster-node-timeout 1000",
                    "cluster-require-full-coverage no",
                    &bus,
                ];
                Redis::start_with(&[&clustered[..], settings].concat(), authority)
            })
            .collect();
        for (at, node) in nodes.iter().enumerate() {
            let first = at * SLOTS / nodes.len();
            let last = (at + 1) * SLOTS / nodes.len() - 1;
            node.told(&["cluster", "addslotsrange", &first.to_string(), &last.to_string()]);
            node.told(&["cluster", "set-config-epoch", &(at + 1).to_string()]);
            if at > 0 {
                let (port, bus) = (nodes[0].port.to_string(), buses[0].to_string());
                node.told(&["cluster", "meet", "127.0.0.1", &port, &bus]);
            }
        }
        let cluster = Self { nodes, _buses: ports };
        cluster.wait();
        cluster
    }

    /// Waits until every node knows who has which slots.
    ///
    /// # Panics
    /// If they do not agree.
    pub fn wait(&self) {
        for node in &self.nodes {
            let agreed = || {
                node.cli(&["cluster", "info"]).is_some_and(|info| {
                    info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
                })
            };
            wait_for(agreed, &node.folder().join("log"));
        }
    }

    /// How to reach it without a log-in.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_with("")
    }

    /// How that user reaches it.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"))
    }

    fn url_with(&self, login: &str) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        format!("{}-cluster://{login}{}", self.nodes[0].scheme(), addresses.join(","))
    }
}

impl Redis {
    fn told(&self, command: &[&str]) {
        let told = self.cli(command).expect("answers");
        assert_eq!(told.trim(), "OK", "{command:?}");
    }
}
