//! Which addresses an outside app may have.
//!
//! Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890, RFC 8190), the IPv6
//! global unicast range (RFC 4291: `2000::/3`), and the cloud providers' metadata addresses. What is
//! not certainly a public unicast address is refused: IPv6 that carries an IPv4 address inside is
//! refused whatever that address is, since whoever translates it may stand in the private network.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// Carrier-grade NAT, RFC 6598.
    SharedSpace,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// A cloud's instance metadata or control address.
    Metadata,
    /// IETF protocol assignments.
    ProtocolAssignment,
    /// Documentation.
    Documentation,
    /// Benchmarking, RFC 2544 and RFC 5180.
    Benchmarking,
    /// Multicast.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// IPv4-mapped IPv6.
    Mapped,
    /// IPv4-compatible IPv6.
    Compatible,
    /// IPv4 behind NAT64, RFC 6052 and RFC 8215.
    Nat64,
    /// IPv4 behind 6to4, RFC 3056 and RFC 7526.
    SixToFour,
    /// IPv4 behind Teredo, RFC 4380.
    Teredo,
    /// RFC 4193.
    UniqueLocal,
    /// RFC 3879.
    SiteLocal,
    /// Not assigned to anyone, or not for unicast.
    Reserved,
}

impl Rule {
    /// The rule in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::SharedSpace => "a carrier-grade nat address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::ProtocolAssignment => "a protocol assignment address",
            Self::Documentation => "a documentation address",
            Self::Benchmarking => "a benchmarking address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Mapped => "an ipv4-mapped address",
            Self::Compatible => "an ipv4-compatible address",
            Self::Nat64 => "a nat64 address",
            Self::SixToFour => "a 6to4 address",
            Self::Teredo => "a teredo address",
            Self::UniqueLocal => "a unique local address",
            Self::SiteLocal => "a site-local address",
            Self::Reserved => "a reserved address",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// The first row that contains an address names the rule.
const FORBIDDEN_V4: &[(Ipv4Net, Rule)] = &[
    (v4(169, 254, 169, 254, 32), Rule::Metadata), // AWS, Azure, Google, most others
    (v4(169, 254, 170, 2, 32), Rule::Metadata),   // AWS containers
    (v4(168, 63, 129, 16, 32), Rule::Metadata),   // Azure's host, in public space
    (v4(100, 100, 100, 200, 32), Rule::Metadata), // Alibaba
    (v4(192, 0, 0, 192, 32), Rule::Metadata),     // Oracle
    (v4(0, 0, 0, 0, 8), Rule::Unspecified),
    (v4(10, 0, 0, 0, 8), Rule::Private),
    (v4(100, 64, 0, 0, 10), Rule::SharedSpace),
    (v4(127, 0, 0, 0, 8), Rule::Loopback),
    (v4(169, 254, 0, 0, 16), Rule::LinkLocal),
    (v4(172, 16, 0, 0, 12), Rule::Private),
    (v4(192, 0, 0, 0, 24), Rule::ProtocolAssignment),
    (v4(192, 0, 2, 0, 24), Rule::Documentation),
    (v4(192, 88, 99, 0, 24), Rule::SixToFour),
    (v4(192, 168, 0, 0, 16), Rule::Private),
    (v4(198, 18, 0, 0, 15), Rule::Benchmarking),
    (v4(198, 51, 100, 0, 24), Rule::Documentation),
    (v4(203, 0, 113, 0, 24), Rule::Documentation),
    (v4(224, 0, 0, 0, 4), Rule::Multicast),
    (v4(255, 255, 255, 255, 32), Rule::Broadcast),
    (v4(240, 0, 0, 0, 4), Rule::Reserved),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const FORBIDDEN_V6: &[(Ipv6Net, Rule)] = &[
    (v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128), Rule::Metadata), // AWS
    (v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128), Rule::Metadata), // Google
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Rule::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Rule::Loopback),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Rule::Mapped),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), Rule::Compatible),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), Rule::Nat64),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Rule::Nat64),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Rule::Teredo),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Rule::Benchmarking),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Rule::ProtocolAssignment),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Rule::Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Rule::Documentation),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Rule::SixToFour),
    (v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16), Rule::Reserved), // 6bone, given back
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Rule::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Rule::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Rule::SiteLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Rule::Multicast),
];

/// Whether an address is a public unicast one, and if not, by which rule.
pub fn classify(address: IpAddr) -> Result<(), Rule> {
    let rule = match address {
        IpAddr::V4(address) => {
            FORBIDDEN_V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, rule)| *rule)
        }
        IpAddr::V6(address) => FORBIDDEN_V6
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, rule)| *rule)
            .or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some(Rule::Reserved)),
    };
    rule.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_refused_from_its_first_address_to_its_last() {
        for (net, _) in FORBIDDEN_V4 {
            for address in [net.network(), net.broadcast()] {
                assert!(classify(address.into()).is_err(), "{address} of {net}");
            }
        }
        for (net, _) in FORBIDDEN_V6 {
            for address in [net.network(), net.broadcast()] {
                assert!(classify(address.into()).is_err(), "{address} of {net}");
            }
        }
    }

    #[test]
    fn the_addresses_beside_the_ranges_are_public() {
        for text in [
            "1.0.0.0",
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::1",
            "2400:cb00::1",
            "2606:4700:4700::1111",
            "2620:fe::fe",
            "2a00:1450:4001:80b::200e",
            "3ffd::1",
            "3fff:1000::1",
        ] {
            assert_eq!(classify(text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_rule_is_named() {
        for (text, rule) in [
            ("0.0.0.0", Rule::Unspecified),
            ("10.1.2.3", Rule::Private),
            ("100.64.0.1", Rule::SharedSpace),
            ("100.100.100.200", Rule::Metadata),
            ("127.8.8.8", Rule::Loopback),
            ("168.63.129.16", Rule::Metadata),
            ("169.254.169.254", Rule::Metadata),
            ("169.254.1.1", Rule::LinkLocal),
            ("198.19.0.1", Rule::Benchmarking),
            ("239.1.1.1", Rule::Multicast),
            ("250.0.0.1", Rule::Reserved),
            ("255.255.255.255", Rule::Broadcast),
            ("::", Rule::Unspecified),
            ("::1", Rule::Loopback),
            ("::8.8.8.8", Rule::Compatible),
            ("::ffff:8.8.8.8", Rule::Mapped),
            ("::ffff:0:8.8.8.8", Rule::Reserved),
            ("64:ff9b::8.8.8.8", Rule::Nat64),
            ("64:ff9b:1:2::1", Rule::Nat64),
            ("100::1", Rule::Reserved),
            ("2001::1", Rule::Teredo),
            ("2001:10::1", Rule::ProtocolAssignment),
            ("2002:808:808::1", Rule::SixToFour),
            ("4000::1", Rule::Reserved),
            ("5f00::1", Rule::Reserved),
            ("fd00:ec2::254", Rule::Metadata),
            ("fd12::1", Rule::UniqueLocal),
            ("fe80::1", Rule::LinkLocal),
            ("fec0::1", Rule::SiteLocal),
            ("ff02::1", Rule::Multicast),
        ] {
            assert_eq!(classify(text.parse().unwrap()), Err(rule), "{text}");
        }
    }
}
