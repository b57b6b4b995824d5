//! Threats 21 and 22: where the client connects to.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use axum::{Router, http::header::CONNECTION, routing::get as on_get};
use keystile_domain::ErrorKind;
use keystile_egress::{Client, Credential, Error, address::Rule};
use url::Url;

use crate::support::{Names, Upstream, client, get, named, nets, only};

async fn send(client: &Client, url: &str) -> Result<(), Error> {
    client.send(get(url), &Credential::None).await.map(drop)
}

const FORBIDDEN: &[[u8; 4]] = &[
    [0, 0, 0, 0],
    [0, 1, 2, 3],
    [10, 0, 0, 1],
    [10, 255, 255, 255],
    [100, 64, 0, 1],
    [100, 100, 100, 200],
    [100, 127, 255, 255],
    [127, 0, 0, 1],
    [127, 0, 0, 53],
    [127, 255, 255, 254],
    [168, 63, 129, 16],
    [169, 254, 0, 1],
    [169, 254, 169, 254],
    [169, 254, 170, 2],
    [172, 16, 0, 1],
    [172, 31, 255, 255],
    [192, 0, 0, 1],
    [192, 0, 0, 192],
    [192, 0, 2, 1],
    [192, 88, 99, 1],
    [192, 168, 0, 1],
    [192, 168, 255, 255],
    [198, 18, 0, 1],
    [198, 19, 255, 255],
    [198, 51, 100, 1],
    [203, 0, 113, 1],
    [224, 0, 0, 1],
    [239, 255, 255, 255],
    [240, 0, 0, 1],
    [255, 255, 255, 255],
];

const FORBIDDEN_V6: &[&str] = &[
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "0000::0001",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "64:ff9b::",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fdff:ffff::1",
    "fe80::1",
    "FE80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff00::1",
    "ff02::1",
    "ff0e::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Every spelling of an IPv4 address that some URL parser takes for it.
fn spellings(bytes: [u8; 4]) -> Vec<String> {
    let [a, b, c, d] = bytes.map(u32::from);
    let whole = u32::from_be_bytes(bytes);
    let [hi, lo] = [a << 8 | b, c << 8 | d];
    let dotted = Ipv4Addr::from(bytes).to_string();
    let full_width: String = dotted
        .chars()
        .map(|c| match c.to_digit(10) {
            Some(digit) => char::from_u32(0xff10 + digit).unwrap(),
            None => '。',
        })
        .collect();
    let percent = dotted.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02x}").unwrap();
        out
    });
    vec![
        format!("{whole}"),
        format!("{whole:#x}"),
        format!("{whole:#X}").replace("0X", "0x"),
        format!("0{whole:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0000{a:o}.{b}.{c:#x}.{d}"),
        format!("{a}.{}", whole & 0x00ff_ffff),
        format!("{a:#x}.{:#x}", whole & 0x00ff_ffff),
        format!("{a}.{b}.{lo}"),
        format!("{a}.{b}.{lo:#x}"),
        format!("{dotted}."),
        full_width,
        percent,
        format!("[::ffff:{dotted}]"),
        format!("[::ffff:{hi:x}:{lo:x}]"),
        format!("[0:0:0:0:0:ffff:{hi:x}:{lo:x}]"),
        format!("[::{dotted}]"),
        format!("[::ffff:0:{dotted}]"),
        format!("[64:ff9b::{dotted}]"),
        format!("[64:ff9b:1::{dotted}]"),
        format!("[2002:{hi:x}:{lo:x}::1]"),
        format!("[2001::{:x}:{:x}]", !hi & 0xffff, !lo & 0xffff),
        dotted,
    ]
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_dialled() {
    // Whoever dials an address of this machine after all is heard.
    let trap = Upstream::start_at("0.0.0.0:0", Router::new()).await;
    let port = trap.address.port();
    let trap_v6 = Upstream::start_at(&format!("[::1]:{port}"), Router::new()).await;
    let heard = || (trap.accepted(), trap_v6.accepted());
    assert_eq!(
        send(&client(nets(&["127.0.0.0/8"])), &format!("http://0x7f.1:{port}/")).await,
        Ok(())
    );
    assert_eq!(send(&client(nets(&["::1/128"])), &format!("http://[0::1]:{port}/")).await, Ok(()));
    assert_eq!(heard(), (1, 1));

    let names = Names::new(&[&["127.0.0.1"]]);
    let client = named(keystile_egress::Policy::default(), &names);
    let mut hosts: Vec<String> = FORBIDDEN.iter().copied().flat_map(spellings).collect();
    for literal in FORBIDDEN_V6 {
        let address: Ipv6Addr = literal.parse().unwrap();
        let segments = address.segments().map(|segment| format!("{segment:04X}"));
        hosts.push(format!("[{literal}]"));
        hosts.push(format!("[{}]", segments.join(":")));
    }
    assert!(hosts.iter().collect::<BTreeSet<_>>().len() >= 750, "{}", hosts.len());
    let mut tried = 0;
    for host in &hosts {
        for (scheme, port) in [("https", 443), ("http", 80), ("https", port), ("http", port)] {
            let Ok(url) = Url::parse(&format!("{scheme}://{host}:{port}/")) else {
                panic!("{host} is a spelling that the parser does not know");
            };
            let refused = send(&client, url.as_str()).await;
            assert!(matches!(refused, Err(Error::AddressRefused(_))), "{url} from {host}");
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden);
            tried += 1;
        }
    }
    assert!(tried >= 3_000, "{tried}");
    assert_eq!(heard(), (1, 1), "somebody was dialled");
    assert_eq!(names.asked(), 0, "a literal was taken for a name");
}

#[tokio::test]
async fn a_name_of_a_forbidden_address_is_refused() {
    for (address, rule) in [
        ("127.0.0.1", Rule::Loopback),
        ("::ffff:127.0.0.1", Rule::Mapped),
        ("169.254.169.254", Rule::Metadata),
        ("fd00:ec2::254", Rule::Metadata),
    ] {
        let client = named(keystile_egress::Policy::default(), &Names::new(&[&[address]]));
        for host in ["localhost", "api.example.com", "127.0.0.1.example.com"] {
            let refused = send(&client, &format!("https://{host}/")).await;
            assert_eq!(refused, Err(Error::AddressRefused(rule)), "{host}");
        }
    }
    let nowhere = send(&client(nets(&[])), "https://api.example.com/").await;
    assert_eq!(nowhere, Err(Error::Unresolved));
}

#[tokio::test]
async fn a_name_that_moves_inside_is_not_followed() {
    let app = || Router::new().route("/", on_get(|| async { ([(CONNECTION, "close")], "hello") }));
    let outside = Upstream::start_at("127.0.0.2:0", app()).await;
    let port = outside.address.port();
    let inside = Upstream::start_at(&format!("127.0.0.1:{port}"), app()).await;
    let names = Names::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let client = named(nets(&["127.0.0.2/32"]), &names);
    let url = format!("http://api.example.com:{port}/");

    assert_eq!(send(&client, &url).await, Ok(()));
    // Asked once: what was checked is what was dialled.
    assert_eq!((names.asked(), outside.accepted()), (1, 1));
    for _ in 0..20 {
        let refused = send(&client, &url).await;
        assert_eq!(refused, Err(Error::AddressRefused(Rule::Loopback)));
    }
    assert_eq!((outside.accepted(), inside.accepted()), (1, 0));
}

#[tokio::test]
async fn forbidden_addresses_among_others_are_dropped() {
    let app = || Router::new().route("/", on_get(|| async { "hello" }));
    let outside = Upstream::start_at("127.0.0.2:0", app()).await;
    let port = outside.address.port();
    let inside = Upstream::start_at(&format!("127.0.0.1:{port}"), app()).await;
    let names = Names::new(&[&["127.0.0.1", "::1", "127.0.0.2", "10.0.0.1"]]);
    let client = named(only(&[&outside]), &names);
    assert_eq!(send(&client, &format!("http://api.example.com:{port}/")).await, Ok(()));
    assert_eq!((outside.accepted(), inside.accepted()), (1, 0));
}

#[tokio::test]
async fn a_listed_socket_opens_no_other_port() {
    let app = || Router::new().route("/", on_get(|| async { "hello" }));
    let (listed, other) = (Upstream::start(app()).await, Upstream::start(app()).await);
    let names = Names::new(&[&["127.0.0.1"]]);
    let client = named(only(&[&listed]), &names);
    assert_eq!(send(&client, &listed.url("/")).await, Ok(()));
    let port = other.address.port();
    for url in [other.url("/"), format!("http://sandbox:{port}/")] {
        let refused = send(&client, &url).await;
        assert_eq!(refused, Err(Error::AddressRefused(Rule::Loopback)), "{url}");
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_connection_of_one_client_serves_no_other() {
    let app = Router::new().route("/", on_get(|| async { "hello" }));
    let upstream = Upstream::start(app).await;
    let open = client(only(&[&upstream]));
    let body = open.send(get(&upstream.url("/")), &Credential::None).await.unwrap().body;
    body.bytes_limited(100).await.unwrap();
    let refused = send(&client(nets(&[])), &upstream.url("/")).await;
    assert_eq!(refused, Err(Error::AddressRefused(Rule::Loopback)));
}
