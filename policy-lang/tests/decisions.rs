//! Runs the tables in `tests/decisions/` against the library.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use policy_lang::{
    Action, AddrVerdict, Carriage, Explanation, Host, HostVerdict, LocalAddrs, Policy, Reason,
    Target, TargetError,
    config::{Document, Error, Warning},
};
use serde::Deserialize;
use std::{fs, net::IpAddr, path::Path};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    table: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    policy: toml::Value,
    #[serde(default)]
    row: Vec<Row>,
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    request: String,
    resolves: Option<Vec<IpAddr>>,
    #[serde(default)]
    local: Vec<IpAddr>,
    expect: Expect,
    stage: Option<Stage>,
    rule: Option<String>,
    reason: Option<String>,
    addr_rule: Option<String>,
    addr_reason: Option<String>,
    admitted: Option<Vec<IpAddr>>,
    carriage: Option<String>,
    target: Option<String>,
    note: String,
}

#[derive(Deserialize, PartialEq, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
    Malformed,
}

#[derive(Deserialize, PartialEq, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Parse,
    Host,
    Address,
}

#[test]
fn every_row_holds() {
    let mut rows = 0;
    let mut failures = Vec::new();
    for (file, table) in tables() {
        rows += table.row.len();
        let failed = check_table(&table);
        failures.extend(
            failed
                .iter()
                .map(|f| format!("{file}: {}: {f}", table.name)),
        );
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(rows > 300, "only {rows} rows were found");
}

fn tables() -> Vec<(String, Table)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/decisions");
    let mut tables = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        tables.extend(file.table.into_iter().map(|table| (name.clone(), table)));
    }
    tables
}

fn check_table(table: &Table) -> Vec<String> {
    let (policy, warnings) = match compile(&table.policy) {
        Ok(compiled) => compiled,
        Err(errors) => return differs("errors", &table.errors, &errors),
    };
    let mut failures = differs("errors", &table.errors, &[]);
    failures.extend(differs("warnings", &table.warnings, &warnings));
    for row in &table.row {
        let failed = check_row(&policy, row);
        failures.extend(
            failed
                .iter()
                .map(|f| format!("{} ({}): {f}", row.request, row.note)),
        );
    }
    failures
}

fn compile(policy: &toml::Value) -> Result<(Policy, Vec<String>), Vec<String>> {
    let text = match policy {
        toml::Value::String(text) => text.clone(),
        value => serde_json::to_string(value).unwrap(),
    };
    let errors = |errors: Vec<Error>| -> Vec<String> {
        errors
            .iter()
            .map(|e| format!("{}: {}", e.at, e.problem))
            .collect()
    };
    let (document, mut warnings) = Document::parse(&text, "test").map_err(errors)?;
    let (policy, more) = document.compile().map_err(errors)?;
    warnings.extend(more);
    let shown = |w: &Warning| format!("{}: warning: {}", w.at, w.kind);
    Ok((policy, warnings.iter().map(shown).collect()))
}

fn differs(what: &str, expected: &[String], found: &[String]) -> Vec<String> {
    match expected == found {
        true => Vec::new(),
        false => vec![format!(
            "{what} differ:\n  expected {expected:#?}\n  found    {found:#?}"
        )],
    }
}

/// What the library decides, in the words of a row.
struct Decided {
    expect: Expect,
    stage: Option<Stage>,
    rule: String,
    reason: &'static str,
    addr: Option<AddrVerdict>,
    admitted: Vec<IpAddr>,
    carriage: &'static str,
}

fn check_row(policy: &Policy, row: &Row) -> Vec<String> {
    let target = match target(&row.request) {
        Ok(target) => target,
        Err(error) => {
            assert!(!error.help().is_empty());
            let refused = (row.expect, row.stage) == (Expect::Malformed, Some(Stage::Parse));
            return match refused {
                true => Vec::new(),
                false => vec![format!("refused as malformed: {error}")],
            };
        }
    };
    let addrs = match (target.host(), &row.resolves) {
        (Host::Addr(addr), _) => vec![*addr],
        (Host::Name(_), Some(addrs)) => addrs.clone(),
        (Host::Name(_), None) => vec!["198.51.100.7".parse().unwrap()],
    };
    let local = LocalAddrs::new(row.local.iter().copied());
    let decided = decide(policy, &target, &addrs, &local);
    let mut failures = compare(row, &decided, policy, &addrs, &target);
    let explained = policy.explain(&target, &addrs, &local);
    failures.extend(explanation_agrees(&explained, &decided));
    failures
}

fn target(request: &str) -> Result<Target, TargetError> {
    match request.contains("://") {
        true => Target::from_url(request),
        false => Target::parse(request, None),
    }
}

fn decide(policy: &Policy, target: &Target, addrs: &[IpAddr], local: &LocalAddrs) -> Decided {
    let host = policy.admit_host(target);
    if !host.action.is_allow() {
        return denied(policy, Stage::Host, host.reason);
    }
    let judge = |addr: &IpAddr| policy.admit_addr(target, host, *addr, local);
    let admitted: Vec<_> = addrs
        .iter()
        .filter(|addr| judge(addr).action.is_allow())
        .copied()
        .collect();
    match admitted.first() {
        Some(first) => allowed(policy, target, &host, judge(first), admitted.clone()),
        None => denied(policy, Stage::Address, judge(addrs.first().unwrap()).reason),
    }
}

fn denied(policy: &Policy, stage: Stage, reason: Reason) -> Decided {
    Decided {
        expect: Expect::Deny,
        stage: Some(stage),
        rule: rule_text(policy, reason),
        reason: reason.code(),
        addr: None,
        admitted: Vec::new(),
        carriage: "",
    }
}

fn allowed(
    policy: &Policy,
    target: &Target,
    host: &HostVerdict,
    addr: AddrVerdict,
    admitted: Vec<IpAddr>,
) -> Decided {
    Decided {
        expect: Expect::Allow,
        stage: None,
        rule: rule_text(policy, host.reason),
        reason: host.reason.code(),
        addr: Some(addr),
        carriage: match policy.carriage(target, admitted[0]) {
            Carriage::Intercept => "intercept",
            Carriage::Tunnel(_) => "tunnel",
        },
        admitted,
    }
}

fn rule_text(policy: &Policy, reason: Reason) -> String {
    let rule = reason.rule().map(|id| policy.rule(id).unwrap());
    rule.map(|rule| rule.effect.to_string()).unwrap_or_default()
}

fn compare(
    row: &Row,
    decided: &Decided,
    policy: &Policy,
    addrs: &[IpAddr],
    target: &Target,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut check = |what: &str, expected: Option<String>, found: String| {
        if expected.as_ref().is_some_and(|expected| *expected != found) {
            failures.push(format!(
                "{what}: expected {}, found {found}",
                expected.unwrap()
            ));
        }
    };
    check(
        "verdict",
        Some(format!("{:?}", row.expect)),
        format!("{:?}", decided.expect),
    );
    check(
        "stage",
        Some(format!("{:?}", row.stage)),
        format!("{:?}", decided.stage),
    );
    check("rule", row.rule.clone(), decided.rule.clone());
    check("reason", row.reason.clone(), decided.reason.to_owned());
    check("target", row.target.clone(), target.to_string());
    if let Some(addr) = decided.addr {
        let admitted = row.admitted.clone().unwrap_or(addrs.to_vec());
        check(
            "admitted",
            Some(format!("{admitted:?}")),
            format!("{:?}", decided.admitted),
        );
        check(
            "addr_rule",
            row.addr_rule.clone(),
            rule_text(policy, addr.reason),
        );
        check(
            "addr_reason",
            row.addr_reason.clone(),
            addr.reason.code().to_owned(),
        );
        check(
            "carriage",
            row.carriage.clone(),
            decided.carriage.to_owned(),
        );
    }
    failures
}

/// The explanation says what the data path decided, names the same rule, and lists it as the one that decides.
fn explanation_agrees(explained: &Explanation, decided: &Decided) -> Vec<String> {
    let mut failures = Vec::new();
    let action = match decided.expect {
        Expect::Allow => Action::Allow,
        Expect::Deny | Expect::Malformed => Action::Deny,
    };
    if explained.action != action {
        failures.push(format!("explained as {}", explained.action));
    }
    let text = explained.to_string();
    if !text.contains(&decided.rule) {
        failures.push(format!(
            "the explanation does not name `{}`:\n{text}",
            decided.rule
        ));
    }
    let of_host = decided.stage != Some(Stage::Address) && !decided.rule.is_empty();
    let deciding = explained
        .candidates
        .iter()
        .filter(|c| c.outcome == policy_lang::Outcome::Decides)
        .map(|c| c.rule.as_str());
    if of_host && deciding.collect::<Vec<_>>() != [decided.rule.as_str()] {
        failures.push(format!(
            "the explanation has another deciding rule:\n{text}"
        ));
    }
    failures
}
