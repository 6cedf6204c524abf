//! Who is known, and what each is served with.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;

use super::clients::Clients;
use super::name::Name;
use crate::cause::Cause;
use crate::context::Context;

/// For whom a policy is in force: each has connections to origins, limits and a list of denials of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// All that comes through the listeners of this policy.
    Listener(Name),
    /// The client of this name.
    Client(Name),
}

/// Everybody, as of one look at the files.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) clients: Clients,
    pub(crate) served: BTreeMap<Who, Arc<Context>>,
}

/// Everybody, as of now.
pub(crate) struct Members {
    table: ArcSwap<Table>,
    /// For those who are not known: it lets nothing through.
    pub(crate) nobody: Arc<Context>,
}

impl Members {
    pub(super) fn new(nobody: Arc<Context>) -> Self {
        Self {
            table: ArcSwap::default(),
            nobody,
        }
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    pub(super) fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    /// What connections of a listener are served with.
    pub(super) fn of_listener(&self, policy: &Name) -> Result<Arc<Context>, Cause> {
        let table = self.table.load();
        let served = table.served.get(&Who::Listener(policy.clone()));
        served.cloned().ok_or(Cause::NoPolicy)
    }

    /// What the client is served with whose credentials are in a request's `head`.
    pub(crate) fn known_by_head(&self, head: &[u8]) -> Result<Arc<Context>, Cause> {
        self.known(&authorizations(head))
    }

    /// The same by all values of `Proxy-Authorization` that there are: two are as good as none.
    fn known(&self, authorizations: &[&[u8]]) -> Result<Arc<Context>, Cause> {
        let [authorization] = authorizations else {
            return Err(Cause::Unidentified);
        };
        let table = self.table.load();
        let client = table.clients.identify(authorization);
        let client = client.ok_or(Cause::Unidentified)?;
        let served = table.served.get(&Who::Client(client.name.clone()));
        served.cloned().ok_or(Cause::NoPolicy)
    }
}

/// The values of `Proxy-Authorization` in a head that was checked.
fn authorizations(head: &[u8]) -> Vec<&[u8]> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    });
    let named =
        |(name, _): &(&[u8], _)| name.eq_ignore_ascii_case(PROXY_AUTHORIZATION.as_str().as_bytes());
    fields.filter(named).map(|(_, value)| value).collect()
}

/// Sees to it that each request of a connection comes from whom the first came from: behind another proxy, one
/// connection may carry what several clients ask (RFC 9110 §11.7.1 has the credentials in every request).
pub(crate) struct Member {
    members: Arc<Members>,
    /// None on a connection whose client is not known.
    context: Option<Arc<Context>>,
    /// False where there is no policy, whoever asks.
    served: bool,
}

impl Member {
    pub(crate) fn new(members: Arc<Members>, context: Option<Arc<Context>>) -> Self {
        Self {
            members,
            context,
            served: true,
        }
    }

    /// For a connection to a listener that has no policy.
    pub(crate) fn unserved(members: Arc<Members>) -> Self {
        Self {
            members,
            context: None,
            served: false,
        }
    }

    /// Why a request with these fields is not served on this connection, if it is not.
    pub(crate) fn refusal(&self, fields: &HeaderMap) -> Option<Cause> {
        if !self.served {
            return Some(Cause::NoPolicy);
        }
        let values = fields.get_all(PROXY_AUTHORIZATION).iter();
        let values: Vec<_> = values.map(|value| value.as_bytes()).collect();
        match (self.members.known(&values), &self.context) {
            (Err(cause), _) => Some(cause),
            (Ok(now), Some(first)) if Arc::ptr_eq(&now, first) => None,
            (Ok(_), _) => Some(Cause::Unidentified),
        }
    }

    /// For the record of such a request, which is not the connection's client's.
    pub(crate) fn nobody(&self) -> &Context {
        &self.members.nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_head_says() {
        let rows: &[(&str, &[&str])] = &[
            ("", &[]),
            ("Proxy-Authorization: Basic eA==\r\n", &["Basic eA=="]),
            ("proxy-authorization:x\r\nX: y\r\n", &["x"]),
            (
                "Proxy-Authorization: a\r\nPROXY-AUTHORIZATION: b\r\n",
                &["a", "b"],
            ),
            (
                "Authorization: a\r\nX-Proxy-Authorization: b\r\nProxy_Authorization: c\r\n",
                &[],
            ),
        ];
        for (fields, expected) in rows {
            let head = format!("CONNECT proxy-authorization:1 HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            let found = authorizations(head.as_bytes());
            let expected: Vec<_> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, expected, "{fields:?}");
        }
    }
}
