//! What the file may hold: one table, which drives the reader and the JSON Schema.

use super::document::Key;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A host pattern, or `$name` of a set.
    Hosts,
    /// A host pattern.
    Host,
    /// A network in CIDR notation.
    Net,
    /// The name of a file, relative to this one.
    File,
    /// A method in upper case.
    Method,
    /// A path pattern.
    Path,
    /// `20/s`, `20/s burst 40`.
    Rate,
    /// `50MB/d`, `50MB/d up`.
    Bytes,
    /// `50MB/d`, `20 names/h`.
    Budget,
    /// The name of a header.
    Header,
    /// The name of a parameter or of a field of a form.
    Parameter,
    /// A longer value with `%s` where the secret goes.
    Format,
    /// The name of a variable of the environment.
    Variable,
    /// Text on one line.
    Text,
    /// An `http://` or `https://` URL.
    Url,
    /// A list.
    List(&'static Self),
    /// A list that is not empty.
    Some(&'static Self),
    /// An object with these fields and no others.
    Object(&'static Shape),
    /// An object with any keys, all of one kind.
    Map(&'static Self),
    /// The file, or its `network`: an object whose unknown keys are kept and have no effect.
    Open(&'static [Key]),
}

/// An entry that is an object.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) fields: &'static [Field],
    pub(super) needs: Needs,
}

/// Which of the fields that are not required must be there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needs {
    Nothing,
    /// One of these or more.
    Some(&'static [&'static str]),
    /// Exactly one of these.
    One(&'static [&'static str]),
    /// None of these or one.
    AtMostOne(&'static [&'static str]),
}

impl Needs {
    /// The names, if `has` does not meet the need.
    pub(super) fn unmet(self, has: impl Fn(&str) -> bool) -> Option<&'static [&'static str]> {
        let count = |names: &[&str]| names.iter().filter(|name| has(name)).count();
        match self {
            Self::Nothing => None,
            Self::Some(names) => (count(names) == 0).then_some(names),
            Self::One(names) => (count(names) != 1).then_some(names),
            Self::AtMostOne(names) => (count(names) > 1).then_some(names),
        }
    }
}

/// A field of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// A sentence for the reader of an editor's hint.
    pub(super) about: &'static str,
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: true,
        about,
    }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: false,
        about,
    }
}

pub(super) const DEFAULTS: &[&str] = &["allow", "deny"];
pub(super) const NET_DEFAULTS: &[&str] = &["private", "open", "unset"];
pub(super) const VERBS: &[&str] = &["allow", "block"];
pub(super) const LIST_VERBS: &[&str] = &["allow", "block", "bypass"];

const REQUEST: Shape = Shape {
    fields: &[
        required(
            "action",
            Kind::Word(VERBS),
            "What becomes of such requests.",
        ),
        required("host", Kind::Hosts, "The hosts that are asked."),
        optional(
            "methods",
            Kind::Some(&Kind::Method),
            "The methods; every method if left out.",
        ),
        optional(
            "path",
            Kind::Path,
            "The paths: `*` is one segment, `**` at the end all below. Every path if left out.",
        ),
    ],
    needs: Needs::Some(&["methods", "path"]),
};

const LIST: Shape = Shape {
    fields: &[
        required(
            "action",
            Kind::Word(LIST_VERBS),
            "What becomes of the hosts in the file.",
        ),
        required(
            "file",
            Kind::File,
            "A hosts file, an Adblock list, or one pattern a line.",
        ),
    ],
    needs: Needs::Nothing,
};

const LIMIT: Shape = Shape {
    fields: &[
        required("host", Kind::Host, "The hosts that are limited."),
        required(
            "rate",
            Kind::Rate,
            "Requests in each unit of time and at once, such as `20/s burst 40`.",
        ),
    ],
    needs: Needs::Nothing,
};

const BUDGET: Shape = Shape {
    fields: &[
        required("host", Kind::Host, "The hosts that share it."),
        required(
            "budget",
            Kind::Budget,
            "Bytes or different names in a unit of time, such as `50MB/d up` or `20 names/h`.",
        ),
    ],
    needs: Needs::Nothing,
};

const CREDENTIAL: Shape = Shape {
    fields: &[
        required(
            "host",
            Kind::Host,
            "One exact host; port 443 unless another is written.",
        ),
        optional(
            "header",
            Kind::Header,
            "The header that carries the secret.",
        ),
        optional(
            "query",
            Kind::Parameter,
            "The parameter of the query that carries it.",
        ),
        optional(
            "form",
            Kind::Parameter,
            "The field of a form in the body that carries it.",
        ),
        required(
            "from",
            Kind::Object(&SOURCE),
            "Where the secret comes from: one of these.",
        ),
        optional(
            "as",
            Kind::Format,
            "The value, with `%s` where the secret goes.",
        ),
        optional(
            "path",
            Kind::Path,
            "The requests it is set on; all if left out.",
        ),
        optional("limit", Kind::Rate, "How often it may be used."),
        optional("budget", Kind::Bytes, "How many bytes may pass with it."),
    ],
    needs: Needs::One(&["header", "query", "form"]),
};

const SOURCE: Shape = Shape {
    fields: &[
        optional(
            "env",
            Kind::Variable,
            "A variable of the caller's environment.",
        ),
        optional("file", Kind::File, "A file."),
        optional("command", Kind::Text, "A command that prints it."),
        optional("keyring", Kind::Text, "An entry of the desktop keyring."),
        optional("oauth", Kind::File, "A file with a refresh token."),
    ],
    needs: Needs::One(&["env", "file", "command", "keyring", "oauth"]),
};

const EXPECTATION: Shape = Shape {
    fields: &[
        required(
            "verdict",
            Kind::Word(DEFAULTS),
            "The verdict that the policy must give.",
        ),
        optional(
            "method",
            Kind::Method,
            "The request's method; GET if left out.",
        ),
        required("url", Kind::Url, "The request's URL."),
    ],
    needs: Needs::Nothing,
};

const COMMENT: Shape = Shape {
    fields: &[
        optional(
            "before",
            Kind::Text,
            "The statement of the language that it stands before.",
        ),
        optional(
            "after",
            Kind::Text,
            "The statement of the language on whose line it stands.",
        ),
        required("text", Kind::Text, "The comment."),
    ],
    needs: Needs::AtMostOne(&["before", "after"]),
};

impl Key {
    /// What its value must be.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Policy => Kind::Word(DEFAULTS),
            Self::Network => Kind::Open(&Self::NETWORK),
            Self::Include => Kind::List(&Kind::File),
            Self::Expect => Kind::List(&Kind::Object(&EXPECTATION)),
            Self::Comments => Kind::List(&Kind::Object(&COMMENT)),
            Self::AllowedDomains | Self::BlockedDomains | Self::BypassDomains => {
                Kind::List(&Kind::Hosts)
            }
            Self::AllowCidr | Self::BlockCidr | Self::BypassCidr => Kind::List(&Kind::Net),
            Self::DefaultNet => Kind::Word(NET_DEFAULTS),
            Self::Sets => Kind::Map(&Kind::List(&Kind::Host)),
            Self::Requests => Kind::List(&Kind::Object(&REQUEST)),
            Self::Lists => Kind::List(&Kind::Object(&LIST)),
            Self::Limits => Kind::List(&Kind::Object(&LIMIT)),
            Self::Budgets => Kind::List(&Kind::Object(&BUDGET)),
            Self::Credentials => Kind::List(&Kind::Object(&CREDENTIAL)),
        }
    }

    /// A sentence for the reader of an editor's hint.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Policy => "The verdict where no rule covers a host; deny if left out.",
            Self::Network => "The rules.",
            Self::Include => "Files in the policy language, relative to this one.",
            Self::Expect => "Tests, run by `sandbox policy test`.",
            Self::Comments => "Comments of the policy language, kept by `sandbox policy convert`.",
            Self::AllowedDomains => "Hosts that are allowed.",
            Self::BlockedDomains => "Hosts that are blocked.",
            Self::BypassDomains => "Hosts that are tunnelled unread; this grants nothing.",
            Self::AllowCidr => "Networks whose block is lifted; this grants nothing by itself.",
            Self::BlockCidr => {
                "Networks that are blocked, in place of the documented private ones."
            }
            Self::BypassCidr => "Networks to which connections are tunnelled unread.",
            Self::DefaultNet => {
                "What holds for private networks besides `blockCIDR`: `private` blocks the documented ones, `open` does not, `unset` leaves it to included files."
            }
            Self::Sets => "Hosts by name, for use as `$name`.",
            Self::Requests => "Rules about some requests only, by method and path.",
            Self::Lists => "Files with many hosts.",
            Self::Limits => "How often hosts may be asked.",
            Self::Budgets => "How much may pass, and how many different names may be asked for.",
            Self::Credentials => "Secrets that the proxy sets and the guest never sees.",
        }
    }
}
