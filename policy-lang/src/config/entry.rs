//! Entries that are objects: requests, lists, limits, credentials, expectations, comments.

use super::{
    Problem,
    comments::{Note, Place},
    document::NetKey,
    entry_fields::Fields,
    fields::{DEFAULTS, LIST_VERBS, NET_DEFAULTS, VERBS},
};
use crate::{
    Action, Credential, HostPattern, PathPattern, Placement, RequestPattern, SecretSource,
    language::{
        self, BudgetItem, ExpectItem, InjectItem, LimitItem, NetDefault, RuleItem, Spanned,
        Subject, Verb, allowance_text, bytes_text, env_name, file_name, header, method, parameter,
        plain_text, rate_text,
    },
};
use serde_json::{Value, json};

/// An entry that is an object of its own.
///
/// `read` returns `None` where it reported an error; it goes on as far as it can first, so that all are told.
pub(super) trait Entries: Sized {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self>;
    fn write(&self) -> Value;
}

/// A host pattern, or the name of a set.
pub(super) fn subject(text: &str) -> Result<Subject, Problem> {
    match text.strip_prefix('$') {
        Some(name) => Ok(Subject::Set(language::set_name(name)?)),
        None => Ok(Subject::Host(HostPattern::parse(text)?)),
    }
}

fn host(text: &str) -> Result<HostPattern, Problem> {
    Ok(HostPattern::parse(text)?)
}

fn path(text: &str) -> Result<PathPattern, Problem> {
    Ok(PathPattern::parse(text).map_err(language::Problem::from)?)
}

/// What `policy` says.
pub(super) fn action(text: &str) -> Option<Action> {
    match text {
        "allow" => Some(Action::Allow),
        "deny" => Some(Action::Deny),
        _ => None,
    }
}

pub(super) fn net_key(text: &str) -> Result<NetKey, Problem> {
    match text {
        "private" => Ok(NetKey::Says(NetDefault::Private)),
        "open" => Ok(NetKey::Says(NetDefault::Open)),
        "unset" => Ok(NetKey::Unset),
        _ => Err(unknown_word(text, NET_DEFAULTS)),
    }
}

impl NetKey {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Says(NetDefault::Private) => "private",
            Self::Says(NetDefault::Open) => "open",
            Self::Unset => "unset",
        }
    }
}

fn unknown_word(text: &str, wanted: &'static [&'static str]) -> Problem {
    let text = text.into();
    Problem::UnknownWord { text, wanted }
}

fn verb(text: &str, known: &'static [&'static str]) -> Result<Verb, Problem> {
    let verbs = [Verb::Allow, Verb::Block, Verb::Bypass];
    let found = verbs.into_iter().find(|verb| verb.word() == text);
    found
        .filter(|_| known.contains(&text))
        .ok_or_else(|| unknown_word(text, known))
}

fn verdict(text: &str) -> Result<Action, Problem> {
    action(text).ok_or_else(|| unknown_word(text, DEFAULTS))
}

/// `allow` and `block` rules with methods or a path.
pub(super) struct Request(pub(super) RuleItem);

impl Entries for Request {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let verb = fields.text("action", |text| verb(text, VERBS));
        let subject = fields.text("host", subject);
        let methods = fields.optional_list("methods", |text| Ok(method(text)?));
        let path = fields.optional("path", path);
        let (mut methods, path) = (methods?.unwrap_or_default(), path?);
        methods.sort_unstable();
        methods.dedup();
        let path = path.map(|path| path.value);
        Some(Self(RuleItem {
            verb: verb?.value,
            subject: subject?,
            request: Some(RequestPattern { methods, path }),
        }))
    }

    fn write(&self) -> Value {
        let rule = &self.0;
        let mut entry = json!({"action": rule.verb.word(), "host": rule.subject.value.to_string()});
        let request = rule.request.as_ref();
        let methods = request.map(|request| &request.methods);
        if let Some(methods) = methods.filter(|methods| !methods.is_empty()) {
            set(&mut entry, "methods", json!(methods));
        }
        if let Some(path) = request.and_then(|request| request.path.as_ref()) {
            set(&mut entry, "path", json!(path.to_string()));
        }
        entry
    }
}

/// `allow`, `block` and `bypass` of a list file.
pub(super) struct ListFile(pub(super) RuleItem);

impl Entries for ListFile {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let verb = fields.text("action", |text| verb(text, LIST_VERBS));
        let file = fields.text("file", |text| Ok(Subject::List(file_name(text)?)));
        Some(Self(RuleItem {
            verb: verb?.value,
            subject: file?,
            request: None,
        }))
    }

    fn write(&self) -> Value {
        let file = match &self.0.subject.value {
            Subject::List(name) => name,
            _ => "",
        };
        json!({"action": self.0.verb.word(), "file": file})
    }
}

impl Entries for LimitItem {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let pattern = fields.text("host", host);
        let rate = fields.text("rate", |text| Ok(rate_text(text)?));
        Some(Self {
            pattern: pattern?,
            rate: rate?.value,
        })
    }

    fn write(&self) -> Value {
        json!({"host": self.pattern.value.to_string(), "rate": self.rate.to_string()})
    }
}

impl Entries for BudgetItem {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let pattern = fields.text("host", host);
        let allowance = fields.text("budget", |text| Ok(allowance_text(text)?));
        Some(Self {
            pattern: pattern?,
            allowance: allowance?.value,
        })
    }

    fn write(&self) -> Value {
        json!({"host": self.pattern.value.to_string(), "budget": self.allowance.to_string()})
    }
}

impl Entries for InjectItem {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let pattern = fields.text("host", host);
        let place = place(fields);
        let from = fields.object("from", source);
        let format = fields.optional("as", |text| {
            plain_text(text)?;
            Ok(language::format(text)?)
        });
        let path = fields.optional("path", path);
        let limit = fields.optional("limit", |text| Ok(rate_text(text)?));
        let budget = fields.optional("budget", |text| Ok(bytes_text(text)?));
        let credential = Credential {
            place: place?,
            from: from?,
            format: format?.map(|format| format.value),
            path: path?.map(|path| path.value),
            limit: limit?.map(|limit| limit.value),
            budget: budget?.map(|budget| budget.value),
        };
        let pattern = pattern?;
        Some(Self {
            pattern,
            credential,
        })
    }

    fn write(&self) -> Value {
        let credential = &self.credential;
        let place = match &credential.place {
            Placement::Header(_) => "header",
            Placement::Query(_) => "query",
            Placement::Form(_) => "form",
        };
        let (key, value) = match &credential.from {
            SecretSource::Env(name) => ("env", name),
            SecretSource::File(name) => ("file", name),
            SecretSource::Command(line) => ("command", line),
            SecretSource::Keyring(entry) => ("keyring", entry),
            SecretSource::OAuth(name) => ("oauth", name),
        };
        let mut entry = json!({
            "host": self.pattern.value.to_string(),
            place: credential.place.name(),
            "from": {key: value},
        });
        let clauses = [
            ("as", credential.format.as_ref().map(ToString::to_string)),
            ("path", credential.path.as_ref().map(ToString::to_string)),
            ("limit", credential.limit.as_ref().map(ToString::to_string)),
            (
                "budget",
                credential.budget.as_ref().map(ToString::to_string),
            ),
        ];
        for (name, text) in clauses {
            if let Some(text) = text {
                set(&mut entry, name, json!(text));
            }
        }
        entry
    }
}

fn place(fields: &mut Fields<'_, '_>) -> Option<Placement> {
    let header = fields.optional("header", |text| Ok(Placement::Header(header(text)?)));
    let query = fields.optional("query", |text| Ok(Placement::Query(parameter(text)?)));
    let form = fields.optional("form", |text| Ok(Placement::Form(parameter(text)?)));
    let found = header?.or(query?).or(form?);
    found.map(|place| place.value)
}

fn source(fields: &mut Fields<'_, '_>) -> Option<SecretSource> {
    let env = fields.optional("env", |text| Ok(SecretSource::Env(env_name(text)?)));
    let file = fields.optional("file", |text| Ok(SecretSource::File(file_name(text)?)));
    let command = fields.optional("command", |text| {
        Ok(SecretSource::Command(plain_text(text)?))
    });
    let keyring = fields.optional("keyring", |text| {
        Ok(SecretSource::Keyring(plain_text(text)?))
    });
    let oauth = fields.optional("oauth", |text| Ok(SecretSource::OAuth(file_name(text)?)));
    let found = env?.or(file?).or(command?).or(keyring?).or(oauth?);
    found.map(|source| source.value)
}

impl Entries for ExpectItem {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let verdict = fields.text("verdict", verdict);
        let method = fields.optional("method", |text| Ok(method(text)?));
        let url = fields.text("url", |text| Ok((text.into(), language::url(text)?)));
        let Spanned { value, span } = url?;
        let (url, target) = value;
        Some(Self {
            action: verdict?.value,
            method: method?.map(|method| method.value),
            url: Spanned { value: url, span },
            target,
        })
    }

    fn write(&self) -> Value {
        let mut entry = json!({"verdict": self.action.to_string()});
        if let Some(method) = &self.method {
            set(&mut entry, "method", json!(method));
        }
        set(&mut entry, "url", json!(self.url.value));
        entry
    }
}

impl Entries for Note {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let statement = |text: &str| Ok(text.into());
        let before = fields.optional("before", statement);
        let after = fields.optional("after", statement);
        let text = fields.text("text", |text| Ok(plain_text(text.trim())?));
        let place = match (before?, after?) {
            (Some(statement), _) => Place::Before(statement.value),
            (_, Some(statement)) => Place::After(statement.value),
            _ => Place::End,
        };
        let text = text?.value;
        Some(Self { place, text })
    }

    fn write(&self) -> Value {
        let mut entry = match &self.place {
            Place::Before(statement) => json!({"before": statement}),
            Place::After(statement) => json!({"after": statement}),
            Place::End => json!({}),
        };
        set(&mut entry, "text", json!(self.text));
        entry
    }
}

fn set(entry: &mut Value, key: &str, value: Value) {
    if let Some(members) = entry.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}
