//! `crannog url`

use api::v1;

use crate::args::Url;
use crate::client::Api;
use crate::error::CommandError;

pub async fn run(mut api: Api, options: Url) -> Result<(), CommandError> {
    let request = v1::CreatePortLinkRequest { workspace: options.target.workspace, port: options.port.into() };
    let link = api.create_port_link(request).await?.into_inner();
    if options.output.is_json() {
        println!(
            "{:#}",
            serde_json::json!({"url": link.url, "plain_url": link.plain_url, "public": link.public, "expires_unix_ms": link.expires_unix_ms})
        );
        return Ok(());
    }
    println!("{}", link.url);
    if !link.public {
        eprintln!("the link is good once, for five minutes; afterwards your browser may use {}", link.plain_url);
    }
    Ok(())
}
