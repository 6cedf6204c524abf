//! From statements to their one canonical form.

use super::{ast::*, in_quotes::InQuotes};
use crate::HostPattern;
use std::fmt;

/// A set longer than this is written one member a line.
const LINE_CHARS: usize = 100;

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            if let Some(item) = &line.item {
                item.value.fmt(f)?;
            }
            if let Some(comment) = &line.comment {
                let space = if line.item.is_some() { " " } else { "" };
                write!(f, "{space}{}", Comment(comment))?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

struct Comment<'a>(&'a str);

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("#"),
            text => write!(f, "# {text}"),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(action) => write!(f, "default {action}"),
            Self::DefaultNet(NetDefault::Private) => f.write_str("default net private"),
            Self::DefaultNet(NetDefault::Open) => f.write_str("default net open"),
            Self::Set(set) => set.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::Include(name) => write!(f, "include {}", InQuotes(name)),
            Self::Limit(limit) => write!(f, "limit {} {}", limit.pattern.value, limit.rate),
            Self::Budget(budget) => {
                write!(f, "budget {} {}", budget.pattern.value, budget.allowance)
            }
            Self::Inject(inject) => {
                write!(f, "inject {} {}", inject.pattern.value, inject.credential)
            }
            Self::Expect(expect) => expect.fmt(f),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name.value;
        let members: Vec<_> = self
            .members
            .iter()
            .map(|m| m.pattern.value.to_string())
            .collect();
        let line = match members.is_empty() {
            true => format!("set {name} = {{}}"),
            false => format!("set {name} = {{ {} }}", members.join(", ")),
        };
        if !self.has_comments() && line.chars().count() <= LINE_CHARS {
            return f.write_str(&line);
        }
        writeln!(f, "set {name} = {{")?;
        for member in &self.members {
            for comment in &member.before {
                writeln!(f, "  {}", Comment(comment))?;
            }
            write!(f, "  {},", member.pattern.value)?;
            if let Some(comment) = &member.after {
                write!(f, " {}", Comment(comment))?;
            }
            f.write_str("\n")?;
        }
        for comment in &self.comments {
            writeln!(f, "  {}", Comment(comment))?;
        }
        f.write_str("}")
    }
}

impl Set {
    fn has_comments(&self) -> bool {
        let of_member = |m: &Member| !m.before.is_empty() || m.after.is_some();
        !self.comments.is_empty() || self.members.iter().any(of_member)
    }
}

impl fmt::Display for RuleItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.word(), self.subject.value)?;
        match &self.request {
            Some(request) => write!(f, " {request}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(pattern) => HostText(pattern).fmt(f),
            Self::Set(name) => write!(f, "${name}"),
            Self::Net(net) => write!(f, "net {net}"),
            Self::List(name) => write!(f, "list {}", InQuotes(name)),
        }
    }
}

/// A pattern where `net` and `list` are words of the grammar: hosts of these names keep their trailing dot.
pub(crate) struct HostText<'a>(pub(crate) &'a HostPattern);

impl fmt::Display for HostText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_string().as_str() {
            word @ ("net" | "list") => write!(f, "{word}."),
            text => f.write_str(text),
        }
    }
}

impl fmt::Display for RequestPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.methods.join(","))?;
        match &self.path {
            Some(path) if self.methods.is_empty() => path.fmt(f),
            Some(path) => write!(f, " {path}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ExpectItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expect {} ", self.action)?;
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        f.write_str(&self.url.value)
    }
}
