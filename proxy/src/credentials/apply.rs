//! One request and the credentials that are to be set on it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use policy_lang::{Injection, Placement};
use secrecy::zeroize::Zeroizing;

use super::place::{self, Parts, Value};
use super::scrub::Scrubber;
use super::{CredentialError, id, strip};
use crate::cause::Cause;
use crate::context::Context;
use crate::record::Record;
use crate::upstream::body::RequestBody;

/// Largest form that a credential is put into.
const MAX_FORM: usize = 64 * 1024;

/// Takes away what the client set itself and sets `injections`. Called only for requests that leave over verified TLS.
///
/// The request does not leave without a credential that is for it: what is missing or used up is an error.
pub(crate) async fn apply(
    context: &Arc<Context>,
    injections: &[Injection],
    request: &mut Request<RequestBody>,
    record: &mut Record,
) -> Result<Option<Box<Scrubber>>, Cause> {
    if injections.is_empty() {
        return Ok(None);
    }
    let uri = request.uri().path_and_query();
    let asked = uri.cloned().unwrap_or(PathAndQuery::from_static("/"));
    strip::headers(request.headers_mut());
    let names = |wanted: fn(&Placement) -> bool| -> Vec<&str> {
        let places = injections
            .iter()
            .map(|injection| &injection.credential.place);
        places
            .filter(|place| wanted(place))
            .map(Placement::name)
            .collect()
    };
    let queries = names(|place| matches!(place, Placement::Query(_)));
    let path = strip::query(&asked, &queries);
    let mut path = path.map_err(|error| Cause::Credential {
        name: queries.join(", "),
        error,
    })?;
    let fields = names(|place| matches!(place, Placement::Form(_)));
    let mut form = match !fields.is_empty() && place::is_form(request.headers()) {
        true => Some(form(request, &fields).await?),
        false => None,
    };
    let mut scrubber = Scrubber::default();
    for injection in injections {
        if !injection.covers_path(asked.as_str()) {
            continue;
        }
        let name = id(injection);
        let failed = |error| Cause::Credential {
            name: name.clone(),
            error,
        };
        spend(context, injection, &name, record)?;
        let from = &injection.credential.from;
        let secret = context.credentials.secret(context, from).await;
        let secret = secret.map_err(failed)?;
        let value = Value::new(&injection.credential, &secret);
        let mut parts = Parts {
            fields: request.headers_mut(),
            path: &mut path,
            form: form.as_mut(),
        };
        if parts
            .set(&injection.credential.place, &value)
            .map_err(failed)?
        {
            record.injected(&name);
            scrubber.add(secret.expose());
            scrubber.add(value.secret_part());
        }
    }
    *request.uri_mut() = Uri::from(path);
    if let Some(form) = form {
        put(request, &form, record);
    }
    if scrubber.identity().is_none() {
        return Ok(None);
    }
    // What is compressed cannot be looked through.
    let identity = HeaderValue::from_static("identity");
    request
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, identity);
    Ok(Some(Box::new(scrubber)))
}

/// Counts the use of a credential, or says that its limit or budget is used up.
fn spend(
    context: &Context,
    injection: &Injection,
    name: &str,
    record: &mut Record,
) -> Result<(), Cause> {
    let rule = format!("credential {name} on {}", injection.pattern);
    if let Some(limit) = injection.credential.limit {
        let taken = context.rates.take(rule.clone(), limit, Instant::now());
        taken.map_err(|wait| Cause::Limited {
            rule: format!("{rule} limit {limit}"),
            wait,
        })?;
    }
    match injection.credential.budget {
        Some(budget) => Ok(context.budgets.spend(&rule, budget, &record.traffic())?),
        None => Ok(()),
    }
}

/// The form in the body, without what the client set itself.
async fn form(
    request: &mut Request<RequestBody>,
    names: &[&str],
) -> Result<Zeroizing<String>, Cause> {
    let text = request.body_mut().collect(MAX_FORM).await;
    let text = text.and_then(|text| String::from_utf8(text).ok());
    let text = text.map(Zeroizing::new).ok_or_else(|| Cause::Credential {
        name: names.join(", "),
        error: CredentialError::NoForm,
    })?;
    Ok(Zeroizing::new(strip::parameters(&text, names)))
}

fn put(request: &mut Request<RequestBody>, form: &str, record: &Record) {
    let length = HeaderValue::from(form.len());
    let body = RequestBody::whole(Bytes::copy_from_slice(form.as_bytes()), record.traffic());
    *request.body_mut() = body;
    request.headers_mut().remove(header::EXPECT);
    request.headers_mut().insert(header::CONTENT_LENGTH, length);
}
