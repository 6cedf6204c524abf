//! Access tokens for refresh tokens that stay on the host (RFC 6749 §6).
//!
//! The guest sees neither: the proxy asks the token endpoint itself, through the same gate as everybody (so the policy
//! must allow the endpoint), and sets the access token on requests. A line in the log tells of each exchange.

mod unkept;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Limited};
use policy_lang::Target;
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use self::unkept::Unkept;
use super::CredentialError;
use super::had::{Had, Outcome};
use super::identity::Identity;
use super::place::percent_encoded;
use super::secret::Secret;
use crate::audit::{Carriage, Stage};
use crate::cause::Cause;
use crate::context::Context;
use crate::record::Record;
use crate::upstream::body::RequestBody;
use crate::upstream::pool::Key;
use crate::upstream::send::send;
use crate::upstream::sender::Protocol;

/// A token is fetched anew this long before it expires: clocks differ, and requests take time.
const MARGIN: Duration = Duration::from_secs(60);

/// How long a token is used whose answer does not tell (RFC 6749 §5.1 only recommends it).
const DEFAULT_VALID: Duration = Duration::from_secs(600);

/// Largest answer of a token endpoint.
const MAX_ANSWER: usize = 64 * 1024;

/// Time for an exchange.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a file for `oauth` holds. Keys that are not known are kept.
#[derive(Serialize, Deserialize)]
struct Grant {
    token_endpoint: String,
    refresh_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.refresh_token.zeroize();
        self.client_secret.zeroize();
    }
}

/// A token endpoint's answer (RFC 6749 §5.1).
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Drop for Issued {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

/// Access tokens by the file whose refresh token they were had for.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    had: Had,
    unkept: Unkept,
}

impl Tokens {
    /// An access token that is good for a while.
    pub(super) async fn access(
        &self,
        context: &Arc<Context>,
        file: &str,
    ) -> Result<Secret, CredentialError> {
        let ask = || {
            let (context, file) = (context.clone(), file.to_owned());
            async move {
                let exchanged = timeout(PATIENCE, exchange(&context, &file)).await;
                let late = || CredentialError::TokenEndpoint("did not answer in time".into());
                exchanged.unwrap_or_else(|_| Err(late()))
            }
        };
        let pause = context.limits.credential_pause;
        self.had.get(file, pause, ask).await
    }

    /// An origin refused the token that was had for `file`.
    pub(super) fn refused(&self, file: &str, pause: Duration) {
        self.had.forget(file, pause);
    }
}

async fn exchange(context: &Context, file: &str) -> Outcome {
    let mut grant = read(file)?;
    let unkept = &context.credentials.tokens.unkept;
    let in_file = unkept.renew(file, &mut grant);
    let endpoint = &grant.token_endpoint;
    let uri: Uri = endpoint.parse().map_err(|_| bad(file))?;
    let target = Target::from_url(endpoint).map_err(|_| bad(file))?;
    if uri.scheme() != Some(&http::uri::Scheme::HTTPS) {
        return Err(CredentialError::NotAsked("is not `https`".into()));
    }
    let url = format!("https://{target}{}", uri.path());
    let mut record = context.recorder.begin("POST", &url);
    let outcome = post(context, &target, &uri, form(&grant), &mut record).await;
    let issued = match outcome {
        Ok(issued) => issued,
        Err(cause) => {
            record.failed(&cause);
            return Err(match cause {
                Cause::Refused(_) => CredentialError::NotAsked(cause.sentence()),
                _ => CredentialError::TokenEndpoint(cause.sentence()),
            });
        }
    };
    if let Some(renewed) = &issued.refresh_token {
        grant.refresh_token.zeroize();
        grant.refresh_token.clone_from(renewed);
    }
    if let Err(error) = unkept.keep(file, &in_file, &grant) {
        record.noted(&format!(
            "the renewed refresh token cannot be kept: {error}"
        ));
    }
    record.done();
    let token = Secret::new(issued.access_token.as_str())?;
    let valid = issued.expires_in.map_or(DEFAULT_VALID, Duration::from_secs);
    // One that is good for less than the margin is used for half of its life.
    Ok((valid.saturating_sub(MARGIN).max(valid / 2), token))
}

fn bad(file: &str) -> CredentialError {
    CredentialError::BadOAuthFile(file.to_owned())
}

fn read(file: &str) -> Result<Grant, CredentialError> {
    let text = std::fs::read(file).map_err(|_| CredentialError::NoFile(file.to_owned()))?;
    let text = Zeroizing::new(text);
    serde_json::from_slice(&text).map_err(|_| bad(file))
}

fn form(grant: &Grant) -> Zeroizing<String> {
    let mut form = Zeroizing::new("grant_type=refresh_token".to_owned());
    let fields = [
        ("refresh_token", Some(&grant.refresh_token)),
        ("client_id", grant.client_id.as_ref()),
        ("client_secret", grant.client_secret.as_ref()),
        ("scope", grant.scope.as_ref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            form.push('&');
            form.push_str(name);
            form.push('=');
            form.push_str(&percent_encoded(value));
        }
    }
    form
}

async fn post(
    context: &Context,
    target: &Target,
    uri: &Uri,
    form: Zeroizing<String>,
    record: &mut Record,
) -> Result<Issued, Cause> {
    record.target(target);
    record.stage(Stage::Host);
    let (route, _) = context
        .gate
        .admit_request(target, "POST", uri.path())
        .await
        .map_err(Cause::Refused)?;
    record.admitted(&route, Carriage::Intercept);
    let body = Bytes::copy_from_slice(form.as_bytes());
    let mut request = Request::new(RequestBody::whole(body, record.traffic()));
    *request.method_mut() = Method::POST;
    if let Some(path) = uri.path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    let host = HeaderValue::try_from(crate::request::authority(target, true))
        .map_err(|error| Cause::Internal(error.to_string()))?;
    let fields = request.headers_mut();
    fields.insert(header::HOST, host);
    fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    fields.insert(header::CONTENT_TYPE, kind);
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(form.len()));
    let key = Key {
        target: target.clone(),
        reach: route.reach,
        tls: true,
        protocol: Protocol::Http1,
        // No connection on which the guest has spoken.
        identity: Some(Identity::of(None, &form)),
    };
    let (response, _) = send(context, &route, &key, request, None, record).await?;
    let status = response.status();
    record.answered(status.as_u16());
    if !status.is_success() {
        return Err(Cause::BadAnswer(format!("it refuses with status {status}")));
    }
    let answer = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let answer = answer.map_err(|_| Cause::BadAnswer("it is cut short or too long".into()))?;
    serde_json::from_slice(&answer.to_bytes())
        .map_err(|_| Cause::BadAnswer("it has no `access_token`".into()))
}
