//! The engine against the reference matcher, on policies and requests chosen by the fuzzer.
#![no_main]

#[path = "../../policy-lang/tests/reference/mod.rs"]
mod reference;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use policy_lang::{LocalAddrs, Target, config::Document};
use reference::{Request, Rules, decide};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const LABELS: [&str; 5] = ["a", "b", "ab", "x-1", "xn--n3h"];
const PORTS: [&str; 7] = ["22", "80", "443", "22-443", "80-443", "80-8080", "1-65535"];
const METHODS: [&str; 2] = ["GET", "POST"];
const ASKED: [&str; 3] = ["GET", "POST", "post"];
/// Where addresses mean something special.
const PREFIXES: [&str; 12] = [
    "::",
    "::ffff:0:0",
    "::ffff:0:0:0",
    "64:ff9b::",
    "64:ff9b:1::",
    "2001::",
    "2002::",
    "fc00::",
    "fe80::",
    "fd00:ec2::",
    "ff00::",
    "2001:db8::5efe:0:0",
];

fn name(u: &mut Unstructured<'_>) -> Result<String> {
    let labels: Result<Vec<_>> = (0..u.int_in_range(1..=4)?)
        .map(|_| u.choose(&LABELS).copied())
        .collect();
    Ok(labels?.join("."))
}

fn addr(u: &mut Unstructured<'_>) -> Result<IpAddr> {
    if u.arbitrary()? {
        let first = *u.choose(&[0, 8, 10, 100, 127, 169, 192, 224, 255])?;
        let [b, c, d]: [u8; 3] = u.arbitrary()?;
        return Ok(Ipv4Addr::new(first, b, c, d).into());
    }
    let prefix: Ipv6Addr = u.choose(&PREFIXES)?.parse().expect("a fixed address");
    let rest: [u8; 4] = u.arbitrary()?;
    let shift = *u.choose(&[0_u32, 16, 40, 48, 64, 80])?;
    let rest = u128::from(u32::from_be_bytes(rest)) << shift;
    Ok(Ipv6Addr::from_bits(prefix.to_bits() | rest).into())
}

fn literal(addr: IpAddr) -> String {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn host(u: &mut Unstructured<'_>) -> Result<String> {
    match u.int_in_range(0..=7)? {
        0 => addr(u).map(literal),
        _ => name(u),
    }
}

fn pattern(u: &mut Unstructured<'_>) -> Result<String> {
    let host = match u.int_in_range(0..=7)? {
        0..4 => host(u)?,
        4..7 => format!("*.{}", name(u)?),
        _ => "*".to_owned(),
    };
    match u.arbitrary()? {
        true => Ok(format!("{host}:{}", u.choose(&PORTS)?)),
        false => Ok(host),
    }
}

fn net(u: &mut Unstructured<'_>) -> Result<String> {
    let addr = addr(u)?.to_canonical();
    let most = if addr.is_ipv4() { 32 } else { 128 };
    let bits = u.int_in_range(0..=most)?;
    let net = policy_lang::Net::parse(&format!("{addr}/{bits}")).expect("address and length");
    Ok(net.to_string())
}

fn list<T>(
    u: &mut Unstructured<'_>,
    item: fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=6)?).map(|_| item(u)).collect()
}

fn case(u: &mut Unstructured<'_>) -> Result<(Rules, Request)> {
    let rules = Rules {
        default_allow: u.arbitrary()?,
        allow: list(u, pattern)?,
        block: list(u, pattern)?,
        allow_cidr: list(u, net)?,
        block_cidr: list(u, net)?,
        requests: list(u, |u| Ok((u.arbitrary()?, pattern(u)?, *u.choose(&METHODS)?)))?,
    };
    let host = host(u)?;
    let addr = match host.trim_matches(['[', ']']).parse() {
        Ok(own) => own,
        Err(_) => addr(u)?,
    };
    let local = if u.arbitrary()? {
        vec![addr.to_canonical()]
    } else {
        Vec::new()
    };
    let port = *u.choose(&[22, 80, 443, 8080])?;
    let method = *u.choose(&ASKED)?;
    Ok((
        rules,
        Request {
            host,
            port,
            addr,
            local,
            method,
        },
    ))
}

fuzz_target!(|data: &[u8]| {
    let Ok((rules, request)) = case(&mut Unstructured::new(data)) else {
        return;
    };
    let requests = rules.requests.iter().map(|(allow, host, method)| {
        let action = if *allow { "allow" } else { "block" };
        serde_json::json!({"action": action, "host": host, "methods": [method]})
    });
    let text = serde_json::json!({
        "policy": if rules.default_allow { "allow" } else { "deny" },
        "network": {
            "allowedDomains": rules.allow,
            "blockedDomains": rules.block,
            "allowCIDR": rules.allow_cidr,
            "blockCIDR": rules.block_cidr,
            "requests": requests.collect::<Vec<_>>(),
        },
    });
    let (document, _) =
        Document::parse(&text.to_string(), "fuzz").expect("generated rules are valid");
    let (policy, _) = document.compile().expect("generated rules compile");
    let target =
        Target::parse(&format!("{}:{}", request.host, request.port), None).expect("generated");
    let host = policy.admit_host(&target);
    let local = LocalAddrs::new(request.local.iter().copied());
    let verdict = policy.admit_request(&target, request.method, "/");
    let addr = policy.admit_addr(&target, verdict, request.addr, &local);
    let found = (host.action.is_allow(), addr.action.is_allow());
    assert_eq!(
        found,
        decide(&rules, &request),
        "{request:?} under {rules:#?}"
    );
});
