//! Real repositories run as their files say.

use std::time::Duration;

use testkit::suite::Suite;

fn init_done(suite: &mut Suite, name: &'static str, limit: Duration) -> anyhow::Result<serde_json::Value> {
    suite.until("init is done", limit, |suite| {
        let shown = suite.json(["show", name, "-o", "json"])?;
        Ok((shown["content"]["init_done"] == true).then_some(shown))
    })
}

#[test]
fn template_golang_cli_builds_and_prints_its_help_although_the_first_line_of_its_init_fails() -> anyhow::Result<()> {
    let Some(bundle) = integration::corpus_bundle("template-golang-cli") else { return Ok(()) };
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    suite.run(["start", &bundle.to_string_lossy(), "--name", "golang"]).ok()?;
    init_done(&mut suite, "golang", Duration::from_secs(300))?;
    let help = suite.run(["exec", "golang", "--", "./mycli", "--help"]).ok()?;
    assert!(help.contains("Cobra is a CLI library"), "{help}");
    let logs = suite.run(["logs", "golang"]).ok()?;
    assert!(!logs.is_empty());
    suite.end()
}

#[test]
fn template_typescript_node_builds_and_its_failing_task_harms_nothing() -> anyhow::Result<()> {
    let Some(bundle) = integration::corpus_bundle("template-typescript-node") else { return Ok(()) };
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    let named = suite.run(["start", &bundle.to_string_lossy(), "--name", "named"]);
    assert!(
        named.code != 0 && named.stderr.contains("--image host"),
        "its image cannot be had, and the way out is said: {named:?}"
    );
    suite.run(["start", &bundle.to_string_lossy(), "--name", "node", "--image", "host"]).ok()?;
    init_done(&mut suite, "node", Duration::from_secs(600))?;
    suite.run(["exec", "node", "--", "test", "-d", "node_modules/typescript"]).ok()?;
    let failed = suite.until("the task without its program has failed, visibly", Duration::from_secs(30), |suite| {
        let shown = suite.json(["show", "node", "-o", "json"])?;
        let has_failed =
            |task: &serde_json::Value| task["stages"].as_array().into_iter().flatten().any(|stage| stage["exit_code"] == 127);
        Ok(shown["tasks"].as_array().into_iter().flatten().any(has_failed).then_some(shown))
    })?;
    assert_eq!(failed["phase"], "running");
    suite.end()
}

#[test]
fn ripgrep_is_cloned_with_its_whole_history() -> anyhow::Result<()> {
    let Some(bundle) = integration::corpus_bundle("ripgrep") else { return Ok(()) };
    let Some(suite) = Suite::start()? else { return Ok(()) };
    suite.run(["start", &bundle.to_string_lossy(), "--name", "rg", "--image", "host"]).ok()?;
    let count = suite.run(["exec", "rg", "--", "git", "rev-list", "--count", "HEAD"]).ok()?;
    assert!(count.trim().parse::<u32>()? > 2000, "{count}");
    assert_eq!(suite.run(["exec", "rg", "--", "git", "status", "--porcelain"]).ok()?, "");
    suite.end()
}
