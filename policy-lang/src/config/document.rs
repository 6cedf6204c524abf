//! The file as a value.

use super::{Error, comments::Note};
use crate::{
    Action, Net, Policy,
    language::{
        BudgetItem, ExpectItem, Gatherer, InjectItem, LimitItem, Loader, NetDefault, RuleItem, Set,
        Span, Spanned, Subject, no_files,
    },
    position::Lines,
    special,
    warning::{Warning, WarningKind},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, sync::Arc};

/// A `proxy-config.json`: known keys read, unknown keys kept as they are, all in the order written.
///
/// `Display` writes the file: two spaces of indent, a newline at the end.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) source: Arc<str>,
    /// What it was read from; spans lie in it.
    pub(super) text: Arc<str>,
    pub(super) policy: Option<Spanned<Action>>,
    pub(super) allowed: List<Subject>,
    pub(super) blocked: List<Subject>,
    pub(super) bypassed: List<Subject>,
    pub(super) allow_nets: List<Net>,
    pub(super) block_nets: List<Net>,
    pub(super) bypass_nets: List<Net>,
    pub(super) default_net: Option<Spanned<NetKey>>,
    pub(super) sets: List<Set>,
    pub(super) requests: List<RuleItem>,
    pub(super) lists: List<RuleItem>,
    pub(super) limits: List<LimitItem>,
    pub(super) budgets: List<BudgetItem>,
    pub(super) credentials: List<InjectItem>,
    pub(super) include: List<Box<str>>,
    pub(super) expect: List<ExpectItem>,
    pub(super) comments: List<Note>,
    pub(super) layout: Vec<Slot>,
    pub(super) network_layout: Vec<Slot>,
}

/// What `defaultNet` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NetKey {
    Says(NetDefault),
    /// Nothing, although there is a `blockCIDR`: the blocks come beside whatever holds.
    Unset,
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
    Expect,
    Comments,
    AllowedDomains,
    BlockedDomains,
    BypassDomains,
    AllowCidr,
    BlockCidr,
    BypassCidr,
    DefaultNet,
    Sets,
    Requests,
    Lists,
    Limits,
    Budgets,
    Credentials,
}

impl Key {
    pub(super) const TOP: [Self; 5] = [
        Self::Policy,
        Self::Network,
        Self::Include,
        Self::Expect,
        Self::Comments,
    ];
    pub(super) const NETWORK: [Self; 13] = [
        Self::AllowedDomains,
        Self::BlockedDomains,
        Self::BypassDomains,
        Self::AllowCidr,
        Self::BlockCidr,
        Self::BypassCidr,
        Self::DefaultNet,
        Self::Sets,
        Self::Requests,
        Self::Lists,
        Self::Limits,
        Self::Budgets,
        Self::Credentials,
    ];
    /// What Docker's file holds.
    const DOCKERS: [Self; 6] = [
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
            Self::Expect => "expect",
            Self::Comments => "comments",
            Self::AllowedDomains => "allowedDomains",
            Self::BlockedDomains => "blockedDomains",
            Self::BypassDomains => "bypassDomains",
            Self::AllowCidr => "allowCIDR",
            Self::BlockCidr => "blockCIDR",
            Self::BypassCidr => "bypassCIDR",
            Self::DefaultNet => "defaultNet",
            Self::Sets => "sets",
            Self::Requests => "requests",
            Self::Lists => "lists",
            Self::Limits => "limits",
            Self::Budgets => "budgets",
            Self::Credentials => "credentials",
        }
    }
}

/// A list in the file; `None` if its key is absent.
pub(super) type List<T> = Option<Vec<Entry<T>>>;

/// One entry of a list.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    /// As written, where it is one string.
    pub(super) text: Box<str>,
    pub(super) span: Span,
}

impl Document {
    pub(super) fn empty(source: Arc<str>, text: Arc<str>) -> Self {
        Self {
            source,
            text,
            policy: None,
            allowed: None,
            blocked: None,
            bypassed: None,
            allow_nets: None,
            block_nets: None,
            bypass_nets: None,
            default_net: None,
            sets: None,
            requests: None,
            lists: None,
            limits: None,
            budgets: None,
            credentials: None,
            include: None,
            expect: None,
            comments: None,
            layout: Vec::new(),
            network_layout: Vec::new(),
        }
    }

    /// Whether a key has a value. `network` has one where a key in it has.
    pub(super) fn has(&self, key: Key) -> bool {
        match key {
            Key::Policy => self.policy.is_some(),
            Key::Network => Key::NETWORK.into_iter().any(|key| self.has(key)),
            Key::Include => self.include.is_some(),
            Key::Expect => self.expect.is_some(),
            Key::Comments => self.comments.is_some(),
            Key::AllowedDomains => self.allowed.is_some(),
            Key::BlockedDomains => self.blocked.is_some(),
            Key::BypassDomains => self.bypassed.is_some(),
            Key::AllowCidr => self.allow_nets.is_some(),
            Key::BlockCidr => self.block_nets.is_some(),
            Key::BypassCidr => self.bypass_nets.is_some(),
            Key::DefaultNet => self.default_net.is_some(),
            Key::Sets => self.sets.is_some(),
            Key::Requests => self.requests.is_some(),
            Key::Lists => self.lists.is_some(),
            Key::Limits => self.limits.is_some(),
            Key::Budgets => self.budgets.is_some(),
            Key::Credentials => self.credentials.is_some(),
        }
    }

    /// The default verdict; a file without one denies.
    pub fn policy(&self) -> Action {
        self.policy
            .as_ref()
            .map_or(Action::Deny, |policy| policy.value)
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
        let mut gatherer = Gatherer::new(loader);
        gatherer.file(&self.to_file());
        let (policy, mut warnings) = gatherer
            .finish()
            .map_err(|errors| errors.into_iter().map(Error::from).collect::<Vec<_>>())?;
        warnings.extend(self.contradictions());
        Ok((policy, warnings))
    }

    fn contradictions(&self) -> Vec<Warning> {
        let lines = Lines::of(&self.text);
        let blocked: HashSet<_> = self.blocked.iter().flatten().map(|e| &e.value).collect();
        let both = self.allowed.iter().flatten();
        both.filter(|entry| blocked.contains(&entry.value))
            .filter_map(|entry| match &entry.value {
                Subject::Host(pattern) => Some(Warning {
                    source_name: self.source.clone(),
                    at: lines.position(entry.span.start),
                    kind: WarningKind::Contradiction {
                        pattern: Box::new(pattern.clone()),
                    },
                }),
                _ => None,
            })
            .collect()
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
        span: Span::NOWHERE,
    });
    let document = Document {
        policy: Some(Spanned {
            value: Action::Allow,
            span: Span::NOWHERE,
        }),
        allowed: Some(Vec::new()),
        blocked: Some(Vec::new()),
        bypassed: Some(Vec::new()),
        allow_nets: Some(Vec::new()),
        block_nets: Some(entries.collect()),
        bypass_nets: Some(Vec::new()),
        layout: vec![Slot::Known(Key::Policy), Slot::Known(Key::Network)],
        network_layout: Key::DOCKERS.map(Slot::Known).to_vec(),
        ..Document::empty("proxy-config.json".into(), "".into())
    };
    document.settled()
}
