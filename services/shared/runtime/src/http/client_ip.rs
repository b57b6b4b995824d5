//! Who is at the other end.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the socket's, or while that is a trusted proxy, the one that it put at
/// the end of `X-Forwarded-For`, and so on leftwards. What stands left of the first address that
/// is not trusted is only a claim and is not read.
///
/// `None` if the request came over no socket.
#[must_use]
pub fn client_ip(
    extensions: &Extensions,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let mut client = peer.ip().to_canonical();
    let hops = headers.get_all(FORWARDED_FOR);
    let mut hops = hops
        .iter()
        .rev()
        .flat_map(|line| line.to_str().unwrap_or("unreadable").rsplit(','))
        .map(|hop| address(hop.trim()));
    while trusted.iter().any(|net| net.contains(&client)) {
        // Nothing further, or a trusted proxy wrote nonsense: it is the client as far as we know.
        let Some(Some(next)) = hops.next() else { break };
        client = next;
    }
    Some(client)
}

/// An address as proxies write it: bare, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let mut extensions = Extensions::new();
        let peer: SocketAddr = peer.parse().expect("an address");
        extensions.insert(ConnectInfo(peer));
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a net"));
        client_ip(&extensions, &headers, &trusted).expect("a socket").to_string()
    }

    #[test]
    fn the_socket_decides_unless_it_is_a_trusted_proxy() {
        assert_eq!(client("192.0.2.1:5", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1:5", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1:5", &[]), "10.0.0.1");
        assert_eq!(client("[::ffff:10.0.0.1]:5", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("[fd00::1]:5", &["[2001:db8::1]:443"]), "2001:db8::1");
    }

    #[test]
    fn what_the_client_claims_about_itself_is_not_read() {
        let claims = ["127.0.0.1", "10.1.1.1, 198.51.100.7"];
        assert_eq!(client("10.0.0.1:5", &claims), "198.51.100.7");
        let chain = ["203.0.113.9, 198.51.100.7:80, 10.9.9.9", "10.2.2.2"];
        assert_eq!(client("10.0.0.1:5", &chain), "198.51.100.7");
        assert_eq!(client("10.0.0.1:5", &["203.0.113.9, unknown"]), "10.0.0.1");
    }

    #[test]
    fn without_a_socket_there_is_no_address() {
        assert_eq!(client_ip(&Extensions::new(), &HeaderMap::new(), &[]), None);
    }
}
