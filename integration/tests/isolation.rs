//! What a workspace cannot see, reach or use up, tried from inside as its root.

use std::net::TcpListener;
use std::time::Duration;

use testkit::suite::Suite;

fn started(names: &[&str]) -> anyhow::Result<Option<Suite>> {
    let Some(suite) = Suite::start()? else { return Ok(None) };
    let repository = integration::repository(&[("a", "a")])?;
    for name in names {
        suite.run(["start", &repository.path().to_string_lossy(), "--name", name, "--image", "host"]).ok()?;
    }
    Ok(Some(suite))
}

fn inside(suite: &Suite, name: &str, script: &str) -> testkit::suite::Said {
    suite.run(["exec", name, "--user", "root", "--", "sh", "-c", script])
}

#[test]
fn root_inside_is_nobody_outside_and_confined() -> anyhow::Result<()> {
    let Some(suite) = started(&["app"])? else { return Ok(()) };
    let map = inside(&suite, "app", "cat /proc/self/uid_map").ok()?;
    let numbers: Vec<u32> = map.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 3 && numbers[0] == 0 && numbers[1] >= 65_536 && numbers[2] == 65_536, "{map}");
    let status = inside(&suite, "app", "grep -E '^(Seccomp|CapInh|CapAmb):' /proc/self/status").ok()?;
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("CapInh:\t0000000000000000") && status.contains("CapAmb:\t0000000000000000"), "{status}");
    for denied in [
        "mount -t tmpfs none /mnt",
        "mknod /tmp/disk b 254 0 && head -c1 /tmp/disk",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/kernel/panic",
        "cat /proc/kcore | head -c1 | grep .",
        "dmesg | grep .",
        "nsenter --target 1 --net ip link add cra-x type dummy",
        "echo 1 > /sys/fs/cgroup/release_agent",
        "unshare --mount true && mount --bind /etc /mnt",
        "chroot /proc/1/root/../../.. ls /root/.ssh",
    ] {
        let said = inside(&suite, "app", denied);
        assert_ne!(said.code, 0, "{denied} worked: {said:?}");
    }
    suite.end()
}

#[test]
fn the_image_host_hides_what_is_the_machines_own() -> anyhow::Result<()> {
    let Some(suite) = started(&["app"])? else { return Ok(()) };
    let data = suite.data().to_string_lossy().into_owned();
    for hidden in [
        data.as_str(),
        "/root/.ssh",
        "/root/.gitconfig",
        "/root/.npmrc",
        "/etc/ssh/ssh_host_ed25519_key",
        "/var/lib/docker",
        "/run/docker.sock",
        "/run/dbus/system_bus_socket",
    ] {
        let said = inside(&suite, "app", &format!("ls -d '{hidden}'"));
        assert_ne!(said.code, 0, "{hidden} is seen: {said:?}");
    }
    let secret = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let shown = inside(&suite, "app", "cat /etc/shadow").stdout;
    for hash in secret.lines().filter_map(|line| line.split(':').nth(1)).filter(|hash| hash.starts_with('$')) {
        assert!(!shown.contains(hash), "a password hash of the machine is seen inside");
    }
    let mark = tempfile::Builder::new().prefix("mark-of-the-machine-").tempfile_in("/tmp")?;
    let name = mark.path().to_string_lossy().into_owned();
    assert_ne!(inside(&suite, "app", &format!("ls '{name}'")).code, 0, "the machine's /tmp is seen");
    inside(&suite, "app", "echo x > /usr/written-inside && rm -rf /usr/share/doc && touch /etc/passwd").ok()?;
    assert!(!std::path::Path::new("/usr/written-inside").exists() && std::path::Path::new("/usr/share/doc").exists());
    suite.end()
}

#[test]
fn workspaces_reach_neither_each_other_nor_the_machine() -> anyhow::Result<()> {
    let Some(suite) = started(&["one", "two"])? else { return Ok(()) };
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let address = |name: &str| inside(&suite, name, "ip -4 -o address show scope global | awk '{print $4}' | cut -d/ -f1").ok();
    let (one, gateway) = (address("one")?, inside(&suite, "one", "ip route | awk '/^default/{print $3}'").ok()?);
    inside(&suite, "one", "nohup busybox nc -ll -p 9999 -e echo hi >/dev/null 2>&1 &").ok()?;
    let tries = [
        format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{}/9999'", one.trim()),
        format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{}/{port}'", gateway.trim()),
        "timeout 3 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'".to_owned(),
    ];
    for script in &tries {
        let said = inside(&suite, "two", script);
        assert_ne!(said.code, 0, "{script} connected");
    }
    for machine in machine_addresses() {
        let said = inside(&suite, "two", &format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{machine}/{port}'"));
        assert_ne!(said.code, 0, "the machine's {machine}:{port} was reached");
    }
    listener.set_nonblocking(true)?;
    assert!(listener.accept().is_err(), "a connection arrived");
    suite.end()
}

fn machine_addresses() -> Vec<String> {
    let output = std::process::Command::new("ip").args(["-4", "-o", "address", "show", "scope", "global"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let fields = text.lines().filter_map(|line| line.split_whitespace().nth(3)?.split('/').next().map(str::to_owned));
    fields.filter(|address| !address.starts_with("10.213.") && !address.starts_with("203.0.113.")).collect()
}

#[test]
fn a_process_that_takes_all_memory_is_ended_and_named() -> anyhow::Result<()> {
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    suite.stop_server()?;
    let config = suite.data().with_extension("toml");
    std::fs::write(
        &config,
        "[orchestrator.classes.tiny]\ncpus = \"1\"\nmemory = \"200MiB\"\nmemory_percent = 0\npids = 100\nsudo = true\n",
    )?;
    suite.configure(&config);
    suite.start_server()?;
    let repository = integration::repository(&[("a", "a")])?;
    suite.run(["start", &repository.path().to_string_lossy(), "--name", "tiny", "--class", "tiny", "--image", "host"]).ok()?;
    let hog = suite.run(["exec", "tiny", "--", "python3", "-c", "a = bytearray(10**9)"]);
    assert_eq!(hog.code, 137, "{hog:?}");
    suite.until("the kill is counted and named", Duration::from_secs(10), |suite| {
        let shown = suite.json(["show", "tiny", "-o", "json"])?;
        Ok((shown["usage"]["oom_kills"].as_u64() > Some(0)).then_some(()))
    })?;
    let forks = suite.run(["exec", "tiny", "--", "sh", "-c", "for i in $(seq 200); do sleep 5 & done"]);
    assert!(forks.stderr.to_lowercase().contains("fork"), "processes are bounded: {forks:?}");
    assert_eq!(suite.run(["exec", "tiny", "--", "true"]).code, 0, "the workspace goes on");
    suite.end()
}
