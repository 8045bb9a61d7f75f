//! A real browser: does it take the cookie, keep it to one host, and let a page talk to its own server?

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use crate::servers::{head, server};
use crate::world::{WORKSPACE, World};

/// A page that opens a WebSocket to its own host and writes into itself what became of it.
const PAGE: &str = "<!doctype html><title>x</title><body><p id=p>waiting</p><script>
const s = new WebSocket('ws://' + location.host + '/ws');
s.onopen = () => document.getElementById('p').textContent = 'websocket open';
s.onerror = () => document.getElementById('p').textContent = 'websocket refused';
</script><p>cookies seen by scripts: [SEEN]</p><script>document.body.innerHTML = document.body.innerHTML.replace('[SEEN]', '[' + document.cookie + ']')</script>";

fn browser() -> Option<&'static str> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("skipped: no Chromium here; `apt-get install chromium` makes this test run");
    }
    found
}

/// The page as the browser has it after a while.
async fn look(browser: &str, profile: &Path, url: &str) -> String {
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ];
    let profile = format!("--user-data-dir={}", profile.display());
    let mut command = tokio::process::Command::new(browser);
    let looking = command.args(arguments).arg(profile).arg(url).stderr(Stdio::null()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(std::time::Duration::from_secs(60), looking).await.expect("the browser ends").expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn page_and_websocket(mut socket: tokio::net::TcpStream) {
    while let Some((request, _)) = head(&mut socket).await {
        assert!(!request.to_lowercase().contains("crannog-session"), "our cookie came along: {request}");
        let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let answer = match key {
            Some(key) => format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n\r\n",
                accept(key)
            ),
            None => format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{PAGE}", PAGE.len()),
        };
        socket.write_all(answer.as_bytes()).await.expect("answer");
    }
}

/// RFC 6455 §4.2.2, with the SHA-1 of a tool that every Debian has.
fn accept(key: &str) -> String {
    let script = format!("printf %s '{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11' | sha1sum | cut -c1-40");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sha1sum");
    let hex = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let bytes: Vec<u8> = (0..20).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect();
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_by_a_link_stays_in_and_its_page_reaches_its_own_websocket() {
    let Some(browser) = browser() else { return };
    let (world, profile) = (World::new().await, tempfile::tempdir().expect("directory"));
    world.node.lead("i1", 3000, server(page_and_websocket).await);
    world.orchestrator.code("code-for-a-browser", WORKSPACE, "token-of-a-browser");
    let url = |path: &str| format!("http://3000-app.localhost:{}{path}", world.address.port());
    let before = look(browser, profile.path(), &url("/")).await;
    assert!(before.contains("crannog url app 3000"), "{before}");
    let after = look(browser, profile.path(), &url("/_crannog/login?code=code-for-a-browser")).await;
    assert!(after.contains("websocket open") && after.contains("cookies seen by scripts: []"), "{after}");
    let later = look(browser, profile.path(), &url("/")).await;
    assert!(later.contains("websocket open"), "the browser kept the cookie: {later}");
    let other = look(browser, profile.path(), &format!("http://3001-app.localhost:{}/", world.address.port())).await;
    assert!(other.contains("crannog url app 3001"), "the cookie is of one host only: {other}");
}
