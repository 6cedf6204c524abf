//! The rows of the verdicts.

use super::{Failed, Reached, Refused, Row, row};

const ANY: &str = r#"{"policy":"allow"}"#;
/// Nothing is blocked by address, and still no rule speaks for this machine.
pub(super) const BARE: &str = r#"{"policy":"allow","network":{"blockCIDR":[]}}"#;
const BELOW: &str = r#"{"policy":"deny","network":{"allowedDomains":["*.test","*.test:{port}"]}}"#;
pub(super) const NAMED: &str =
    r#"{"policy":"deny","network":{"allowedDomains":["canary.test:{port}"]}}"#;
const LOCAL: &str = r#"{"policy":"deny","network":{"allowedDomains":["localhost:{port}"]}}"#;
const OWN: &str = r#"{"policy":"allow","network":{"allowedDomains":["127.0.0.1:{own}","localhost:{own}","canary.test:{own}","0.0.0.0:{own}"],"blockCIDR":[]}}"#;

const HERE: &[&str] = &["127.0.0.1"];
pub(super) const CANARY: &str = "canary.test:{port}";

pub(super) const ROWS: &[Row] = &[
    // Named with its port, it is reached: the control of all that follow.
    row("ok", NAMED, HERE, CANARY, Reached),
    row("ok", LOCAL, &[], "localhost:{port}", Reached),
    // An address inside an address.
    row(
        "N2",
        ANY,
        &["::ffff:127.0.0.1"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        BARE,
        &["::ffff:127.0.0.1"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        BARE,
        &["::127.0.0.1"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        BARE,
        &["64:ff9b::7f00:1"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        BARE,
        &["2002:7f00:1::"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        ANY,
        &["::ffff:10.1.2.3"],
        CANARY,
        Refused("block-cidr"),
    ),
    row("N2", ANY, &["::10.1.2.3"], CANARY, Refused("block-cidr")),
    row(
        "N2",
        ANY,
        &["::ffff:0:10.1.2.3"],
        CANARY,
        Refused("block-cidr"),
    ),
    row(
        "N2",
        ANY,
        &["64:ff9b::a01:203"],
        CANARY,
        Refused("block-cidr"),
    ),
    row(
        "N2",
        ANY,
        &["2002:a01:203::"],
        CANARY,
        Refused("block-cidr"),
    ),
    row(
        "N2",
        BARE,
        &["64:ff9b::a9fe:a9fe"],
        CANARY,
        Refused("metadata"),
    ),
    row(
        "N2",
        ANY,
        &[],
        "[::ffff:10.1.2.3]:{port}",
        Refused("block-cidr"),
    ),
    row(
        "N2",
        BARE,
        &[],
        "[::ffff:127.0.0.1]:{port}",
        Refused("this-machine"),
    ),
    // The other ways to put one into another: a NAT64 prefix of one's own, Teredo (inverted), ISATAP.
    row(
        "N2",
        BARE,
        &["64:ff9b:1::7f00:1"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        ANY,
        &["2001:0:a01:203::80ff:fffe"],
        CANARY,
        Refused("this-machine"),
    ),
    row(
        "N2",
        BARE,
        &["2001:db8::5efe:7f00:1"],
        CANARY,
        Refused("this-machine"),
    ),
    // This network, any address.
    row("N3", BARE, &["0.0.0.0"], CANARY, Refused("this-machine")),
    row("N3", ANY, &["0.1.2.3"], CANARY, Refused("this-machine")),
    row("N3", BARE, &["::"], CANARY, Refused("this-machine")),
    row("N3", BARE, &[], "0.0.0.0:{port}", Refused("this-machine")),
    row("N3", BARE, &[], "[::]:{port}", Refused("this-machine")),
    row("N3", BELOW, &["0.0.0.0"], CANARY, Refused("this-machine")),
    // Names of this machine.
    row("N4", BARE, &[], "localhost:{port}", Refused("this-machine")),
    row("N4", BARE, &[], "LOCALHOST:{port}", Refused("this-machine")),
    row(
        "N4",
        BARE,
        &[],
        "localhost.:{port}",
        Refused("this-machine"),
    ),
    row(
        "N4",
        BARE,
        &[],
        "x.localhost:{port}",
        Refused("this-machine"),
    ),
    row(
        "N4",
        BARE,
        &[],
        "host.docker.internal:{port}",
        Refused("this-machine"),
    ),
    row(
        "N4",
        BARE,
        &[],
        "gateway.docker.internal:{port}",
        Refused("this-machine"),
    ),
    row("N4", BARE, &[], "[::1]:{port}", Refused("this-machine")),
    row(
        "N4",
        BARE,
        &[],
        "127.255.255.254:{port}",
        Refused("this-machine"),
    ),
    row(
        "N4",
        BARE,
        HERE,
        "127.0.0.1.nip.test:{port}",
        Refused("this-machine"),
    ),
    row("N4", LOCAL, &[], "host.docker.internal:{port}", Reached),
    // Only a name server may say what these are, and it is asked for them as they are, without a search list.
    row(
        "N4",
        BARE,
        &[],
        "ip6-localhost:{port}",
        Failed("dns-not-found"),
    ),
    row("N4", BARE, &[], "gateway:{port}", Failed("dns-not-found")),
    row(
        "N4",
        BARE,
        &[],
        "printer.local:{port}",
        Failed("dns-not-found"),
    ),
    // Cloud metadata, to a name that is allowed exactly.
    row(
        "N5",
        NAMED,
        &["169.254.169.254"],
        CANARY,
        Refused("metadata"),
    ),
    row("N5", NAMED, &["fd00:ec2::254"], CANARY, Refused("metadata")),
    row(
        "N5",
        NAMED,
        &["100.100.100.200"],
        CANARY,
        Refused("metadata"),
    ),
    row("N5", NAMED, &["168.63.129.16"], CANARY, Refused("metadata")),
    row("N5", NAMED, &["169.254.170.2"], CANARY, Refused("metadata")),
    row("N5", NAMED, &["192.0.0.192"], CANARY, Refused("metadata")),
    row("N5", NAMED, &["fd20:ce::254"], CANARY, Refused("metadata")),
    row(
        "N5",
        NAMED,
        &["169.254.169.253"],
        CANARY,
        Refused("metadata"),
    ),
    row(
        "N5",
        NAMED,
        &["::ffff:169.254.169.254"],
        CANARY,
        Refused("metadata"),
    ),
    row(
        "N5",
        BARE,
        &[],
        "169.254.169.254:{port}",
        Refused("metadata"),
    ),
    // Private networks behind a wildcard or a default.
    row("N7", ANY, &["10.9.9.9"], CANARY, Refused("block-cidr")),
    row("N7", BELOW, &["10.9.9.9"], CANARY, Refused("block-cidr")),
    row(
        "N7",
        BELOW,
        &["192.168.0.1", "fd00::1"],
        CANARY,
        Refused("block-cidr"),
    ),
    row("N7", ANY, &["100.64.0.1"], CANARY, Refused("block-cidr")),
    row("N7", ANY, &["224.0.0.1"], CANARY, Refused("block-cidr")),
    row("N7", ANY, &["ff02::1"], CANARY, Refused("block-cidr")),
    row("N7", ANY, &["fe80::1"], CANARY, Refused("block-cidr")),
    row(
        "N7",
        ANY,
        &["255.255.255.255"],
        CANARY,
        Refused("block-cidr"),
    ),
    // One good address among bad ones is the one that is used.
    row(
        "N7",
        NAMED,
        &["169.254.169.254", "127.0.0.1", "fd00:ec2::254"],
        CANARY,
        Reached,
    ),
    // Suffixes are labels.
    row(
        "N10",
        BELOW,
        HERE,
        "canary.test.evil.example:{port}",
        Refused("default"),
    ),
    row(
        "N10",
        BELOW,
        HERE,
        "evilcanarytest:{port}",
        Refused("default"),
    ),
    row("N10", BELOW, HERE, "test:{port}", Refused("default")),
    row(
        "N10",
        NAMED,
        HERE,
        "xcanary.test:{port}",
        Refused("default"),
    ),
    row(
        "N10",
        NAMED,
        HERE,
        "www.canary.test:{port}",
        Refused("default"),
    ),
    row("N10", NAMED, HERE, "CANARY.Test.:{port}", Reached),
    // An address is no name, a port is part of a rule, and a denied name is not resolved.
    row("D7", NAMED, HERE, "127.0.0.1:{port}", Refused("default")),
    row("D7", BELOW, HERE, "127.0.0.1:{port}", Refused("default")),
    row("D7", BELOW, HERE, "[::1]:{port}", Refused("default")),
    row("D13", NAMED, HERE, "canary.test:22", Refused("default")),
    row("D13", NAMED, HERE, "canary.test:25", Refused("default")),
    row("D13", NAMED, HERE, "canary.test:2375", Refused("default")),
    row("D13", LOCAL, HERE, "localhost:6443", Refused("default")),
    row(
        "D8",
        r#"{"policy":"allow","network":{"blockedDomains":["canary.test"]}}"#,
        HERE,
        CANARY,
        Refused("host-rule"),
    ),
    row(
        "D8",
        r#"{"policy":"allow","network":{"blockedDomains":["*.test"]}}"#,
        HERE,
        CANARY,
        Refused("host-rule"),
    ),
    row(
        "D8",
        r#"{"policy":"deny"}"#,
        HERE,
        CANARY,
        Refused("default"),
    ),
    row(
        "N11",
        r#"{"policy":"deny"}"#,
        HERE,
        "secret.evil.test:{port}",
        Refused("default"),
    ),
    // The proxy's own listener, allowed by name and address.
    row("D15", OWN, HERE, "127.0.0.1:{own}", Refused("own-listener")),
    row("D15", OWN, HERE, "0.0.0.0:{own}", Refused("own-listener")),
    row(
        "D15",
        OWN,
        HERE,
        "[::ffff:127.0.0.1]:{own}",
        Refused("own-listener"),
    ),
    // Of the two loopback addresses the listener's is left out, and nobody listens at the other.
    row(
        "D15",
        OWN,
        HERE,
        "localhost:{own}",
        Failed("connect-refused"),
    ),
    row(
        "D15",
        OWN,
        HERE,
        "host.docker.internal:{own}",
        Failed("connect-refused"),
    ),
    row(
        "D15",
        OWN,
        HERE,
        "canary.test:{own}",
        Refused("own-listener"),
    ),
    row(
        "D15",
        OWN,
        &["::ffff:127.0.0.1"],
        "canary.test:{own}",
        Refused("own-listener"),
    ),
];
