//! `threats.toml` is what is tried: nothing in it is without a test, and no row is without its threat.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Adapter, Cell};

/// Threats by their names.
type Catalogue = BTreeMap<String, BTreeMap<String, String>>;

/// The tables, by the word that stands for them in the catalogue.
fn tables() -> [(&'static str, Vec<Cell>); 6] {
    [
        ("heads", crate::framing::cells()),
        ("streams", super::streams::cells()),
        ("spellings", super::spellings::cells()),
        ("answers", super::answers::cells()),
        ("verdicts", super::verdicts::cells()),
        ("breaks", super::breaks::cells()),
    ]
}

fn catalogue() -> Catalogue {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/threats.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A cell says `no: reason`, a table's word, or `file::test` below the repository.
fn holds(cell: &str, threat: &str, adapter: Adapter) -> Result<(), String> {
    if let Some(reason) = cell.strip_prefix("no: ") {
        return match reason.len() {
            10.. => Ok(()),
            _ => Err("no reason".into()),
        };
    }
    if let Some((_, cells)) = tables().iter().find(|(table, _)| *table == cell) {
        return match cells.contains(&(threat, adapter)) {
            true => Ok(()),
            false => Err(format!("`{cell}` has no row for it")),
        };
    }
    let (file, test) = cell.rsplit_once("::").ok_or("neither table nor test")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = std::fs::read_to_string(root.join(file)).map_err(|error| error.to_string())?;
    match source.contains(&format!("fn {test}(")) {
        true => Ok(()),
        false => Err(format!("`{file}` has no test `{test}`")),
    }
}

#[test]
fn every_threat_is_tried_through_every_adapter_or_says_why_not() {
    let mut wrong = Vec::new();
    let catalogue = catalogue();
    assert!(catalogue.len() > 80, "only {} threats", catalogue.len());
    for (threat, entry) in &catalogue {
        println!("{threat}: {}", entry["what"]);
        for adapter in Adapter::ALL {
            // `all` is for what does not depend on the way in.
            let cell = entry.get(adapter.name()).or(entry.get("all"));
            let cell = cell.map_or("", String::as_str);
            println!("    {:<10} {cell}", adapter.name());
            if let Err(why) = holds(cell, threat, adapter) {
                wrong.push(format!("{threat}, {}: {why}", adapter.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_row_names_a_threat() {
    let catalogue = catalogue();
    for (table, cells) in tables() {
        for (threat, adapter) in cells {
            // The shapes themselves, without a flaw, are no threat.
            let listed = threat == "ok"
                || catalogue.get(threat).is_some_and(|entry| {
                    let cell = entry.get(adapter.name()).or(entry.get("all"));
                    cell.is_some_and(|cell| cell == table || cell.contains("::"))
                });
            assert!(listed, "{table}: {threat} through {}", adapter.name());
        }
    }
}
