//! Requests to a registry, with an end to every answer.
//!
//! oci-client has the types, and reads manifests, tokens and what is said of an error as long as they come. A registry
//! is not ours, so the requests are.

use std::time::Duration;

use http_auth::{ChallengeRef, parse_challenges};
use oci_client::secrets::RegistryAuth;
use reqwest::header::{ACCEPT, HeaderMap, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::super::Reference;
use super::super::digest::check;
use super::super::manifest::LARGEST_DOCUMENT;
use super::error::{Answer, Error, explain};

/// The most that is read of a token or of an error, in bytes.
const LARGEST_NOTE: usize = 64 << 10;

/// How long a document, a token or an error may take in all; the largest are read in a moment.
const DOCUMENT: Duration = Duration::from_secs(120);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);

/// The registry of one image.
pub(in super::super) struct Http<'a> {
    reference: &'a Reference,
    auth: RegistryAuth,
    client: Client,
    /// Its root.
    registry: Url,
    /// What it was content with last.
    proof: Mutex<Option<Proof>>,
}

/// What shows a registry who asks.
#[derive(Clone)]
enum Proof {
    /// What it gave us for the password, or for nothing.
    Token(String),
    /// The password itself.
    Password,
}

/// A token, under either of the names that the specification allows.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Http<'a> {
    /// Nothing is sent yet.
    pub(super) fn new(reference: &'a Reference, auth: RegistryAuth) -> Result<Self, Error> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("sandbox/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| explain(reference, error.into()))?;
        let scheme = match reference.is_loopback() {
            true => "http",
            false => "https",
        };
        let registry = reference.inner().resolve_registry();
        let registry = Url::parse(&format!("{scheme}://{registry}/"));
        Ok(Self {
            reference,
            auth,
            client,
            registry: registry.map_err(|_| explain(reference, Answer::Address))?,
            proof: Mutex::default(),
        })
    }

    /// The manifest with this tag or digest, in one of these forms.
    pub(super) async fn manifest(&self, name: &str, forms: &[&str]) -> Result<Vec<u8>, Error> {
        let request = self.get("manifests", name);
        let request = request.header(ACCEPT, forms.join(", ")).timeout(DOCUMENT);
        let fetched = async {
            let response = self.ask(request).await?;
            let promised = response.headers().get("docker-content-digest").cloned();
            let largest = usize::try_from(LARGEST_DOCUMENT).unwrap_or(usize::MAX);
            Ok((promised, whole(response, largest).await?))
        };
        let (promised, body) = fetched.await.map_err(|answer| self.explain(answer))?;
        // What it was asked for by digest, and what it says itself.
        let promised = promised.as_ref().and_then(|value| value.to_str().ok());
        for digest in [Some(name), promised].into_iter().flatten() {
            if let Ok(digest) = digest.parse() {
                check(&digest, &body)?;
            }
        }
        Ok(body)
    }

    /// A blob from `offset` on, and from where on it really comes: there, or 0.
    pub(in super::super) async fn blob(
        &self,
        digest: &str,
        offset: u64,
    ) -> Result<(u64, Response), Error> {
        let mut request = self.get("blobs", digest);
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let response = self.ask(request).await;
        let response = response.map_err(|answer| self.explain(answer))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => Ok((offset, response)),
            _ => Ok((0, response)),
        }
    }

    /// Tells whose fault a failed request is.
    pub(in super::super) fn explain(&self, answer: Answer) -> Error {
        explain(self.reference, answer)
    }

    fn get(&self, kind: &str, name: &str) -> RequestBuilder {
        let repository = self.reference.repository();
        let url = format!("{}v2/{repository}/{kind}/{name}", self.registry);
        self.client.get(url)
    }

    /// Sends a request; where the registry wants to know who asks, or no longer believes it, again with what it wants.
    /// Only success is returned.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, Answer> {
        let Some(first) = request.try_clone() else {
            return succeeded(request.send().await?).await; // never: it has no body
        };
        let known = self.proof.lock().await.clone();
        let response = self.with(first, known.as_ref()).send().await?;
        // Where a redirection has led is nobody to give a password to.
        let is_registry = response.url().origin() == self.registry.origin();
        if response.status() != StatusCode::UNAUTHORIZED || !is_registry {
            return succeeded(response).await;
        }
        let Some(proof) = self.prove(response.headers()).await? else {
            return succeeded(response).await;
        };
        let request = self.with(request, Some(&proof));
        *self.proof.lock().await = Some(proof);
        succeeded(request.send().await?).await
    }

    fn with(&self, request: RequestBuilder, proof: Option<&Proof>) -> RequestBuilder {
        match (proof, &self.auth) {
            (Some(Proof::Token(token)), _) => request.bearer_auth(token),
            (Some(Proof::Password), RegistryAuth::Basic(user, password)) => {
                request.basic_auth(user, Some(password))
            }
            (Some(Proof::Password) | None, _) => request,
        }
    }

    /// What the registry's challenge asks for, if we have it.
    async fn prove(&self, headers: &HeaderMap) -> Result<Option<Proof>, Answer> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let challenges = values.iter().filter_map(|text| parse_challenges(text).ok());
        let challenges: Vec<ChallengeRef<'_>> = challenges.flatten().collect();
        let find = |scheme: &str| {
            let mut challenges = challenges.iter();
            challenges.find(|one| one.scheme.eq_ignore_ascii_case(scheme))
        };
        if let Some(challenge) = find("bearer") {
            return Ok(Some(Proof::Token(self.token(challenge).await?)));
        }
        let has_password = matches!(self.auth, RegistryAuth::Basic(..));
        Ok((has_password && find("basic").is_some()).then_some(Proof::Password))
    }

    /// Fetches a token from where the challenge says.
    async fn token(&self, challenge: &ChallengeRef<'_>) -> Result<String, Answer> {
        let parameter = |name: &str| {
            let mut parameters = challenge.params.iter();
            let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = Url::parse(&parameter("realm").unwrap_or_default());
        let realm = realm.map_err(|_| Answer::Token)?;
        // A password does not cross the network for all to read.
        if realm.scheme() != "https" && !self.reference.is_loopback() {
            return Err(Answer::Token);
        }
        let scope = format!("repository:{}:pull", self.reference.repository());
        let mut request = self.client.get(realm).query(&[("scope", scope)]);
        if let Some(service) = parameter("service") {
            request = request.query(&[("service", service)]);
        }
        let request = self.with(request, Some(&Proof::Password));
        let response = request.timeout(DOCUMENT).send().await?;
        let body = match succeeded(response).await {
            Ok(response) => whole(response, LARGEST_NOTE).await?,
            Err(Answer::Status {
                code: 400..=428, ..
            }) => return Err(Answer::Refused),
            Err(answer) => return Err(answer),
        };
        let token: Token = serde_json::from_slice(&body).map_err(|_| Answer::Token)?;
        let token = token.token.or(token.access_token);
        let fits = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
        token.filter(fits).ok_or(Answer::Token)
    }
}

/// The response, unless it is an error; then as much as is worth reading of what it says.
async fn succeeded(mut response: Response) -> Result<Response, Answer> {
    let status = response.status();
    if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return Ok(response);
    }
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= LARGEST_NOTE {
                break;
            }
        }
    };
    // The status says enough.
    let _ = tokio::time::timeout(DOCUMENT, reading).await;
    body.truncate(LARGEST_NOTE);
    let code = status.as_u16();
    Err(Answer::Status { code, body })
}

/// The whole body, if it is not longer than that.
async fn whole(mut response: Response, largest: usize) -> Result<Vec<u8>, Answer> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > largest {
            return Err(Answer::Long);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
