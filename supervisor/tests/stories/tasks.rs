//! Tasks run as the lines of a shell would, in terminals of their own, and leave the user's shell behind.

use api::v1::task_status::State;
use api::v1::*;
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::instance::Instance;
use crate::repository::as_user;

fn task(id: &str, init: &str, command: &str) -> TaskSpec {
    TaskSpec { id: id.into(), init: init.into(), command: command.into(), ..Default::default() }
}

async fn instance(tasks: Vec<TaskSpec>, change: impl FnOnce(&mut SupervisorConfig)) -> anyhow::Result<Instance> {
    Instance::with(|config| {
        config.spec.get_or_insert_default().tasks = tasks;
        config.run_init = true;
        as_user(config);
        change(config);
    })
    .await
}

/// What the terminal of a task has said, when it holds `text`.
async fn says(instance: &mut Instance, task: &str, text: &str) -> anyhow::Result<String> {
    let request = LogsRequest { task: task.into(), follow: true, ..Default::default() };
    let mut logs = instance.client.logs(request).await?.into_inner();
    let mut said = String::new();
    let reading = async {
        while let Some(piece) = logs.message().await? {
            said.push_str(&String::from_utf8_lossy(&piece.data));
            if said.contains(text) {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("it ended")
    };
    let read = tokio::time::timeout(crate::instance::PATIENCE, reading).await;
    read.unwrap_or_else(|_| Err(anyhow::anyhow!("too long")))
        .map_err(|e| e.context(format!("waiting for {text:?} in {said:?}")))?;
    Ok(said)
}

fn in_shell(state: &SupervisorState, id: &str) -> bool {
    state.tasks.iter().any(|task| task.id == id && task.stage == "shell")
}

fn results(state: &SupervisorState, id: &str) -> Vec<(String, i32)> {
    let task = state.tasks.iter().find(|task| task.id == id).expect("the task");
    task.stages.iter().map(|s| (s.stage.clone(), s.exit_code)).collect()
}

/// Types into the terminal of a task. What is typed arrives while the answer is kept.
async fn type_into(
    instance: &mut Instance,
    id: &str,
    text: &str,
) -> anyhow::Result<(mpsc::Sender<AttachRequest>, Streaming<AttachResponse>)> {
    let state = instance.until("it has a terminal", |s| s.tasks.iter().any(|t| t.id == id && !t.terminal.is_empty())).await?;
    let terminal = state.tasks.iter().find(|t| t.id == id).expect("the task").terminal.clone();
    let (_, asks, answers) = instance.attach(AttachStart { terminal, ..Default::default() }).await?;
    asks.send(AttachRequest { message: Some(attach_request::Message::Input(text.as_bytes().to_vec().into())) }).await?;
    Ok((asks, answers))
}

#[tokio::test]
async fn command_sees_what_init_exported_and_sourced_and_a_failing_line_goes_on() -> anyhow::Result<()> {
    let init = "export WORD=exported\nfalse\nno-such-program-at-all\ngreet() { echo \"hi from $1\"; }\nmkdir -p sub; cd sub\necho 'a \"quoted\" !! line'\nfalse";
    let command = "greet init\necho \"$WORD in ${PWD##*/}\"";
    let mut instance = instance(vec![TaskSpec { before: "echo before".into(), ..task("0", init, command) }], |_| {}).await?;
    let said = says(&mut instance, "0", "exported in sub").await?;
    assert!(said.contains("before\r\n") && said.contains("hi from init") && said.contains("a \"quoted\" !! line"), "{said}");
    assert!(!said.contains("export WORD"), "nothing is echoed: {said}");
    let state = instance.until("the shell is there", |state| in_shell(state, "0")).await?;
    let expected = [("before", 0), ("init", 1), ("command", 0)].map(|(stage, code)| (stage.to_owned(), code));
    assert_eq!(results(&state, "0"), expected);
    assert!(state.content.unwrap_or_default().init_done);
    let steps: Vec<_> = state.timeline.iter().filter(|s| s.name.starts_with("task/0/")).map(|s| s.error.as_str()).collect();
    assert_eq!(steps, ["", "exit status 1", ""]);
    let _typing = type_into(&mut instance, "0", "greet shell; echo $WORD in ${PWD##*/} again\n").await?;
    let said = says(&mut instance, "0", "exported in sub again").await?;
    assert!(said.contains("hi from shell"), "{said}");
    Ok(())
}

#[tokio::test]
async fn init_runs_once_for_each_content() -> anyhow::Result<()> {
    let mut instance = instance(vec![task("0", "echo I-RAN", "echo command")], |config| config.run_init = false).await?;
    let state = instance.until("the shell is there", |state| in_shell(state, "0")).await?;
    assert_eq!(results(&state, "0"), [("command".to_owned(), 0)]);
    assert!(state.content.unwrap_or_default().init_done);
    assert!(!says(&mut instance, "0", "command").await?.contains("I-RAN"));
    Ok(())
}

#[tokio::test]
async fn init_is_done_only_when_every_task_has_done_its_own() -> anyhow::Result<()> {
    let tasks = vec![task("0", "true", ""), task("1", "read -r line; echo got $line", "echo after")];
    let mut instance = instance(tasks, |_| {}).await?;
    let state = instance.until("the first is done", |state| in_shell(state, "0")).await?;
    assert!(!state.content.unwrap_or_default().init_done, "the second waits");
    let _typing = type_into(&mut instance, "1", "words\n").await?;
    let state = instance.until("all is done", |state| state.content.as_ref().is_some_and(|c| c.init_done)).await?;
    assert_eq!(results(&state, "1")[0], ("init".to_owned(), 0));
    assert!(says(&mut instance, "1", "after").await?.contains("got words"));
    Ok(())
}

#[tokio::test]
async fn an_exit_an_interrupt_and_a_strict_script_leave_a_shell_all_the_same() -> anyhow::Result<()> {
    let tasks = vec![
        task("0", "exit 7", "echo never"),
        task("1", "set -e\nfalse\necho never", ""),
        task("2", "", "sh -c 'echo up; exec sleep 1000'; echo never"),
    ];
    let mut instance = instance(tasks, |_| {}).await?;
    says(&mut instance, "2", "up").await?;
    let _typing = type_into(&mut instance, "2", "\u{3}").await?;
    for (id, stage, code) in [("0", "init", 7), ("1", "init", 1), ("2", "command", 130)] {
        let state = instance.until("its shell is there", |state| in_shell(state, id)).await?;
        assert_eq!(results(&state, id), [(stage.to_owned(), code)], "task {id}");
        let _typing = type_into(&mut instance, id, "echo still $((40 + 2))\n").await?;
        assert!(!says(&mut instance, id, "still 42").await?.contains("never\r\n"));
    }
    Ok(())
}

#[tokio::test]
async fn a_task_that_fails_hangs_or_floods_harms_nobody() -> anyhow::Result<()> {
    let tasks = vec![
        task("0", "", "yes flood"),
        task("1", "", "sleep 100000"),
        task("2", "", "kill -KILL $$"),
        task("3", "if then fi ((", "echo 'syntax is no matter'"),
        task("4", "echo one", "echo two; exec sh -c 'exit 9'"),
    ];
    let mut instance = instance(tasks, |_| {}).await?;
    let closed = |state: &SupervisorState, id: &str| state.tasks.iter().any(|t| t.id == id && t.state() == State::Closed);
    let state = instance.until("those that end have ended", |s| closed(s, "2") && closed(s, "4") && in_shell(s, "3")).await?;
    assert_eq!(results(&state, "2"), [("command".to_owned(), 137)]);
    assert_eq!(results(&state, "4"), [("init".to_owned(), 0), ("command".to_owned(), 9)]);
    says(&mut instance, "3", "syntax is no matter").await?;
    assert_eq!(instance.shell("echo fine").await?.stdout, b"fine\n");
    Ok(())
}

#[tokio::test]
async fn an_rc_file_that_ends_or_replaces_the_shell_does_not_end_the_task() -> anyhow::Result<()> {
    let rc = "alias shout='echo SHOUT'\nfromrc() { echo from rc; }\nexec cat\nexit 3\n";
    let mut instance = instance(vec![task("0", "fromrc", "echo done")], |config| {
        std::fs::write(format!("{}/.bashrc", config.home), rc).expect("write");
    })
    .await?;
    let state = instance.until("the shell is there", |state| in_shell(state, "0")).await?;
    assert_eq!(results(&state, "0"), [("init".to_owned(), 0), ("command".to_owned(), 0)]);
    assert!(says(&mut instance, "0", "done").await?.contains("from rc"));
    Ok(())
}

#[tokio::test]
async fn an_image_without_bash_runs_tasks_with_sh() -> anyhow::Result<()> {
    let path = tempfile::tempdir()?;
    std::os::unix::fs::symlink("/bin/sh", path.path().join("sh"))?;
    let mut instance = instance(vec![task("0", "export A=1; false", "echo A is $A")], |config| {
        config.shell = "/bin/sh".into();
        config.env.push(EnvVar { name: "PATH".into(), value: path.path().display().to_string() });
    })
    .await?;
    says(&mut instance, "0", "A is 1").await?;
    let state = instance.until("the shell is there", |state| in_shell(state, "0")).await?;
    assert_eq!(results(&state, "0"), [("init".to_owned(), 1), ("command".to_owned(), 0)]);
    let _typing = type_into(&mut instance, "0", "echo B$A\n").await?;
    says(&mut instance, "0", "B1").await?;
    Ok(())
}

#[tokio::test]
async fn a_task_has_its_variables_its_name_and_its_history() -> anyhow::Result<()> {
    let env = vec![EnvVar { name: "GREETING".into(), value: "a b 'c' \"d\"".into() }];
    let named = TaskSpec { name: "Server".into(), env, ..task("0", "", "echo \"$GREETING ${HISTFILE##*/}\"") };
    let mut instance = instance(vec![named, task("1", "", "")], |_| {}).await?;
    says(&mut instance, "0", "a b 'c' \"d\" .bash_history_task_0").await?;
    let state = instance.until("both run", |s| s.tasks.iter().all(|t| t.stage == "shell")).await?;
    assert_eq!(state.tasks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["Server", "Task 2"]);
    Ok(())
}

#[tokio::test]
async fn a_prebuild_runs_its_own_stages_and_ends() -> anyhow::Result<()> {
    let stages = TaskSpec { before: "echo b".into(), prebuild: "echo p; false".into(), ..task("0", "echo i", "echo c") };
    let mut instance = instance(vec![stages], |config| config.spec.get_or_insert_default().set_kind(Kind::Prebuild)).await?;
    let closed = |s: &SupervisorState| s.tasks.iter().all(|t| t.state() == State::Closed) && !s.tasks.is_empty();
    let state = instance.until("it has ended", closed).await?;
    let expected = [("before", 0), ("init", 0), ("prebuild", 1)].map(|(stage, code)| (stage.to_owned(), code));
    assert_eq!(results(&state, "0"), expected);
    Ok(())
}
