//! The file as a value.

use super::{Error, read, write};
use crate::{
    Action, Effect, HostPattern, Net, Origin, Policy, Position, Rule,
    language::{Gatherer, Loader, NetDefault, no_files},
    model::Model,
    special,
    warning::{Warning, WarningKind},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, fmt, sync::Arc};

/// A `proxy-config.json`: known keys read, unknown keys kept as they are, all in the order written.
///
/// `Display` writes the file: two spaces of indent, a newline at the end.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) source: Arc<str>,
    pub(super) policy: Option<Action>,
    pub(super) allowed: List<HostPattern>,
    pub(super) blocked: List<HostPattern>,
    pub(super) bypassed: List<HostPattern>,
    pub(super) allow_nets: List<Net>,
    pub(super) block_nets: List<Net>,
    pub(super) bypass_nets: List<Net>,
    pub(super) include: List<Box<str>>,
    pub(super) layout: Vec<Slot>,
    pub(super) network_layout: Vec<Slot>,
}

/// What stands at one place of an object.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    Known(Key),
    Unknown(String, Box<RawValue>),
}

/// The keys with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Policy,
    Network,
    Include,
    AllowedDomains,
    BlockedDomains,
    BypassDomains,
    AllowCidr,
    BlockCidr,
    BypassCidr,
}

impl Key {
    pub(super) const TOP: [Self; 3] = [Self::Policy, Self::Network, Self::Include];
    pub(super) const NETWORK: [Self; 6] = [
        Self::AllowedDomains,
        Self::BlockedDomains,
        Self::BypassDomains,
        Self::AllowCidr,
        Self::BlockCidr,
        Self::BypassCidr,
    ];

    /// The key as it stands in its object.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Network => "network",
            Self::Include => "include",
            Self::AllowedDomains => "allowedDomains",
            Self::BlockedDomains => "blockedDomains",
            Self::BypassDomains => "bypassDomains",
            Self::AllowCidr => "allowCIDR",
            Self::BlockCidr => "blockCIDR",
            Self::BypassCidr => "bypassCIDR",
        }
    }
}

/// A list in the file; `None` if its key is absent.
pub(super) type List<T> = Option<Vec<Entry<T>>>;

/// One entry of a list.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) text: Box<str>,
    pub(super) at: Position,
}

impl Document {
    /// Reads a file. Reports every error at once; `source_name` stands in errors and verdicts.
    pub fn parse(text: &str, source_name: &str) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        read::document(text, source_name.into())
    }

    /// The default verdict; a file without one denies.
    pub fn policy(&self) -> Action {
        self.policy.unwrap_or(Action::Deny)
    }

    /// The files of the policy language that this file includes, as written.
    pub fn includes(&self) -> impl Iterator<Item = &str> {
        self.include.iter().flatten().map(|entry| &*entry.value)
    }

    /// Makes a policy of it. An `include` is an error here; see [`Document::compile_with`].
    pub fn compile(&self) -> Result<(Policy, Vec<Warning>), Vec<Error>> {
        self.compile_with(&mut no_files)
    }

    /// Makes a policy of it and of the files it includes, which `loader` reads.
    pub fn compile_with(
        &self,
        loader: &mut Loader<'_>,
    ) -> Result<(Policy, Vec<Warning>), Vec<Error>> {
        let mut gatherer = Gatherer::new(loader, self.model());
        for entry in self.include.iter().flatten() {
            gatherer.include(
                &entry.value,
                &self.source,
                entry.at,
                entry.text.chars().count() + 2,
            );
        }
        let (policy, mut warnings) = gatherer
            .finish()
            .map_err(|errors| errors.into_iter().map(Error::from).collect::<Vec<_>>())?;
        warnings.extend(self.contradictions());
        Ok((policy, warnings))
    }

    fn model(&self) -> Model {
        let mut rules = Rules {
            source: &self.source,
            rules: Vec::new(),
        };
        rules.add(&self.allowed, |p| Effect::Host(Action::Allow, p.clone()));
        rules.add(&self.blocked, |p| Effect::Host(Action::Deny, p.clone()));
        rules.add(&self.bypassed, |p| Effect::BypassHost(p.clone()));
        rules.add(&self.allow_nets, |net| Effect::Net(Action::Allow, *net));
        rules.add(&self.block_nets, |net| Effect::Net(Action::Deny, *net));
        rules.add(&self.bypass_nets, |net| Effect::BypassNet(*net));
        let here = || Origin::File {
            source: self.source.clone(),
            at: Position::START,
        };
        Model {
            default: self.policy.map(|action| (action, here())),
            // A file that does not speak of blocks has the documented ones, not none.
            net_default: self.block_nets.as_ref().map(|_| (NetDefault::Open, here())),
            rules: rules.rules,
            ..Model::default()
        }
    }

    fn contradictions(&self) -> Vec<Warning> {
        let blocked: HashSet<_> = self.blocked.iter().flatten().map(|e| &e.value).collect();
        self.allowed
            .iter()
            .flatten()
            .filter(|entry| blocked.contains(&entry.value))
            .map(|entry| Warning {
                source_name: self.source.clone(),
                at: entry.at,
                kind: WarningKind::Contradiction {
                    pattern: Box::new(entry.value.clone()),
                },
            })
            .collect()
    }
}

struct Rules<'a> {
    source: &'a Arc<str>,
    rules: Vec<Rule>,
}

impl Rules<'_> {
    fn add<T>(&mut self, list: &List<T>, effect: impl Fn(&T) -> Effect) {
        let made = list.iter().flatten().map(|entry| Rule {
            text: entry.text.clone(),
            effect: effect(&entry.value),
            origin: Origin::File {
                source: self.source.clone(),
                at: entry.at,
            },
        });
        self.rules.extend(made);
    }
}

/// What a file without `blockCIDR` blocks, as Docker documents it.
pub(super) fn default_blocks() -> impl Iterator<Item = (&'static str, Net)> {
    special::networks(&special::DOCKER_BLOCKED).map(|(text, net)| (text, Net::from(net)))
}

/// The file that is made when the first sandbox starts: Docker's documented default, with no hidden allow.
pub fn docker_default() -> Document {
    let entries = default_blocks().map(|(text, value)| Entry {
        value,
        text: text.into(),
        at: Position { line: 1, column: 1 },
    });
    let document = Document {
        source: "proxy-config.json".into(),
        policy: Some(Action::Allow),
        allowed: Some(Vec::new()),
        blocked: Some(Vec::new()),
        bypassed: Some(Vec::new()),
        allow_nets: Some(Vec::new()),
        block_nets: Some(entries.collect()),
        bypass_nets: Some(Vec::new()),
        include: None,
        layout: vec![Slot::Known(Key::Policy), Slot::Known(Key::Network)],
        network_layout: Key::NETWORK.map(Slot::Known).to_vec(),
    };
    document.settled()
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write::document(self, f)
    }
}
