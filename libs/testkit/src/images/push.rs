//! Pushing by the OCI distribution protocol, over plain HTTP: test registries are on loopback.

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use super::{Image, digest};

type Http = Client<HttpConnector, Full<Bytes>>;

/// Pushes an image to `HOST:PORT` under `repository:tag`; returns the manifest's digest.
pub async fn push(registry: &str, repository: &str, tag: &str, image: &Image) -> anyhow::Result<String> {
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let base = format!("http://{registry}");
    for blob in image.layers.iter().map(|layer| &layer.bytes).chain([&image.config]) {
        upload(&http, &base, repository, blob).await.with_context(|| format!("push a blob to {registry}/{repository}"))?;
    }
    let request = axum::http::Request::put(format!("{base}/v2/{repository}/manifests/{tag}"))
        .header("content-type", &image.manifest_type)
        .body(Full::new(image.manifest.clone()))?;
    let response = http.request(request).await.context("push the manifest")?;
    if response.status() != 201 {
        bail!("the registry answers {} to the manifest", response.status());
    }
    Ok(image.digest())
}

async fn upload(http: &Http, base: &str, repository: &str, blob: &Bytes) -> anyhow::Result<()> {
    let start = axum::http::Request::post(format!("{base}/v2/{repository}/blobs/uploads/")).body(Full::default())?;
    let response = http.request(start).await?;
    if response.status() != 202 {
        bail!("the registry answers {} to the start of an upload", response.status());
    }
    let location = response.headers().get("location").context("an upload without a location")?.to_str()?;
    let location = if location.starts_with('/') { format!("{base}{location}") } else { location.to_owned() };
    let joint = if location.contains('?') { '&' } else { '?' };
    let request = axum::http::Request::put(format!("{location}{joint}digest={}", digest(blob)))
        .header("content-type", "application/octet-stream")
        .body(Full::new(blob.clone()))?;
    match http.request(request).await?.status().as_u16() {
        201 => Ok(()),
        status => bail!("the registry answers {status} to a blob"),
    }
}
