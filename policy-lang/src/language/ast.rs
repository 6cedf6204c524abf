//! A file of the language as a value.

use super::{
    span::Spanned,
    terms::{BudgetItem, InjectItem, LimitItem},
};
use crate::{Action, HostPattern, Net, PathPattern, RequestPath, Target};
use std::sync::Arc;

/// A parsed file. Equal files say the same in the same lines, wherever the words stand.
#[derive(Debug, Clone)]
pub struct File {
    pub(crate) source: Arc<str>,
    /// What it was parsed from; positions are looked up there.
    pub(crate) text: Arc<str>,
    pub(crate) lines: Vec<Line>,
}

impl File {
    /// What its lines say, in their order.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Spanned<Item>> + Clone {
        self.lines.iter().filter_map(|line| line.item.as_ref())
    }
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        self.lines == other.lines
    }
}

/// One line: a statement, a comment, both or neither.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line {
    pub(crate) item: Option<Spanned<Item>>,
    /// What follows the `#`, without space at either end.
    pub(crate) comment: Option<Box<str>>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// `default deny`
    Default(Action),
    /// `default net open`
    DefaultNet(NetDefault),
    /// `set name = { … }`
    Set(Set),
    /// `allow …`, `block …`, `bypass …`
    Rule(RuleItem),
    /// `include "file"`
    Include(Box<str>),
    /// `limit host 20/s burst 40`
    Limit(LimitItem),
    /// `budget host 50MB/d`, `budget *.host 20 names/h`
    Budget(BudgetItem),
    /// `inject host header from env NAME as "Bearer %s"`
    Inject(InjectItem),
    /// `expect allow GET https://…`
    Expect(ExpectItem),
}

/// What holds for addresses that no rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetDefault {
    /// Docker's documented private networks are blocked. What holds if nothing is said.
    Private,
    /// Only the built-in floor is blocked.
    Open,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set {
    pub(crate) name: Spanned<Box<str>>,
    pub(crate) members: Vec<Member>,
    /// Comments before the closing brace.
    pub(crate) comments: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// Comments on the lines before it.
    pub(crate) before: Vec<Box<str>>,
    pub(crate) pattern: Spanned<HostPattern>,
    /// The comment after it on its line.
    pub(crate) after: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleItem {
    pub(crate) verb: Verb,
    pub(crate) subject: Spanned<Subject>,
    pub(crate) request: Option<RequestPattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Allow,
    Block,
    Bypass,
}

impl Verb {
    /// The verdict of a rule with this verb; a bypass has none, and counts as no allow.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Allow => Action::Allow,
            Self::Block | Self::Bypass => Action::Deny,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Bypass => "bypass",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Host(HostPattern),
    Set(Box<str>),
    Net(Net),
    List(Box<str>),
}

/// Which requests of an admitted host a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestPattern {
    /// Methods; empty is every method.
    pub methods: Vec<Box<str>>,
    /// Paths; `None` is every path.
    pub path: Option<PathPattern>,
}

impl RequestPattern {
    /// Whether a request with this method and canonical path is what the pattern is about.
    pub(crate) fn covers(&self, method: &str, path: &str) -> bool {
        self.has_method(method)
            && self
                .path
                .as_ref()
                .is_none_or(|pattern| pattern.covers(path))
    }

    /// Whether it is about this method.
    pub(crate) fn has_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| **m == *method)
    }

    /// Whether it is about this path, in one reading of it.
    pub(crate) fn has_path(&self, path: &RequestPath) -> bool {
        let some = |pattern: &PathPattern| {
            pattern.covers(path.as_str()) || path.other_readings().any(|path| pattern.covers(path))
        };
        self.path.as_ref().is_none_or(some)
    }

    /// Smaller is more specific: paths first, then fewer methods.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        let path = self.path.as_ref().map(PathPattern::rank);
        let methods = match self.methods.len() {
            0 => usize::MAX,
            some => some,
        };
        (path.is_none(), path, methods)
    }
}

/// A test that the policy carries with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExpectItem {
    pub(crate) action: Action,
    pub(crate) method: Option<Box<str>>,
    pub(crate) url: Spanned<Box<str>>,
    pub(crate) target: Target,
}
