//! What an operator permits.

use std::{net::SocketAddr, time::Duration};

use http::uri::Scheme;
use ipnet::IpNet;
use serde::Deserialize;

use crate::{address, error::Error};

/// Addresses that may be dialled although no public app has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Any port of these networks.
    pub nets: Vec<IpNet>,
    /// Exactly these addresses and ports.
    pub sockets: Vec<SocketAddr>,
    /// Whatever address these names stand for, at that port: `sandbox:8094`. Whoever answers for
    /// the name decides where requests go, so only names that the operator's own network resolves.
    pub hosts: Vec<HostPort>,
}

/// A host name and a port, `sandbox:8094`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

/// That is no host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name and a port, such as sandbox:8094")]
pub struct InvalidHostPort;

impl TryFrom<String> for HostPort {
    type Error = InvalidHostPort;

    fn try_from(text: String) -> Result<Self, InvalidHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(InvalidHostPort);
        }
        let port = port.parse().map_err(|_| InvalidHostPort)?;
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl Allow {
    fn names(&self, host: &str, address: SocketAddr) -> bool {
        let same =
            |socket: &SocketAddr| socket.ip() == address.ip() && socket.port() == address.port();
        let named = |at: &HostPort| at.host.eq_ignore_ascii_case(host) && at.port == address.port();
        self.nets.iter().any(|net| net.contains(&address.ip()))
            || self.sockets.iter().any(same)
            || self.hosts.iter().any(named)
    }
}

/// How long, how large and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For resolving, connecting and agreeing on TLS together.
    pub connect_timeout: Duration,
    /// Bytes of a request's body.
    pub request_body: usize,
    /// Bytes of an answer's body.
    pub response_body: usize,
    /// Headers of an answer.
    pub response_headers: usize,
    /// Bytes of an answer's headers, names and values together; at least 8 KiB.
    pub response_header_bytes: usize,
    /// Exchanges at one time.
    pub concurrency: usize,
    /// Exchanges at one time with one host.
    pub concurrency_per_host: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_body: 10 << 20,
            response_body: 32 << 20,
            response_headers: 100,
            response_header_bytes: 64 << 10,
            concurrency: 512,
            concurrency_per_host: 64,
        }
    }
}

/// The rules of one client. Clients with different policies share nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Exceptions to the address rules; plain HTTP is permitted there.
    pub allow: Allow,
    /// Whether plain HTTP is permitted to public addresses, too.
    pub plain_http: bool,
    /// The bounds of an exchange.
    pub limits: Limits,
}

impl Policy {
    /// Whether `address`, which `host` stands for, may be dialled for a URL of `scheme`.
    pub fn check(&self, scheme: &Scheme, host: &str, address: SocketAddr) -> Result<(), Error> {
        if self.allow.names(host, address) {
            return Ok(());
        }
        address::classify(address.ip()).map_err(Error::AddressRefused)?;
        if *scheme == Scheme::HTTPS || self.plain_http {
            Ok(())
        } else {
            Err(Error::PlainHttpRefused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rule;

    fn check(policy: &Policy, scheme: &Scheme, address: &str) -> Result<(), Error> {
        policy.check(scheme, "app.example.com", address.parse().unwrap())
    }

    #[test]
    fn a_listed_host_is_one_name_and_one_port_wherever_it_is() {
        let hosts = vec![HostPort::try_from("Sandbox:8094".to_owned()).unwrap()];
        let policy = Policy { allow: Allow { hosts, ..Allow::default() }, ..Policy::default() };
        let check = |host, at: &str| policy.check(&Scheme::HTTP, host, at.parse().unwrap()).is_ok();
        assert!(check("sandbox", "172.18.0.9:8094") && check("SANDBOX", "172.18.0.10:8094"));
        assert!(!check("sandbox", "172.18.0.9:8095"));
        assert!(!check("sandbox.evil.example", "172.18.0.9:8094"));
        assert!(!check("172.18.0.9", "172.18.0.9:8094"));
        for wrong in
            ["", "sandbox", ":8094", "sandbox:", "sandbox:99999", "http://sandbox:1", "[::1]:1"]
        {
            assert_eq!(HostPort::try_from(wrong.to_owned()), Err(InvalidHostPort), "{wrong}");
        }
    }

    #[test]
    fn a_listed_socket_is_one_address_and_one_port() {
        let policy = Policy {
            allow: Allow { sockets: vec!["127.0.0.1:7000".parse().unwrap()], ..Allow::default() },
            ..Policy::default()
        };
        let refused = Err(Error::AddressRefused(Rule::Loopback));
        assert_eq!(check(&policy, &Scheme::HTTP, "127.0.0.1:7000"), Ok(()));
        assert_eq!(check(&policy, &Scheme::HTTP, "127.0.0.1:7001"), refused);
        assert_eq!(check(&policy, &Scheme::HTTP, "127.0.0.2:7000"), refused);
        let mapped = check(&policy, &Scheme::HTTP, "[::ffff:127.0.0.1]:7000");
        assert_eq!(mapped, Err(Error::AddressRefused(Rule::Mapped)));
    }

    #[test]
    fn a_listed_net_is_any_port() {
        let policy = Policy {
            allow: Allow { nets: vec!["10.1.0.0/16".parse().unwrap()], ..Allow::default() },
            ..Policy::default()
        };
        assert_eq!(check(&policy, &Scheme::HTTP, "10.1.255.255:1"), Ok(()));
        let beside = check(&policy, &Scheme::HTTPS, "10.2.0.0:1");
        assert_eq!(beside, Err(Error::AddressRefused(Rule::Private)));
    }

    #[test]
    fn plain_http_to_a_public_address_is_a_choice_of_the_policy() {
        let strict = Policy::default();
        assert_eq!(check(&strict, &Scheme::HTTPS, "8.8.8.8:443"), Ok(()));
        assert_eq!(check(&strict, &Scheme::HTTP, "8.8.8.8:80"), Err(Error::PlainHttpRefused));
        let open = Policy { plain_http: true, ..Policy::default() };
        assert_eq!(check(&open, &Scheme::HTTP, "8.8.8.8:80"), Ok(()));
        let inside = check(&open, &Scheme::HTTP, "10.0.0.1:80");
        assert_eq!(inside, Err(Error::AddressRefused(Rule::Private)));
    }
}
