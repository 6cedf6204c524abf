//! T1: origins whose certificates do not verify, one flaw a row, through the connector that every way in uses.
//!
//! The flaws are those of x509-limbo's families that a TLS server can show: names, times, chains, constraints.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
    SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::client::client_config;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame, preface};
use crate::support::origin::ok;
use crate::support::pki::{Pki, provider};
use crate::support::world::deny;
use crate::support::{Canary, World};

const NAME: &str = "canary.test";
const ADDRESS: &str = "127.0.0.1";

/// Who signed the first certificate below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Trusted,
    /// An authority that the proxy does not know.
    Stranger,
    /// The same, by the name of the one it does.
    Namesake,
    /// The leaf itself.
    None,
}

struct Row {
    what: &'static str,
    /// What is asked for.
    host: &'static str,
    root: Root,
    /// Authorities between root and leaf, the root's first.
    between: Vec<CertificateParams>,
    leaf: CertificateParams,
    /// Whether the server sends what is between.
    sent: bool,
    /// The reason of the 502; none if it is a good one.
    told: Option<&'static str>,
}

/// A leaf for these names and addresses.
fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// An authority with this name.
fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

/// An authority that may sign for these only, or not for those.
fn constrained(permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>) -> CertificateParams {
    with(authority("constrained"), |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: permitted,
            excluded_subtrees: excluded,
        });
    })
}

/// A row whose chain is good but for what the caller changes.
fn row(what: &'static str, told: Option<&'static str>, leaf: CertificateParams) -> Row {
    Row {
        what,
        host: NAME,
        root: Root::Trusted,
        between: Vec::new(),
        leaf,
        sent: true,
        told,
    }
}

/// Leaves alone.
fn leaves() -> Vec<Row> {
    let (host, at) = (Some("origin-cert-host"), |host, row| Row { host, ..row });
    let raw = |name: &str| {
        with(leaf(&[]), |params| {
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        })
    };
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    let usage =
        |usage| move |params: &mut CertificateParams| params.extended_key_usages = vec![usage];
    let critical = |params: &mut CertificateParams| {
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    };
    vec![
        row("the name", None, leaf(&[NAME])),
        row(
            "the name among others",
            None,
            leaf(&["other.test", "*.other.test", NAME]),
        ),
        at(
            "www.canary.test",
            row("a wildcard", None, leaf(&["*.canary.test"])),
        ),
        at(ADDRESS, row("the address", None, leaf(&[ADDRESS]))),
        row("another name", host, leaf(&["other.test"])),
        row("a name below", host, leaf(&["www.canary.test"])),
        at("www.canary.test", row("a name above", host, leaf(&[NAME]))),
        row("a wildcard below", host, leaf(&["*.canary.test"])),
        at(
            "a.www.canary.test",
            row("a wildcard for two labels", host, leaf(&["*.canary.test"])),
        ),
        at(
            "www.canary.test",
            row("two wildcards", host, raw("*.*.test")),
        ),
        row("half a wildcard", host, raw("can*.test")),
        row("a wildcard in the middle", host, raw("canary.*")),
        row("a wildcard alone", host, raw("*")),
        at(
            ADDRESS,
            row("a wildcard in an address", host, raw("*.0.0.1")),
        ),
        row("NUL in the name", host, raw("canary.test\0.evil.test")),
        row("NUL before the name", host, raw("\0canary.test")),
        row("a dot before the name", host, raw(".canary.test")),
        row("the common name only", host, leaf(&[])),
        row("the address for the name", host, leaf(&[ADDRESS])),
        at(
            ADDRESS,
            row("the name for the address", host, leaf(&[NAME])),
        ),
        at(ADDRESS, row("the address as a name", host, raw(ADDRESS))),
        at(ADDRESS, row("another address", host, leaf(&["127.0.0.2"]))),
        row(
            "expired",
            Some("origin-cert-expired"),
            with(leaf(&[NAME]), expired),
        ),
        row(
            "not yet valid",
            Some("origin-cert-expired"),
            with(leaf(&[NAME]), early),
        ),
        row(
            "for clients",
            Some("origin-cert"),
            with(leaf(&[NAME]), usage(ExtendedKeyUsagePurpose::ClientAuth)),
        ),
        row(
            "for code",
            Some("origin-cert"),
            with(leaf(&[NAME]), usage(ExtendedKeyUsagePurpose::CodeSigning)),
        ),
        row(
            "a critical extension nobody knows",
            Some("origin-cert"),
            with(leaf(&[NAME]), critical),
        ),
        row(
            "an authority",
            Some("origin-cert"),
            with(leaf(&[NAME]), |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
            }),
        ),
        Row {
            root: Root::Namesake,
            ..row(
                "an authority's namesake",
                Some("origin-cert"),
                leaf(&[NAME]),
            )
        },
        Row {
            root: Root::Stranger,
            ..row(
                "an authority nobody knows",
                Some("origin-cert-authority"),
                leaf(&[NAME]),
            )
        },
        Row {
            root: Root::None,
            ..row(
                "signed by itself",
                Some("origin-cert-authority"),
                leaf(&[NAME]),
            )
        },
    ]
}

/// What stands between root and leaf.
fn chains() -> Vec<Row> {
    let through = |what, told, between| Row {
        between,
        ..row(what, told, leaf(&[NAME]))
    };
    let bounded = |name, most| {
        with(authority(name), |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most))
        })
    };
    let dns = |name: &str| vec![GeneralSubtree::DnsName(name.to_owned())];
    let ip = |octets, prefix| {
        vec![GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(
            octets, prefix,
        ))]
    };
    let by_address = |what, told, between| Row {
        host: ADDRESS,
        leaf: leaf(&[ADDRESS]),
        ..through(what, told, between)
    };
    let bad = Some("origin-cert");
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    vec![
        through(
            "two between",
            None,
            vec![authority("one"), authority("two")],
        ),
        through(
            "as many as may be",
            None,
            vec![bounded("one", 1), bounded("two", 0)],
        ),
        through(
            "more than may be",
            bad,
            vec![bounded("one", 0), authority("two")],
        ),
        through(
            "no end of them",
            bad,
            (0..8).map(|_| authority("many")).collect(),
        ),
        through(
            "no authority",
            bad,
            vec![with(authority("none"), |params| {
                params.is_ca = IsCa::ExplicitNoCa
            })],
        ),
        through(
            "nothing said of authority",
            bad,
            vec![with(authority("none"), |params| params.is_ca = IsCa::NoCa)],
        ),
        through(
            "one that has expired",
            Some("origin-cert-expired"),
            vec![with(authority("old"), expired)],
        ),
        through(
            "one that is not yet valid",
            Some("origin-cert-expired"),
            vec![with(authority("new"), |params| {
                params.not_before = date_time_ymd(4000, 1, 1)
            })],
        ),
        through(
            "one for clients",
            bad,
            vec![with(authority("clients"), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
            })],
        ),
        Row {
            sent: false,
            ..through(
                "one that is not sent",
                Some("origin-cert-authority"),
                vec![authority("one")],
            )
        },
        Row {
            root: Root::Namesake,
            ..through("one of a namesake", bad, vec![authority("one")])
        },
        Row {
            root: Root::Stranger,
            ..through(
                "one of an authority nobody knows",
                Some("origin-cert-authority"),
                vec![authority("one")],
            )
        },
        through(
            "a permitted name",
            None,
            vec![constrained(dns("canary.test"), Vec::new())],
        ),
        through(
            "a permitted domain",
            None,
            vec![constrained(dns("test"), Vec::new())],
        ),
        through(
            "a name not permitted",
            bad,
            vec![constrained(dns("other.test"), Vec::new())],
        ),
        through(
            "an excluded name",
            bad,
            vec![constrained(Vec::new(), dns("canary.test"))],
        ),
        through(
            "an excluded domain",
            bad,
            vec![constrained(Vec::new(), dns("test"))],
        ),
        through(
            "excluded and permitted",
            bad,
            vec![constrained(dns("canary.test"), dns("test"))],
        ),
        Row {
            host: "www.canary.test",
            leaf: leaf(&["*.canary.test"]),
            ..through(
                "a wildcard over an excluded name",
                bad,
                vec![constrained(Vec::new(), dns("www.canary.test"))],
            )
        },
        by_address(
            "a permitted network",
            None,
            vec![constrained(ip([127, 0, 0, 0], 8), Vec::new())],
        ),
        by_address(
            "a network not permitted",
            bad,
            vec![constrained(ip([10, 0, 0, 0], 8), Vec::new())],
        ),
        by_address(
            "an excluded network",
            bad,
            vec![constrained(Vec::new(), ip([127, 0, 0, 0], 8))],
        ),
    ]
}

impl Row {
    /// What the origin shows.
    fn server(&self, trusted: &Pki) -> Arc<ServerConfig> {
        let untrusted = match self.root {
            Root::Namesake => Pki::new("test origins"),
            _ => Pki::new("nobody trusts this"),
        };
        let root = match self.root {
            Root::Trusted => &trusted.authority,
            Root::Stranger | Root::Namesake | Root::None => &untrusted.authority,
        };
        let mut issuers: Vec<CertifiedIssuer<'static, KeyPair>> = Vec::new();
        for params in &self.between {
            let key = KeyPair::generate().unwrap();
            let issuer = issuers.last().unwrap_or(root);
            let next = CertifiedIssuer::signed_by(params.clone(), key, issuer).unwrap();
            issuers.push(next);
        }
        let key = KeyPair::generate().unwrap();
        let leaf = match self.root {
            Root::None => self.leaf.self_signed(&key),
            _ => self.leaf.signed_by(&key, issuers.last().unwrap_or(root)),
        };
        let sent = issuers.iter().rev().filter(|_| self.sent);
        let sent = sent.map(|issuer| issuer.der().clone());
        let chain: Vec<CertificateDer<'static>> = std::iter::once(leaf.unwrap().der().clone())
            .chain(sent)
            .collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = provider().key_provider.load_private_key(key).unwrap();
        // What the builder has to say against such a chain is for the proxy to say.
        let shown = rustls::sign::CertifiedKey::new(chain, key);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
        Arc::new(config)
    }

    async fn run(&self, world: &World) -> Result<(), String> {
        let canary = Canary::https(self.server(&world.pki), |_| ok("hello")).await;
        let authority = format!("{}:{}", self.host, canary.port());
        if self.host != ADDRESS {
            world.dns.points(self.host, &["127.0.0.1"]);
        }
        world.set(&deny(&[&authority]));
        let expected = self.told.map_or(200, |_| 502);
        let mut wrong = Vec::new();
        for upgrade in ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"] {
            let mut tunnel = self.tunnel(world, &authority, b"http/1.1").await;
            let head = format!("GET / HTTP/1.1\r\nHost: {authority}\r\n{upgrade}\r\n");
            tunnel.send(head.as_bytes()).await;
            let answer = tunnel.answer().await.ok_or("no answer")?;
            if (answer.status, answer.reason()) != (expected, self.told.unwrap_or("")) {
                wrong.push(format!("{upgrade:?} {} {}", answer.status, answer.reason()));
            }
        }
        let mut tunnel = self.tunnel(world, &authority, b"h2").await;
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", "/"),
        ];
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
        tunnel.send(&[preface(), ask].concat()).await;
        let outcome = tunnel.outcome(1).await;
        if outcome != Outcome::Status(expected) {
            wrong.push(format!("over HTTP/2 {outcome:?}"));
        }
        let asked = canary.requests().len();
        if asked != if self.told.is_none() { 3 } else { 0 } {
            wrong.push(format!("{asked} requests arrived"));
        }
        wrong
            .is_empty()
            .then_some(())
            .ok_or(format!("{}: {wrong:?}", self.what))
    }

    async fn tunnel(
        &self,
        world: &World,
        authority: &str,
        alpn: &[u8],
    ) -> crate::support::Tunnel<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        let tunnel = world.connect(authority).await.unwrap();
        let config = client_config(&world.ca(), &[alpn]);
        tunnel.tls_with(config, self.host).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_is_a_502_that_says_why() {
    let world = World::new(&deny(&[])).await;
    let mut wrong = Vec::new();
    for row in leaves().into_iter().chain(chains()) {
        wrong.extend(row.run(&world).await.err());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
