//! squid.conf: `acl` of types `dstdomain`, `dst`, `port` and `method`, and `http_access`.
//!
//! Format: <http://www.squid-cache.org/Doc/config/acl/> and <http://www.squid-cache.org/Doc/config/http_access/>.
//! The first `http_access` line all of whose ACLs match decides; if none does, the opposite of the last one.

use super::draft::Draft;
use crate::{Action, HostPattern, Net, Port};
use std::collections::HashMap;

/// ACLs about who asks. In a sandbox there is one client, which they would all be about.
const ABOUT_CLIENT: [&str; 6] = [
    "src",
    "srcdomain",
    "localip",
    "localport",
    "myportname",
    "arp",
];

#[derive(Debug, Default)]
struct Acl<'a> {
    kind: &'a str,
    values: Vec<&'a str>,
}

pub(super) fn read(text: &str) -> Draft {
    let mut draft = Draft::default();
    let mut acls: HashMap<&str, Acl<'_>> = HashMap::new();
    let mut last = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["acl", name, kind, values @ ..] => {
                let acl = acls.entry(name).or_default();
                acl.kind = kind;
                let comment = values.iter().position(|v| v.starts_with('#'));
                let values = values
                    .get(..comment.unwrap_or(values.len()))
                    .unwrap_or_default();
                acl.values.extend(values);
            }
            ["http_access", verb @ ("allow" | "deny"), names @ ..] => {
                let action = if *verb == "allow" {
                    Action::Allow
                } else {
                    Action::Deny
                };
                last = Some(action);
                let line = Line {
                    action,
                    number,
                    line,
                };
                if line.translate(&mut draft, &acls, names) {
                    // What comes after a rule for everything never matters.
                    return draft;
                }
            }
            _ => draft.note(number, line, "is not about which hosts may be reached"),
        }
    }
    let default = match last {
        Some(Action::Allow) | None => Action::Deny,
        Some(Action::Deny) => Action::Allow,
    };
    draft.otherwise(default);
    draft
}

struct Line<'a> {
    action: Action,
    number: usize,
    line: &'a str,
}

impl Line<'_> {
    fn note(&self, draft: &mut Draft, reason: &str) {
        draft.note(self.number, self.line, reason);
    }

    /// Adds what the line says. True if it is about everything, so that it is the default.
    fn translate(&self, draft: &mut Draft, acls: &HashMap<&str, Acl<'_>>, names: &[&str]) -> bool {
        let (mut hosts, mut ports, mut nets) = (None, None, None);
        for name in names {
            if name.starts_with('#') {
                break;
            }
            if *name == "all" {
                continue;
            }
            if let Some(name) = name.strip_prefix('!') {
                self.negated(draft, acls, name, names.len());
                return false;
            }
            let acl = acls.get(name);
            match acl.map(|acl| acl.kind) {
                Some("dstdomain") if hosts.is_none() => hosts = acl,
                Some("port") if ports.is_none() => ports = acl,
                Some("dst") if nets.is_none() => nets = acl,
                Some(kind) if ABOUT_CLIENT.contains(&kind) => {
                    self.note(
                        draft,
                        &format!("`{name}` is about who asks, and is left out"),
                    );
                }
                None if matches!(
                    *name,
                    "localhost"
                        | "localnet"
                        | "manager"
                        | "to_localhost"
                        | "to_linklocal"
                        | "CONNECT"
                ) =>
                {
                    return self.built_in(draft, name);
                }
                Some(kind) => {
                    let reason =
                        format!("`{name}` is an ACL of type `{kind}`, which has no counterpart");
                    self.note(draft, &reason);
                    return false;
                }
                None => {
                    self.note(draft, &format!("ACL `{name}` is not defined"));
                    return false;
                }
            }
        }
        match (hosts, nets, ports) {
            (None, None, None) => {
                draft.otherwise(self.action);
                return true;
            }
            (Some(_), Some(_), _) => {
                self.note(
                    draft,
                    "asks for a domain and an address at once, which no rule can",
                );
            }
            (None, Some(nets), _) => self.nets(draft, nets),
            (hosts, None, ports) => self.hosts(draft, hosts, ports),
        }
        false
    }

    /// `http_access deny !Safe_ports`: everything but these ports.
    fn negated(&self, draft: &mut Draft, acls: &HashMap<&str, Acl<'_>>, name: &str, count: usize) {
        let acl = acls.get(name);
        let ports =
            acl.filter(|acl| acl.kind == "port" && count == 1 && self.action == Action::Deny);
        let Some(acl) = ports else {
            return self.note(
                draft,
                &format!("`!{name}` asks for what is not in an ACL, which no rule can"),
            );
        };
        let mut allowed: Vec<_> = acl.values.iter().filter_map(|value| range(value)).collect();
        allowed.sort_unstable();
        let mut next = 1_u32;
        for (first, last) in allowed {
            self.block_ports(draft, next, u32::from(first.get()).saturating_sub(1));
            next = next.max(u32::from(last.get()) + 1);
        }
        self.block_ports(draft, next, 65_535);
    }

    fn block_ports(&self, draft: &mut Draft, first: u32, last: u32) {
        if first <= last {
            draft.host(
                Action::Deny,
                &format!("*:{first}-{last}"),
                self.number,
                self.line,
            );
        }
    }

    /// ACLs that squid defines itself.
    fn built_in(&self, draft: &mut Draft, name: &str) -> bool {
        match name {
            "localhost" | "localnet" => {
                self.note(
                    draft,
                    &format!("`{name}` is about who asks, and is left out"),
                );
                draft.otherwise(self.action);
                true
            }
            "to_localhost" | "to_linklocal" => {
                self.note(draft, "needs no rule: this machine and metadata services are closed unless opened one by one");
                false
            }
            _ => {
                self.note(draft, &format!("`{name}` has no counterpart"));
                false
            }
        }
    }

    fn nets(&self, draft: &mut Draft, acl: &Acl<'_>) {
        for value in &acl.values {
            match (Net::parse(value), self.action) {
                (Ok(net), Action::Deny) => draft.net(Action::Deny, net),
                (Ok(net), Action::Allow)
                    if net.as_ipnet().prefix_len() == net.as_ipnet().max_prefix_len() =>
                {
                    let addr = net.as_ipnet().addr();
                    let host = if addr.is_ipv4() {
                        addr.to_string()
                    } else {
                        format!("[{addr}]")
                    };
                    draft.host(Action::Allow, &host, self.number, self.line);
                }
                (Ok(_), Action::Allow) => {
                    self.note(
                        draft,
                        &format!(
                            "`{value}`: names are allowed here, not the networks they lead to"
                        ),
                    );
                }
                (Err(_), _) => self.note(draft, &format!("`{value}` is not a network")),
            }
        }
    }

    fn hosts(&self, draft: &mut Draft, hosts: Option<&Acl<'_>>, ports: Option<&Acl<'_>>) {
        let ranges: Vec<Option<(Port, Port)>> = match ports {
            Some(acl) => acl
                .values
                .iter()
                .filter_map(|v| range(v))
                .map(Some)
                .collect(),
            None => vec![None],
        };
        let any = Acl {
            kind: "dstdomain",
            values: vec!["*"],
        };
        for value in &hosts.unwrap_or(&any).values {
            if let Some(file) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
                self.file(draft, file, ports.is_some());
                continue;
            }
            if value.starts_with('-') {
                continue;
            }
            let patterns = match value.strip_prefix('.') {
                Some(name) => vec![name.to_owned(), format!("*.{name}")],
                None => vec![(*value).to_owned()],
            };
            for pattern in patterns {
                match HostPattern::parse(&pattern) {
                    Ok(pattern) => {
                        for ports in &ranges {
                            let pattern = HostPattern {
                                ports: *ports,
                                ..pattern.clone()
                            };
                            draft.rule(self.action, pattern, self.number, self.line);
                        }
                    }
                    Err(error) => self.note(draft, &error.to_string()),
                }
            }
        }
    }

    fn file(&self, draft: &mut Draft, file: &str, ports: bool) {
        let odd = file.is_empty()
            || file
                .chars()
                .any(|c| c.is_control() || c == '"' || c == '\\');
        if ports || odd {
            return self.note(
                draft,
                "a list file cannot be combined with other conditions",
            );
        }
        let verb = if self.action.is_allow() {
            "allow"
        } else {
            "block"
        };
        self.note(
            draft,
            &format!("list `{file}` is named as it is; its place in the order is lost"),
        );
        draft.line(format!("{verb} list \"{file}\""));
    }
}

fn range(value: &str) -> Option<(Port, Port)> {
    let (first, last) = value.split_once('-').unwrap_or((value, value));
    let (first, last) = (Port::parse(first).ok()?, Port::parse(last).ok()?);
    (first <= last).then_some((first, last))
}
