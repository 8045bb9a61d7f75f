//! Draws notices: a page for browsers, JSON or a line of text for programs. Pages load nothing, run nothing and may be
//! framed by nobody; their one style is allowed by its hash, and they ask again by `meta refresh`.

use std::sync::LazyLock;

use api::v1::Step;
use askama::Template;
use base64::Engine as _;
use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response};
use sha2::Digest as _;

use crate::body::EdgeBody;
use crate::refusal::Notice;

const STYLE: &str = include_str!("../templates/style.css");

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What a client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A browser.
    Html,
    /// A program that says so.
    Json,
    /// Anything else.
    Text,
}

impl Form {
    /// From `Accept`: HTML only where it is named, so that `*/*` of curl and `fetch` gets text.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepts =
            |kind: &str| headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(|value| value.contains(kind)));
        match (accepts("text/html"), accepts("application/json")) {
            (true, _) => Self::Html,
            (false, true) => Self::Json,
            (false, false) => Self::Text,
        }
    }
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    status: u16,
    reason: &'a str,
    title: &'a str,
    message: &'a str,
    hint: &'a str,
    commands: &'a [String],
    again: Option<u32>,
    rows: Vec<Row<'a>>,
    request_id: &'a str,
}

/// One step of a start, as drawn: thousandths of the whole time from the left.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    name: &'a str,
    detail: &'a str,
    state: &'static str,
    from: i64,
    width: i64,
    time: String,
}

/// Makes the answer.
pub fn render(notice: &Notice, form: Form, request_id: &str) -> Response<EdgeBody> {
    let (kind, text) = match form {
        Form::Html => ("text/html; charset=utf-8", html(notice, request_id)),
        Form::Json => ("application/json", json(notice, request_id)),
        Form::Text => ("text/plain; charset=utf-8", plain(notice)),
    };
    let mut response = Response::new(EdgeBody::own(Bytes::from(text)));
    *response.status_mut() = notice.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    if let Some(seconds) = notice.again {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    secure(headers);
    response
}

/// What every answer of our own has: kept by no cache, guessed at by no browser, named to nobody.
pub fn secure(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

fn html(notice: &Notice, request_id: &str) -> String {
    let rows = notice.route.as_ref().map(|route| rows(&route.timeline, now_us())).unwrap_or_default();
    let page = Page {
        style: STYLE,
        status: notice.status.as_u16(),
        reason: notice.reason,
        title: &notice.title,
        message: &notice.message,
        hint: &notice.hint,
        commands: &notice.commands,
        again: notice.again,
        rows,
        request_id,
    };
    // Writing into a String cannot fail; should a template ever, its words still arrive.
    page.render().unwrap_or_else(|_| notice.message.clone())
}

fn json(notice: &Notice, request_id: &str) -> String {
    let Notice { class, reason, message, .. } = notice;
    let error = serde_json::json!({
        "class": class.as_str(), "reason": reason, "message": message, "hint": advice(notice), "request_id": request_id,
    });
    serde_json::json!({ "error": error }).to_string()
}

fn plain(notice: &Notice) -> String {
    let mut text = format!("{}: {}\n", notice.title, notice.message);
    if !notice.hint.is_empty() {
        text.push_str(&format!("{}\n", notice.hint));
    }
    notice.commands.iter().for_each(|command| text.push_str(&format!("  {command}\n")));
    text
}

fn advice(notice: &Notice) -> String {
    let commands: Vec<String> = notice.commands.iter().map(|command| format!("`{command}`")).collect();
    format!("{} {}", notice.hint, commands.join(", then ")).trim().to_owned()
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn rows(timeline: &[Step], now: i64) -> Vec<Row<'_>> {
    let Some(begin) = timeline.iter().map(|step| step.started_unix_us).min() else { return Vec::new() };
    let end = |step: &Step| if step.ended_unix_us == 0 { now.max(step.started_unix_us) } else { step.ended_unix_us };
    let whole = timeline.iter().map(end).max().unwrap_or(begin).saturating_sub(begin).max(1);
    let row = |step| row(step, begin, whole, end(step));
    timeline.iter().map(row).collect()
}

fn row(step: &Step, begin: i64, whole: i64, end: i64) -> Row<'_> {
    let lasted = end.saturating_sub(step.started_unix_us).max(0);
    let part = |us: i64| us.saturating_mul(1000) / whole;
    let state = match (step.error.is_empty(), step.ended_unix_us) {
        (false, _) => "failed",
        (true, 0) => "running",
        (true, _) => "done",
    };
    let detail = if step.error.is_empty() { &step.detail } else { &step.error };
    let time = format!("{}.{} s", lasted / 1_000_000, lasted % 1_000_000 / 100_000);
    Row { name: &step.name, detail, state, from: part(step.started_unix_us - begin), width: part(lasted).max(4), time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    #[test]
    fn a_page_escapes_what_a_stranger_wrote() {
        let notice = Refusal::NoSuchWorkspace("<script>alert(1)</script>".into()).notice();
        let page = html(&notice, "1");
        assert!(!page.contains("<script>") && page.contains("script&"), "{page}");
    }

    #[test]
    fn a_waterfall_has_each_step_at_its_place() {
        let step =
            |name: &str, from, to| Step { name: name.into(), started_unix_us: from, ended_unix_us: to, ..Default::default() };
        let timeline = [step("image", 1_000_000, 1_500_000), step("clone", 1_500_000, 0)];
        let rows = rows(&timeline, 2_000_000);
        assert_eq!((rows[0].from, rows[0].width, rows[0].state, rows[0].time.as_str()), (0, 500, "done", "0.5 s"));
        assert_eq!((rows[1].from, rows[1].width, rows[1].state), (500, 500, "running"));
    }

    #[test]
    fn the_policy_allows_exactly_the_style_that_the_page_has() {
        let page = html(&Refusal::NoTable.notice(), "1");
        let (_, rest) = page.split_once("<style>").expect("a style");
        let (style, _) = rest.split_once("</style>").expect("its end");
        let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
        assert!(POLICY.to_str().expect("text").contains(&hash));
        assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains(" on"));
    }

    #[test]
    fn programs_get_json_or_text_and_browsers_a_page() {
        let accept = |value: &'static str| HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]);
        assert_eq!(Form::of(&accept("text/html,application/xhtml+xml,*/*;q=0.8")), Form::Html);
        assert_eq!(Form::of(&accept("application/json")), Form::Json);
        assert_eq!(Form::of(&accept("*/*")), Form::Text);
        assert_eq!(Form::of(&HeaderMap::new()), Form::Text);
    }
}
