//! Logins made inside the guest, whose tokens do not get there.
//!
//! An agent that logs in by OAuth (RFC 6749) exchanges a code for tokens at its vendor's token endpoint. The proxy keeps
//! the tokens of the answer and hands on sentinels of the same shape; in what says who calls one of the vendor's hosts,
//! and in what an exchange at the endpoint asks for, a sentinel is replaced by its token. Elsewhere it is worthless, and
//! passes as it is.
//!
//! What cannot be looked through is not handed on: an answer of the endpoint that is compressed, too long, or neither
//! JSON nor a form, is a 502.

mod answer;
mod endpoint;
mod exchange;
mod sentinel;
mod vault;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use policy_lang::Target;
use secrecy::zeroize::Zeroizing;
use tokio::time::timeout;

use super::CredentialError;
use super::place;
use super::scrub::Scrubber;
use crate::cause::Cause;
use crate::record::Record;
use crate::traffic::Traffic;
use crate::upstream::body::RequestBody;

pub use endpoint::Login;
use vault::Vault;

/// Where keys are said that were had for a token.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Largest request to a token endpoint, and largest answer.
const MAX_REQUEST: usize = 64 * 1024;
const MAX_ANSWER: usize = 256 * 1024;

/// Time for the body of an endpoint's answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The logins that are known, and the tokens that are kept for them.
#[derive(Debug)]
pub(crate) struct Logins {
    known: Vec<(Login, Arc<Vault>)>,
}

/// What a request's target has to do with a login.
#[derive(Debug)]
pub(crate) struct Concern {
    login: Login,
    vault: Arc<Vault>,
}

impl Logins {
    /// With tokens that were kept in the directory `store`, if there is one. They are kept there from now on.
    pub(crate) fn new(known: Vec<Login>, store: Option<PathBuf>) -> io::Result<Self> {
        let vault = |login: Login| {
            let file = store
                .as_ref()
                .map(|directory| directory.join(format!("login-{}.json", login.name)));
            Ok((login, Arc::new(Vault::open(file)?)))
        };
        let known: io::Result<Vec<_>> = known.into_iter().map(vault).collect();
        Ok(Self { known: known? })
    }

    /// The login that requests to `target` may be of. COST: a comparison with a score of names.
    pub(crate) fn on(&self, target: &Target) -> Option<Concern> {
        let mut known = self.known.iter();
        let (login, vault) = known.find(|(login, _)| login.is_for(target))?;
        Some(Concern {
            login: login.clone(),
            vault: vault.clone(),
        })
    }
}

impl Concern {
    /// Puts tokens in the place of sentinels in `request`, and tells whether its answer may bring tokens.
    ///
    /// `scrub` learns what must not come back.
    pub(crate) async fn swap(
        &self,
        target: &Target,
        request: &mut Request<RequestBody>,
        scrub: &mut Option<Box<Scrubber>>,
        record: &mut Record,
    ) -> Result<bool, Cause> {
        let identity = HeaderValue::from_static("identity");
        if self.authorize(request.headers_mut(), scrub) {
            record.injected(&self.name());
            let fields = request.headers_mut();
            fields.insert(header::ACCEPT_ENCODING, identity.clone());
        }
        if !self.login.is_endpoint(target, request.uri().path()) {
            return Ok(false);
        }
        self.reveal(target, request, record).await?;
        // A part of an answer, or one in code, could not be looked through.
        let fields = request.headers_mut();
        fields.insert(header::ACCEPT_ENCODING, identity);
        fields.remove(header::RANGE);
        Ok(true)
    }

    /// Puts tokens in the place of sentinels in the body, if it is that of an exchange.
    async fn reveal(
        &self,
        target: &Target,
        request: &mut Request<RequestBody>,
        record: &mut Record,
    ) -> Result<(), Cause> {
        let path = request.uri().path();
        if !self.login.is_exchange(request.method(), target, path) {
            return Ok(());
        }
        let Some(kind) = exchange::Kind::of(request.headers()) else {
            return Ok(());
        };
        let body = request.body_mut().collect(MAX_REQUEST).await;
        let body = Zeroizing::new(body.ok_or_else(|| Cause::Credential {
            name: self.name(),
            error: CredentialError::NoForm,
        })?);
        let revealed = exchange::revealed(&body, kind, |said| self.vault.token_of(said));
        if revealed.is_some() {
            record.injected(&self.name());
        }
        put(request, &revealed.unwrap_or(body), record.traffic());
        Ok(())
    }

    /// The answer of the token endpoint with sentinels in the place of tokens.
    pub(crate) async fn capture<B>(
        &self,
        response: Response<B>,
        traffic: &Traffic,
    ) -> Result<Response<Bytes>, Cause>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let bad = |what: &str| Cause::BadAnswer(format!("the token endpoint's {what}"));
        let (mut parts, body) = response.into_parts();
        let coded = parts.headers.get(header::CONTENT_ENCODING);
        if coded.is_some_and(|coding| coding != "identity") {
            return Err(bad("is compressed, though nobody asked for that"));
        }
        let body = timeout(PATIENCE, Limited::new(body, MAX_ANSWER).collect()).await;
        let body = body.map_err(|_| bad("did not come in time"))?;
        let body = body
            .map_err(|_| bad("is cut short or too long"))?
            .to_bytes();
        traffic.add_down(body.len());
        traffic.within()?;
        let form = place::is_form(&parts.headers);
        let keep = |token: &str| self.vault.keep(token, self.login.prefix_of(token));
        let body = match answer::rewritten(&body, form, keep) {
            Ok(rewritten) => rewritten,
            // What is no grant of tokens may be a page.
            Err(_) if !parts.status.is_success() || body.is_empty() => body.to_vec(),
            Err(error) => return Err(bad(&error.to_string())),
        };
        let body = Bytes::from(self.vault.conceal(&body));
        for name in [header::ETAG, header::TRANSFER_ENCODING, header::TRAILER] {
            parts.headers.remove(name);
        }
        for name in ["digest", "content-digest", "repr-digest", "content-md5"] {
            parts.headers.remove(name);
        }
        for value in parts.headers.values_mut() {
            let concealed = self.vault.conceal(value.as_bytes());
            if let Ok(concealed) = HeaderValue::from_bytes(&concealed) {
                *value = concealed;
            }
        }
        let length = HeaderValue::from(body.len());
        parts.headers.insert(header::CONTENT_LENGTH, length);
        Ok(Response::from_parts(parts, body))
    }

    fn name(&self) -> String {
        format!("{} login", self.login.name)
    }

    /// Puts tokens in the place of sentinels that say who calls.
    fn authorize(&self, fields: &mut HeaderMap, scrub: &mut Option<Box<Scrubber>>) -> bool {
        let mut swapped = false;
        for name in [header::AUTHORIZATION, API_KEY] {
            let Some(value) = fields.get_mut(&name) else {
                continue;
            };
            let Some(said) = value.to_str().ok().and_then(|text| self.said(text)) else {
                continue;
            };
            let Ok(mut revealed) = HeaderValue::try_from(said.text.as_str()) else {
                continue;
            };
            revealed.set_sensitive(true);
            *value = revealed;
            let scrub = scrub.get_or_insert_default();
            for secret in &said.secrets {
                scrub.add(secret);
            }
            swapped = true;
        }
        swapped
    }

    /// `text` with a token in the place of the sentinel that is the whole of it but for the scheme.
    fn said(&self, text: &str) -> Option<Said> {
        let (scheme, said) = text.split_once(' ').unwrap_or(("", text));
        if scheme.eq_ignore_ascii_case("basic") {
            return self.said_basic(said.trim());
        }
        let token = self.vault.token_of(said.trim())?;
        Some(Said {
            text: Zeroizing::new(format!("{scheme} {}", *token).trim_start().to_owned()),
            secrets: vec![token],
        })
    }

    /// The same in the Basic scheme (RFC 7617): git takes a token for a password, and for a user's name.
    fn said_basic(&self, said: &str) -> Option<Said> {
        let plain = Zeroizing::new(STANDARD.decode(said).ok()?);
        let (user, password) = str::from_utf8(&plain).ok()?.split_once(':')?;
        let tokens = [user, password].map(|said| self.vault.token_of(said));
        let [user, password] = [(user, &tokens[0]), (password, &tokens[1])]
            .map(|(said, token)| token.as_ref().map_or(said, |token| token));
        let revealed = Zeroizing::new(format!("{user}:{password}"));
        let encoded = Zeroizing::new(STANDARD.encode(revealed.as_bytes()));
        let text = Zeroizing::new(format!("Basic {}", *encoded));
        let mut secrets: Vec<_> = tokens.into_iter().flatten().collect();
        if secrets.is_empty() {
            return None;
        }
        secrets.push(encoded);
        Some(Said { text, secrets })
    }
}

/// What a header says with tokens in it.
struct Said {
    text: Zeroizing<String>,
    /// What of it must not come back.
    secrets: Vec<Zeroizing<String>>,
}

fn put(request: &mut Request<RequestBody>, body: &[u8], traffic: Arc<Traffic>) {
    let fields = request.headers_mut();
    fields.remove(header::EXPECT);
    fields.remove(header::TRANSFER_ENCODING);
    if !body.is_empty() || fields.contains_key(header::CONTENT_LENGTH) {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    *request.body_mut() = match body.is_empty() {
        true => RequestBody::empty(traffic),
        false => RequestBody::whole(Bytes::copy_from_slice(body), traffic),
    };
}
