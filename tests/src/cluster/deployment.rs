//! Some roles, so many processes of each, on Postgres and Redis, whatever shape a run asks for; and
//! what an operator's bad day does to them.

use std::net::SocketAddr;

use keystile_contract::{SealKeys, Transport};
use keystile_domain::Role;

use super::services::{Services, url};
use crate::{shape::Servers, wire::Wire};

/// A running deployment. Dropped, it is killed and its folder removed.
pub struct Deployment {
    services: Services,
    /// What stands between a verifier and everything that it asks, by its number less one.
    wires: Vec<Vec<Wire>>,
    // After the processes, so that they end first.
    _folder: tempfile::TempDir,
}

impl Deployment {
    /// Makes so many processes of each role, with these variables in the environment of each. The
    /// last `wired` verifiers reach issuance and Redis over wires. Nothing runs yet.
    ///
    /// # Panics
    /// If something cannot be made.
    pub async fn new(replicas: &[(Role, usize)], wired: usize, settings: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let servers = Servers::start();
        let mut services = Services::new(folder.path(), settings.collect(), replicas, servers);
        let verifiers = services.of(Role::Verification).len();
        let mut wires: Vec<Vec<Wire>> = (0..verifiers).map(|_| Vec::new()).collect();
        let (issuance, redis) = (services.of(Role::Issuance), services.servers.redis_address());
        for (index, own) in wires.iter_mut().enumerate().skip(verifiers.saturating_sub(wired)) {
            for target in issuance.iter().chain([&redis]) {
                own.push(Wire::to(*target).await);
            }
            let near: Vec<_> = own.iter().map(|wire| wire.address().to_string()).collect();
            let (name, value) = url(Role::Issuance, &near[..issuance.len()]);
            let cache = Servers::cache_at(own[issuance.len()].address());
            let member = services.member(&verifier(index));
            member.set(&name, value);
            member.set("KEYSTILE_CACHE__URL", cache);
        }
        Self { services, wires, _folder: folder }
    }

    /// Starts every process of these roles, and waits until they are ready.
    ///
    /// # Panics
    /// If one does not become ready; shows its log.
    pub async fn launch(&mut self, roles: &[Role]) {
        self.services.launch_only(roles).await;
    }

    /// Ends a process (`issuance-1`) or a server (`postgres`, `redis`) at once.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn lose(&mut self, part: &str) {
        self.services.lose(part);
    }

    /// Starts a part again, and waits until everything is ready.
    ///
    /// # Panics
    /// If there is no such part, or something does not become ready.
    pub async fn restore(&mut self, part: &str) {
        self.services.restore(part).await;
    }

    /// Waits until every process is ready.
    ///
    /// # Panics
    /// If one does not become ready; shows its log.
    pub async fn ready(&mut self) {
        self.services.ready().await;
    }

    /// Stops a verifier, by its index, in the middle of whatever it does.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&mut self, index: usize) {
        self.services.member(&verifier(index)).freeze();
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&mut self, index: usize) {
        self.services.member(&verifier(index)).thaw();
    }

    /// What stands between a verifier, by its index, and everything that it asks.
    ///
    /// # Panics
    /// If there is no such verifier.
    #[must_use]
    pub fn wires(&self, index: usize) -> &[Wire] {
        &self.wires[index]
    }

    /// Empties the cache, as its operator does.
    ///
    /// # Panics
    /// If Redis does not run.
    pub fn flush_cache(&self) {
        self.services.servers.flush();
    }

    /// The way to all replicas of a role, as the console.
    #[must_use]
    pub fn console(&self, to: Role) -> Transport {
        self.services.console(to)
    }

    /// The way to each verifier by itself, as a program that may verify keys.
    #[must_use]
    pub fn verifiers(&self) -> Vec<Transport> {
        let at = self.services.of(Role::Verification);
        at.iter().map(|at| self.services.caller(&[*at])).collect()
    }

    /// The telemetry listener of each replica of a role.
    #[must_use]
    pub fn telemetry(&self, role: Role) -> Vec<SocketAddr> {
        self.services.telemetry_of(role)
    }

    /// What the console vouches for actors with.
    #[must_use]
    pub fn seal_keys(&self) -> SealKeys {
        self.services.seal_keys()
    }
}

/// The name of a verifier.
#[must_use]
pub fn verifier(index: usize) -> String {
    format!("{}-{}", Role::Verification, index + 1)
}
