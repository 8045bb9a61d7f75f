//! Servers inside are reachable, by whom it was decided.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use testkit::suite::{Said, Suite, said};

/// Answers on 127.0.0.1:8080 with the headers it got; /sse sends an event a second; binds ::1 on 8081.
const SERVER: &str = r#"
import http.server, socket, threading, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def do_GET(self):
        if self.path == '/sse':
            self.send_response(200); self.send_header('content-type', 'text/event-stream'); self.end_headers()
            for n in range(100):
                self.wfile.write(b'data: %d\n\n' % n); self.wfile.flush(); time.sleep(1)
            return
        body = ('\n'.join('%s: %s' % h for h in self.headers.items()) + '\n').encode()
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers(); self.wfile.write(body)
class V6(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
threading.Thread(target=http.server.ThreadingHTTPServer(('127.0.0.1', 8080), H).serve_forever).start()
V6(('::1', 8081), H).serve_forever()
"#;

const CONFIG: &str = "
tasks:
  - name: server
    command: python3 server.py
ports:
  - port: 8080
    name: web
    description: the page
";

fn started() -> anyhow::Result<Option<Suite>> {
    let Some(mut suite) = Suite::start()? else { return Ok(None) };
    let repository = integration::repository(&[(".gitpod.yml", CONFIG), ("server.py", SERVER)])?;
    suite.run(["start", &repository.path().to_string_lossy(), "--name", "app", "--image", "host"]).ok()?;
    suite.until("both ports are served", Duration::from_secs(20), |suite| {
        let ports = suite.json(["ports", "app", "-o", "json"])?;
        let served = |number: u64| ports.as_array().into_iter().flatten().any(|p| p["port"] == number && p["served"] == true);
        Ok((served(8080) && served(8081)).then_some(()))
    })?;
    Ok(Some(suite))
}

fn curl(arguments: &[&str]) -> Said {
    said(Command::new("curl").args(["--silent", "--show-error", "--max-time", "15", "--noproxy", "*"]).args(arguments))
}

fn plain_url(suite: &Suite, port: u16) -> anyhow::Result<String> {
    let ports = suite.json(["ports", "app", "-o", "json"])?;
    let found = ports
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["port"] == port)
        .map(|p| p["url"].as_str().unwrap_or_default().to_owned());
    found.ok_or_else(|| anyhow::anyhow!("port {port} is not listed: {ports}"))
}

#[test]
fn a_private_port_asks_for_the_owner_and_a_link_lets_in_once() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    let ports = suite.json(["ports", "app", "-o", "json"])?;
    let web = ports.as_array().into_iter().flatten().find(|p| p["port"] == 8080).cloned().unwrap_or_default();
    assert_eq!(
        (&web["name"], &web["visibility"], &web["bind"]),
        (&"web".into(), &"private".into(), &"127.0.0.1".into()),
        "{web:#}"
    );
    assert!(web["process"].as_str().unwrap_or_default().starts_with("python"), "{web:#}");
    let url = plain_url(&suite, 8080)?;
    assert!(url.starts_with("http://8080-app.localhost:"), "{url}");
    let stranger = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &url]);
    assert!(["401", "403"].contains(&stranger.stdout.as_str()), "{stranger:?}");

    let link = suite.json(["url", "app", "8080", "-o", "json"])?["url"].as_str().unwrap_or_default().to_owned();
    let jar = tempfile::NamedTempFile::new()?;
    let jar_path = jar.path().to_string_lossy().into_owned();
    // curl keeps Secure cookies from plain HTTP to itself, so the cookie is taken from the answer's header.
    let answer = curl(&["--include", &link]);
    let cookie = answer
        .stdout
        .lines()
        .find_map(|line| line.to_ascii_lowercase().starts_with("set-cookie:").then(|| line["set-cookie:".len()..].trim()));
    let cookie =
        cookie.and_then(|cookie| cookie.split(';').next()).ok_or_else(|| anyhow::anyhow!("no cookie: {answer:?}"))?.to_owned();
    let owner = curl(&["--header", &format!("Cookie: {cookie}; own=1"), &url]);
    assert!(owner.stdout.contains("own=1"), "{owner:?}");
    let lower = owner.stdout.to_lowercase();
    assert!(!lower.contains("crannog-session") && !lower.contains("x-crannog"), "our cookie reached the workspace: {owner:?}");
    assert!(lower.contains("x-forwarded-proto: http") && lower.contains("host: 8080-app.localhost"), "{owner:?}");
    let again = curl(&["--output", &jar_path, "--write-out", "%{http_code}", &link]);
    assert!(!again.stdout.starts_with('2') && !again.stdout.starts_with("30"), "a link is good once: {again:?}");
    suite.end()
}

#[test]
fn a_public_port_is_open_until_it_is_private_again_and_stays_so_over_a_restart() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    let status = |suite: &Suite| -> anyhow::Result<String> {
        Ok(curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &plain_url(suite, 8081)?]).stdout)
    };
    suite.run(["port", "app", "8081", "--public"]).ok()?;
    suite.until("the edge lets everybody in", Duration::from_secs(5), |suite| Ok((status(suite)? == "200").then_some(())))?;
    suite.run(["restart", "app"]).ok()?;
    suite.until("it is public again", Duration::from_secs(30), |suite| {
        Ok((status(suite).is_ok_and(|s| s == "200")).then_some(()))
    })?;
    suite.run(["port", "app", "8081", "--private"]).ok()?;
    suite.until("the edge asks who it is", Duration::from_secs(5), |suite| Ok((status(suite)? != "200").then_some(())))?;
    suite.end()
}

#[test]
fn events_of_a_server_arrive_as_they_are_sent() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    suite.run(["port", "app", "8080", "--public"]).ok()?;
    let url = plain_url(&suite, 8080)?;
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let edge = format!("127.0.0.1:{}", host.rsplit(':').next().unwrap_or_default());
    suite.until("it is open", Duration::from_secs(5), |_| {
        Ok((curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &url]).stdout == "200").then_some(()))
    })?;
    let mut stream = TcpStream::connect(edge)?;
    stream.set_read_timeout(Some(Duration::from_secs(8)))?;
    write!(stream, "GET /sse HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n")?;
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    // The server sends for a hundred seconds; whoever buffers shows nothing before that.
    while !seen.contains("data: 2") {
        let count = stream.read(&mut buffer)?;
        anyhow::ensure!(count > 0, "the stream ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    drop(stream);
    suite.end()
}

#[test]
fn a_forwarded_port_reaches_a_server_on_loopback() -> anyhow::Result<()> {
    use std::io::BufRead as _;
    let Some(suite) = started()? else { return Ok(()) };
    let mut forward = suite.crannog(["port-forward", "app", "0:8080", "0:8081"]).stdout(std::process::Stdio::piped()).spawn()?;
    let stdout = forward.stdout.take().ok_or_else(|| anyhow::anyhow!("no stdout"))?;
    let lines: Vec<String> = std::io::BufReader::new(stdout).lines().take(2).collect::<Result<_, _>>()?;
    for line in &lines {
        let address = line.split_whitespace().next().unwrap_or_default();
        let answer = curl(&[&format!("http://{address}/")]);
        assert!(answer.stdout.to_lowercase().contains("host:"), "{line}: {answer:?}");
    }
    let taken = lines[0].split_whitespace().next().and_then(|a| a.rsplit(':').next()).unwrap_or_default().to_owned();
    let refused = suite.run(["port-forward", "app", &format!("{taken}:8080")]);
    assert!(refused.code == 4 && refused.stderr.contains("taken"), "{refused:?}");
    forward.kill()?;
    forward.wait()?;
    suite.end()
}
