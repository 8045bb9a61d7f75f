//! The edge against nginx: both pass the same 1 KB answer of the same server on, in turns on this machine. Printed are
//! requests a second and CPU a request (of the proxy alone), and the median of the ratios of the pairs.
//!
//! Like with like: HTTP/1.1, kept-alive connections on both sides, two workers each, no access log. The edge checks a
//! session's route, cleans headers and judges framing besides, which nginx does not.

#[path = "../tests/stories/node.rs"]
#[expect(dead_code, reason = "the stories use more of it")]
mod node;
#[path = "../tests/stories/orchestrator.rs"]
#[expect(dead_code, reason = "the stories use more of it")]
mod orchestrator;
#[path = "../tests/stories/servers.rs"]
#[expect(dead_code, reason = "the stories use more of it")]
mod servers;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use api::v1::{Phase, PortStatus, Route, Visibility};

const PAIRS: usize = 7;
/// Idle WebSockets that are opened to see what one costs.
const TUNNELS: u64 = 2000;
const HOST: &str = "Host: 8080-app.localhost";

#[tokio::main]
async fn main() {
    for tool in ["/usr/bin/wrk", "/usr/sbin/nginx"] {
        if !Path::new(tool).exists() {
            println!("skipped: {tool} is not here; `apt-get install wrk nginx-light` makes this bench run");
            return;
        }
    }
    let directory = tempfile::tempdir().expect("directory");
    let (server, nginx, edge) = (free(), free(), free());
    let mut children = [
        start_nginx(directory.path(), "server", &serving(server)),
        start_nginx(directory.path(), "proxy", &proxying(nginx, server)),
        start_edge(directory.path(), edge, server).await,
    ];
    [server, nginx, edge].into_iter().for_each(wait_for);
    let (mut ratios, mut cpu) = (Vec::new(), Vec::new());
    println!("{:>12} {:>12} {:>14} {:>14}", "ours req/s", "nginx req/s", "ours us/req", "nginx us/req");
    for _ in 0..PAIRS {
        let ((ours, our_cpu), (theirs, their_cpu)) = (measure(edge, &children[2]), measure(nginx, &children[1]));
        println!("{ours:>12.0} {theirs:>12.0} {our_cpu:>14.1} {their_cpu:>14.1}");
        ratios.push(ours / theirs);
        cpu.push(our_cpu / their_cpu);
    }
    println!("requests a second, ours/nginx: {:.2}x (>1: ours is faster)", median(ratios));
    println!("CPU a request, ours/nginx: {:.2}x (<1: ours is leaner); memory {} kB", median(cpu), rss(children[2].id()));
    println!("memory of an idle WebSocket: {} bytes, of {TUNNELS}", idle_tunnels(edge, children[2].id()).await);
    children.iter_mut().for_each(|child| drop(child.kill()));
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn wait_for(address: SocketAddr) {
    while TcpStream::connect(address).is_err() {
        std::thread::yield_now();
    }
}

fn serving(address: SocketAddr) -> String {
    format!("server {{ listen {address}; keepalive_requests 100000000; location / {{ return 200 '{}'; }} }}", "x".repeat(1024))
}

fn proxying(address: SocketAddr, server: SocketAddr) -> String {
    format!(
        "upstream s {{ server {server}; keepalive 64; keepalive_requests 100000000; }} server {{ listen {address}; keepalive_requests 100000000; \
         location / {{ proxy_pass http://s; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host; \
         proxy_set_header X-Forwarded-For $remote_addr; }} }}"
    )
}

fn start_nginx(directory: &Path, name: &str, server: &str) -> Child {
    let file = directory.join(format!("{name}.conf"));
    let text = format!(
        "daemon off; worker_processes 2; pid {0}/{name}.pid; error_log /dev/null; events {{ worker_connections 4096; }} \
         http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; {server} }}",
        directory.display()
    );
    std::fs::write(&file, text).expect("configuration");
    Command::new("/usr/sbin/nginx").arg("-c").arg(file).stderr(Stdio::null()).spawn().expect("nginx")
}

async fn start_edge(directory: &Path, listen: SocketAddr, server: SocketAddr) -> Child {
    let (orchestrator, node) = (orchestrator::Orchestrator::default(), node::Node::default());
    let socket = directory.join("dial.sock");
    node.serve(&socket);
    node.lead("i1", 8080, server);
    node.lead("i1", 8081, servers::server(servers::echo_after_upgrade).await);
    let public = |port| PortStatus { port, visibility: Visibility::Public.into(), ..Default::default() };
    orchestrator.put(Route {
        workspace_id: "w1".into(),
        name: "app".into(),
        instance_id: "i1".into(),
        phase: Phase::Running.into(),
        generation: 1,
        ports: vec![public(8080), public(8081)],
        dial_socket: socket.display().to_string(),
        ..Default::default()
    });
    let token = directory.join("edge.token");
    std::fs::write(&token, orchestrator::EDGE_TOKEN).expect("token");
    let settings = [
        ("CRANNOG_EDGE_LISTEN", listen.to_string()),
        ("CRANNOG_EDGE_ORCHESTRATOR", format!("http://{}", orchestrator.serve().await)),
        ("CRANNOG_EDGE_TOKEN_FILE", token.display().to_string()),
        ("CRANNOG_EDGE_ADMIN", String::new()),
    ];
    Command::new(env!("CARGO_BIN_EXE_ide-proxy")).args(["--log", "warn"]).envs(settings).spawn().expect("ide-proxy")
}

/// Requests a second, and microseconds of CPU a request.
fn measure(address: SocketAddr, proxy: &Child) -> (f64, f64) {
    let before = cpu_ticks(proxy.id());
    let url = format!("http://{address}/");
    let output = Command::new("/usr/bin/wrk").args(["-t1", "-c32", "-d3s", "-H", HOST, &url]).output().expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx"), "{text}");
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let rate = text.lines().find(|line| line.starts_with("Requests/sec")).and_then(number).expect("a rate");
    let requests = text.lines().find(|line| line.contains("requests in")).and_then(number).expect("a count");
    // USER_HZ is 100 on every Linux that Rust runs on.
    (rate, (cpu_ticks(proxy.id()) - before) as f64 * 10_000.0 / requests)
}

/// User and system time of a process and its children that run, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let own = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    own + children.split_whitespace().map(|child| cpu_ticks(child.parse().expect("a pid"))).sum::<u64>()
}

/// Bytes of the edge for each tunnel that is open and says nothing.
async fn idle_tunnels(edge: SocketAddr, pid: u32) -> u64 {
    let (before, mut open) = (rss(pid), Vec::new());
    for _ in 0..TUNNELS {
        let mut socket = tokio::net::TcpStream::connect(edge).await.expect("connect");
        let request = "GET / HTTP/1.1\r\nHost: 8081-app.localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("ask");
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert_ne!(socket.read_buf(&mut answer).await.expect("answer"), 0, "the tunnel opens");
        }
        open.push(socket);
    }
    (rss(pid).saturating_sub(before)) * 1024 / TUNNELS
}

fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
