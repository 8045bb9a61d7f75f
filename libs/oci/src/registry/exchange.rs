//! One question to a registry: redirects followed by hand, so that credentials never travel to another host, and
//! answers sorted into errors.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::{RegistryError, Repository};

/// A blob is one redirect away, two with a mirror.
const MAX_REDIRECTS: usize = 5;
/// How often a question is asked when the registry fails.
const ATTEMPTS: u32 = 4;
/// Longest wait that a registry may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// What is asked, wherever it is redirected to.
struct Question<'a> {
    method: Method,
    accept: &'a [&'a str],
    offset: u64,
}

/// Pauses between attempts.
pub struct Pauses {
    next: Duration,
    left: u32,
}

impl Pauses {
    pub fn new(first: Duration) -> Self {
        Self { next: first, left: ATTEMPTS - 1 }
    }

    /// Waits before the next attempt, or gives the error back when there is none or it would not help.
    pub async fn wait(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        if !error.is_transient() || self.left == 0 {
            return Err(error);
        }
        let asked = match &error {
            RegistryError::Failing { retry_after: Some(seconds), .. } => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        tracing::debug!(error = %super::chain(&error), "the registry is asked again");
        tokio::time::sleep(self.next.max(asked.min(MAX_RETRY_AFTER))).await;
        self.next *= 2;
        self.left -= 1;
        Ok(())
    }
}

impl Repository {
    /// Fetches a document of at most `limit` bytes, with its content type.
    pub(super) async fn get_whole(&self, url: &Url, accept: &[&str], limit: usize) -> Result<(String, Vec<u8>), RegistryError> {
        let mut pauses = Pauses::new(self.client.options.retry_pause);
        loop {
            match self.get_once(url, accept, limit).await {
                Err(error) => pauses.wait(error).await?,
                found => return found,
            }
        }
    }

    async fn get_once(&self, url: &Url, accept: &[&str], limit: usize) -> Result<(String, Vec<u8>), RegistryError> {
        let mut response = self.get(url, accept, 0).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if bytes.len() + chunk.len() > limit {
                return Err(self.refused("it is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((content_type, bytes.to_vec()))
    }

    /// Asks for `url` from byte `offset` on. The answer has status 200, 206 or 416.
    pub(super) async fn get(&self, url: &Url, accept: &[&str], offset: u64) -> Result<Response, RegistryError> {
        self.ask(&Question { method: Method::GET, accept, offset }, url).await
    }

    /// Asks for the headers of `url` alone.
    pub(super) async fn head(&self, url: &Url, accept: &[&str]) -> Result<Response, RegistryError> {
        self.ask(&Question { method: Method::HEAD, accept, offset: 0 }, url).await
    }

    /// Asks, logging in when told to.
    async fn ask(&self, question: &Question<'_>, url: &Url) -> Result<Response, RegistryError> {
        let (response, is_own) = self.follow(question, url).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !is_own {
            return self.accepted(response, is_own);
        }
        // Only the registry itself may ask for credentials, and once for each question.
        self.authorize(response.headers()).await?;
        let (response, is_own) = self.follow(question, url).await?;
        self.accepted(response, is_own)
    }

    /// Sends the question on as long as it is redirected; tells whether the answer is the registry's own.
    async fn follow(&self, question: &Question<'_>, url: &Url) -> Result<(Response, bool), RegistryError> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let is_own = at.origin() == self.base.origin();
            let response = self.send(question, &at, is_own).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok((response, is_own));
            }
            at = self.redirected(&at, response.headers())?;
        }
        Err(self.refused("it redirects without end"))
    }

    async fn send(&self, question: &Question<'_>, url: &Url, is_own: bool) -> Result<Response, RegistryError> {
        let mut request = self.client.egress.client(self.reach, url)?.request(question.method.clone(), url.clone());
        request = request.header(ACCEPT_ENCODING, "identity");
        for kind in question.accept {
            request = request.header(ACCEPT, *kind);
        }
        if question.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", question.offset));
        }
        if let Some(value) = self.authorization.header().filter(|_| is_own) {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| self.unreachable(error))
    }

    fn redirected(&self, from: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let to = to.ok_or_else(|| self.refused("it redirects to nowhere"))?;
        if from.scheme() == "https" && to.scheme() != "https" {
            return Err(self.refused("it redirects from https to plain http"));
        }
        if !to.username().is_empty() || to.password().is_some() {
            return Err(self.refused("it redirects to a URL with credentials in it"));
        }
        Ok(to)
    }

    fn accepted(&self, response: Response, is_own: bool) -> Result<Response, RegistryError> {
        let status = response.status();
        let image = || self.reference.to_string();
        match status.as_u16() {
            200 | 206 | 416 => Ok(response),
            404 => Err(RegistryError::NotFound { image: image() }),
            401 if is_own => Err(self.unauthenticated()),
            403 if is_own => Err(RegistryError::Forbidden403 { image: image(), registry: self.reference.registry().to_owned() }),
            408 | 429 | 500..=599 => Err(self.failing(&response)),
            _ => Err(self.refused("its status is not of the protocol")),
        }
    }

    pub(super) fn failing(&self, response: &Response) -> RegistryError {
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        RegistryError::Failing { host: self.host(), status: response.status().as_u16(), retry_after: after }
    }

    pub(super) fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        let (is_timeout, error) = (error.is_timeout(), error.without_url());
        tracing::debug!(registry = self.host(), error = %super::chain(&error), "a question was not answered");
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        RegistryError::Unreachable { host: self.host(), is_timeout, source: std::io::Error::other(cause.to_string()) }
    }

    pub(super) fn unauthenticated(&self) -> RegistryError {
        RegistryError::Unauthenticated {
            image: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            had_credentials: self.credentials.is_some(),
            credential_problem: self.credential_problem.clone(),
        }
    }

    pub(super) fn host(&self) -> String {
        self.reference.registry().to_owned()
    }
}
