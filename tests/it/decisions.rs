//! The decision tables against a running proxy, over TCP, in a network namespace of its own.
//!
//! The namespace has loopback and nothing else: an admitted request ends in a failed connection, never
//! on somebody's network. `policy-lang/tests/decisions.rs` runs the same rows against the library.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::dns::StubDns;
use crate::support::Home;
use namespace::ip;

#[path = "../../proxy/tests/it/support/namespace.rs"]
mod namespace;

#[derive(Debug, Deserialize)]
struct File {
    table: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    name: String,
    policy: toml::Value,
    #[serde(default)]
    row: Vec<Row>,
    errors: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Row {
    request: String,
    #[serde(default = "somewhere")]
    resolves: Vec<IpAddr>,
    #[serde(default)]
    local: Vec<IpAddr>,
    expect: Expect,
    stage: Option<Stage>,
    rule: Option<String>,
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
    Malformed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Parse,
    Host,
    Address,
}

fn somewhere() -> Vec<IpAddr> {
    vec!["198.51.100.7".parse().unwrap()]
}

#[test]
fn a_running_proxy_decides_as_the_tables_say() {
    if !namespace::is_inside() {
        namespace::again(
            "decisions::a_running_proxy_decides_as_the_tables_say",
            &["--net"],
        )
        .unwrap();
        return;
    }
    let mut rows = 0;
    let mut wrong = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for table in &file.table {
            rows += table.row.len();
            check(table, &mut wrong);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(rows > 200, "only {rows} rows were found");
}

fn check(table: &Table, wrong: &mut Vec<String>) {
    let policy = match &table.policy {
        toml::Value::String(text) => text.clone(),
        value => serde_json::to_string(value).unwrap(),
    };
    if table.errors.is_some() {
        let refused = Appliance::start(&policy, &StubDns::start()).is_none();
        if !refused {
            wrong.push(format!(
                "{}: started with a policy that has errors",
                table.name
            ));
        }
        return;
    }
    let dns = StubDns::start();
    for rows in together(&table.row) {
        let local = rows
            .first()
            .map(|row| row.local.as_slice())
            .unwrap_or_default();
        for addr in local {
            ip(&format!("addr add {addr} dev lo"));
        }
        let appliance = Appliance::start(&policy, &dns).expect("the proxy starts");
        for row in rows {
            if let Err(told) = judge(&appliance, &dns, row) {
                wrong.push(format!(
                    "{}: `{}`: {told} ({})",
                    table.name, row.request, row.note
                ));
            }
        }
        drop(appliance);
        for addr in local {
            let prefix = if addr.is_ipv4() { 32 } else { 128 };
            ip(&format!("addr del {addr}/{prefix} dev lo"));
        }
    }
}

/// Runs of rows that can share a proxy: it reads the machine's addresses when it starts, and may
/// remember what a name resolved to, so a request that comes again with another answer wants a new one.
fn together(rows: &[Row]) -> Vec<&[Row]> {
    let mut runs = Vec::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let mut seen: HashMap<&str, &[IpAddr]> = HashMap::new();
        let fits = rest.iter().take_while(|row| {
            let before = seen.insert(&row.request, &row.resolves);
            row.local == first.local && before.is_none_or(|before| before == row.resolves)
        });
        let (run, others) = rest.split_at(fits.count());
        runs.push(run);
        rest = others;
    }
    runs
}

fn judge(appliance: &Appliance, dns: &StubDns, row: &Row) -> Result<(), String> {
    dns.answer(&row.resolves);
    let answer = appliance.ask(&row.request);
    let status = answer.status();
    let verdict = match status {
        Some(403) => Expect::Deny,
        Some(400) => Expect::Malformed,
        Some(200 | 502 | 504) => Expect::Allow,
        _ => return Err(format!("unexpected answer {answer:?}")),
    };
    if verdict != row.expect {
        return Err(format!("expected {:?}, got {answer:?}", row.expect));
    }
    let asked = dns.queries();
    if matches!(row.stage, Some(Stage::Parse | Stage::Host)) && asked > 0 {
        return Err(format!("refused, and yet resolved {asked} times"));
    }
    if row.stage == Some(Stage::Address) && !answer.0.contains(&address_or_rule(row)) {
        return Err(format!(
            "the answer does not name `{}`: {answer:?}",
            address_or_rule(row)
        ));
    }
    match &row.rule {
        Some(rule) if row.expect == Expect::Deny && !answer.0.contains(rule.as_str()) => Err(
            format!("the answer does not name the rule `{rule}`: {answer:?}"),
        ),
        _ => Ok(()),
    }
}

/// What a refusal at the address stage must tell: the rule if there is one.
fn address_or_rule(row: &Row) -> String {
    row.rule.clone().unwrap_or_default()
}

/// The whole answer, as text.
#[derive(Debug)]
struct Answer(String);

impl Answer {
    fn status(&self) -> Option<u16> {
        self.0.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

/// `sandbox proxy` as a user would start it.
struct Appliance {
    child: Child,
    addr: SocketAddr,
    _home: Home,
}

impl Appliance {
    /// `None` if it refuses to start.
    fn start(policy: &str, dns: &StubDns) -> Option<Self> {
        let home = Home::new();
        let config = home.project().join("proxy-config.json");
        fs::write(config, policy).unwrap();
        let dns = dns.addr().to_string();
        let mut child = home
            .proxy(&["--ca-dir", "ca", "--dns", &dns])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let Some(addr) = said.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            return None;
        };
        Some(Self {
            addr: addr.parse().unwrap(),
            child,
            _home: home,
        })
    }

    /// An authority by CONNECT, a URL by GET.
    fn ask(&self, request: &str) -> Answer {
        let head = if request.contains("://") && !request.starts_with("https://") {
            let rest = request.split_once("://").map_or(request, |(_, rest)| rest);
            let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let host = host.rsplit('@').next().unwrap_or(host);
            format!("GET {request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        } else {
            let rest = request.strip_prefix("https://").unwrap_or(request);
            let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let port = if rest != request && !host.contains(':') {
                ":443"
            } else {
                ""
            };
            format!("CONNECT {host}{port} HTTP/1.1\r\nHost: {host}{port}\r\n\r\n")
        };
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // A 200 to CONNECT leaves the connection open: its head is all there is to read.
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..read]);
            if answer.starts_with(b"HTTP/1.1 200") && answer.windows(4).any(|w| w == b"\r\n\r\n") {
                break;
            }
        }
        Answer(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
