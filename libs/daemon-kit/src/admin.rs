//! The admin port that every daemon has: `/live`, `/ready`, `/metrics`, `/config`, `/log-level`. For operators, on
//! loopback; it shows no secret.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::logs::LogControl;
use crate::metrics::Recorder;
use crate::readiness::Readiness;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin {
    /// Who holds the daemon back.
    pub readiness: Readiness,
    /// The metrics.
    pub recorder: Recorder,
    /// The configuration as it stands; secrets hide themselves (see [`crate::secret::Secret`]).
    pub config: serde_json::Value,
    /// The log filter; `None` where the process has its own way.
    pub logs: Option<LogControl>,
}

/// The routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(async |State(admin): State<Admin>| Json(admin.config)))
        .route("/log-level", get(log_level).put(set_log_level))
        .with_state(admin)
}

/// Serves the admin port until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).with_graceful_shutdown(shutdown).await
}

async fn ready(State(admin): State<Admin>) -> Response {
    let held = admin.readiness.held();
    if held.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", held.join(", "))).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.recorder.render()).into_response()
}

async fn log_level(State(admin): State<Admin>) -> Response {
    match admin.logs {
        Some(logs) => format!("{}\n", logs.current()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn set_log_level(State(admin): State<Admin>, filter: String) -> Response {
    let Some(logs) = admin.logs else { return StatusCode::NOT_FOUND.into_response() };
    match logs.set(filter.trim()) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Token;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connect");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answer");
        answer
    }

    #[tokio::test]
    async fn ready_names_who_is_not_and_config_hides_secrets() {
        let readiness = Readiness::default();
        let hold = readiness.hold("store");
        let secret = Token::new("hunter2".into());
        let config = serde_json::json!({ "listen": "here", "token": secret });
        let admin = Admin { readiness, recorder: crate::metrics::install(), config, logs: None };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        tokio::spawn(serve(listener, admin, std::future::pending()));
        let answer = ask(address, "/ready").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("waiting for: store"), "{answer}");
        drop(hold);
        assert!(ask(address, "/ready").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "/config").await;
        assert!(answer.contains("here") && !answer.contains("hunter2"), "{answer}");
        assert!(ask(address, "/live").await.contains("live"));
    }
}
