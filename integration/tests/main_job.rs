//! The main job: a Git repository in, an isolated workspace out, kept over stops, starts and a killed server.

use std::time::Duration;

use testkit::suite::Suite;

const CONFIG: &str = "
tasks:
  - name: build
    before: export FROM_BEFORE=seen
    init: |
      false
      echo init-ran >> /workspace/init-count
      export FROM_INIT=too
    command: echo \"command saw $FROM_BEFORE $FROM_INIT\" > /workspace/command-saw
ports:
  - port: 8080
    name: web
";

fn wait_for_init(suite: &mut Suite, name: &'static str) -> anyhow::Result<()> {
    suite.until("init is done", Duration::from_secs(60), |suite| {
        Ok(suite.json(["show", name, "-o", "json"])?["content"]["init_done"].as_bool().filter(|done| *done))
    })?;
    Ok(())
}

#[test]
fn a_repository_becomes_a_workspace_with_its_tasks_and_everything_in_it_is_kept() -> anyhow::Result<()> {
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    let repository = integration::repository(&[(".gitpod.yml", CONFIG), ("hello.txt", "hello\n")])?;
    let source = repository.path().to_string_lossy().into_owned();
    let started = suite.run(["start", &source, "--name", "app", "--image", "host"]).ok()?;
    assert!(started.contains("workspace app is running") && started.contains("crannog shell app"), "{started}");

    let shown = suite.json(["show", "app", "-o", "json"])?;
    for field in
        ["id", "name", "phase", "conditions", "source", "commit", "image", "node", "tasks", "terminals", "ports", "timeline"]
    {
        assert!(!shown[field].is_null(), "{field}: {shown:#}");
    }
    assert_eq!((&shown["phase"], &shown["image"]), (&"running".into(), &"host".into()), "{shown:#}");
    assert_eq!(shown["commit"], integration::git(repository.path(), &["rev-parse", "HEAD"])?.as_str());
    assert_eq!(suite.run(["exec", "app", "--", "cat", "hello.txt"]).ok()?, "hello\n");

    wait_for_init(&mut suite, "app")?;
    suite.until("the command saw what before and init exported", Duration::from_secs(20), |suite| {
        let said = suite.run(["exec", "app", "--", "cat", "/workspace/command-saw"]);
        Ok((said.stdout == "command saw seen too\n").then_some(()))
    })?;

    suite.run(["exec", "app", "--", "sudo", "sh", "-c", "echo kept > /etc/kept-by-root && chmod 600 /etc/kept-by-root"]).ok()?;
    suite.run(["stop", "app"]).ok()?;
    assert_eq!(suite.json(["show", "app", "-o", "json"])?["phase"], "stopped");
    suite.run(["start", "app"]).ok()?;
    assert_eq!(suite.run(["exec", "app", "--", "sudo", "cat", "/etc/kept-by-root"]).ok()?, "kept\n");
    let refused = suite.run(["exec", "app", "--", "cat", "/etc/kept-by-root"]);
    assert_ne!(refused.code, 0, "a file of root is closed to the workspace user");
    wait_for_init(&mut suite, "app")?;
    assert_eq!(
        suite.run(["exec", "app", "--", "cat", "/workspace/init-count"]).ok()?,
        "init-ran\n",
        "init runs once for a content"
    );
    suite.end()
}

#[test]
fn a_workspace_lives_through_a_killed_server() -> anyhow::Result<()> {
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    let repository = integration::repository(&[("a", "a")])?;
    suite.run(["start", &repository.path().to_string_lossy(), "--name", "app", "--image", "host"]).ok()?;
    suite.run(["exec", "app", "--", "sh", "-c", "nohup sleep 1000 >/dev/null 2>&1 & echo $! > /tmp/pid"]).ok()?;
    suite.kill_server()?;
    suite.start_server()?;
    suite.until("it is found again and runs", Duration::from_secs(10), |suite| {
        Ok((suite.json(["show", "app", "-o", "json"])?["phase"] == "running").then_some(()))
    })?;
    let alive = suite.until("commands run in it", Duration::from_secs(10), |suite| {
        let said = suite.run(["exec", "app", "--", "sh", "-c", "kill -0 $(cat /tmp/pid) && echo alive"]);
        Ok((said.code == 0).then_some(said.stdout))
    })?;
    assert_eq!(alive, "alive\n");
    suite.end()
}

#[test]
fn a_server_killed_at_any_moment_of_a_start_leaves_nothing_that_is_not_mended() -> anyhow::Result<()> {
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    let repository = integration::repository(&[("a", "a")])?;
    let source = repository.path().to_string_lossy().into_owned();
    suite.run(["start", &source, "--name", "app", "--image", "host"]).ok()?;
    suite.run(["exec", "app", "--", "sh", "-c", "echo precious > /workspace/precious"]).ok()?;
    suite.run(["stop", "app"]).ok()?;
    // A start takes some tens of milliseconds; the kills fall into all of it.
    for after in [0, 5, 10, 20, 30, 40, 60, 80, 120, 200] {
        suite.run(["start", "app", "--detach"]);
        std::thread::sleep(Duration::from_millis(after));
        suite.kill_server()?;
        suite.start_server()?;
        suite.until(
            "the start that was asked for is carried on or can be asked for again",
            Duration::from_secs(20),
            |suite| {
                let phase = suite.json(["show", "app", "-o", "json"])?["phase"].as_str().unwrap_or_default().to_owned();
                if phase == "stopped" {
                    suite.run(["start", "app", "--detach"]);
                }
                Ok((phase == "running").then_some(()))
            },
        )?;
        let read = |suite: &mut Suite| {
            let said = suite.run(["exec", "app", "--", "cat", "/workspace/precious"]);
            Ok((said.code == 0).then_some(said.stdout))
        };
        assert_eq!(suite.until("it can be read", Duration::from_secs(10), read)?, "precious\n", "killed after {after} ms");
        suite.run(["stop", "app"]).ok()?;
    }
    suite.end()
}

#[test]
fn what_is_asked_of_a_workspace_by_a_part_of_its_id_reaches_it() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let repository = integration::repository(&[("a", "a")])?;
    let started = suite.json(["start", &repository.path().to_string_lossy(), "--image", "host", "-o", "json"])?;
    let id = started["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(suite.json(["show", &id[..8], "-o", "json"])?["id"], id.as_str());
    let listed = suite.json(["list", "-o", "json"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let timeline = suite.json(["timeline", &id[..8], "-o", "json"])?;
    let names: Vec<&str> = timeline.as_array().into_iter().flatten().filter_map(|step| step["name"].as_str()).collect();
    for step in ["resolve", "image", "network", "clone"] {
        assert!(names.iter().any(|name| name.starts_with(step)), "{step} is not in {names:?}");
    }
    let events = suite.run(["events", &id[..8], "-o", "json"]).ok()?;
    assert!(events.lines().count() >= 2 && events.lines().all(|line| line.starts_with('{')), "{events}");
    suite.end()
}
