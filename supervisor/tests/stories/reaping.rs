//! Orphans, by the thousand.

use crate::instance::Instance;

#[tokio::test]
async fn ten_thousand_orphans_leave_no_zombie_and_disturb_no_exit_code() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    // Each inner process is left by its parent at once, so that PID 1 inherits it.
    let storm = "i=0; while [ $i -lt 10000 ]; do (: &); i=$((i+1)); done";
    let mut client = instance.client.clone();
    let begun = std::time::Instant::now();
    let argv = ["sh", "-c", storm];
    let storming = instance.exec(&argv, b"");
    let managed = async {
        for code in 0..100 {
            let told = quick(&mut client, code).await?;
            anyhow::ensure!(told == code, "exit code {told} instead of {code}");
        }
        anyhow::Ok(())
    };
    let (storm, managed) = tokio::join!(storming, managed);
    assert_eq!(storm?.exit.code, 0);
    managed?;
    println!("10,000 orphans: {:.1} s", begun.elapsed().as_secs_f64());
    let zombies = instance.shell("for s in /proc/[0-9]*/stat; do read -r line < $s && case $line in *') Z '*) echo $line;; esac; done 2>/dev/null; true").await?;
    assert_eq!(String::from_utf8(zombies.stdout)?, "");
    Ok(())
}

type Client = api::v1::instance_service_client::InstanceServiceClient<tonic::transport::Channel>;

async fn quick(client: &mut Client, code: i32) -> anyhow::Result<i32> {
    use api::v1::exec_request::Message as Ask;
    let command = vec!["sh".to_owned(), "-c".to_owned(), format!("exit {code}")];
    let start = api::v1::ExecStart { command, ..Default::default() };
    let asks = tokio_stream::iter([crate::instance::ask(Ask::Start(start))]);
    let answers = client.exec(asks).await?.into_inner();
    Ok(crate::instance::collect(answers).await?.exit.code)
}
