//! `crannog events`

use api::v1;

use crate::args::Events;
use crate::client::Api;
use crate::error::CommandError;
use crate::text;

pub async fn run(mut api: Api, options: Events) -> Result<(), CommandError> {
    let request = v1::EventsRequest { workspace: options.workspace.unwrap_or_default(), follow: options.follow, after: 0 };
    let mut events = api.events(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        if options.output.is_json() {
            println!("{}", json(&event));
        } else {
            println!("{}", line(&event));
        }
    }
    Ok(())
}

fn line(event: &v1::Event) -> String {
    let time = jiff::Timestamp::from_millisecond(event.time_unix_ms).unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
    let text = format!("{}  {:<20} {:<20} {}", time.strftime("%F %T"), event.workspace_name, event.kind, event.message);
    text::printable(text.trim_end())
}

fn json(event: &v1::Event) -> serde_json::Value {
    serde_json::json!({"number": event.number, "time_unix_ms": event.time_unix_ms, "workspace_id": event.workspace_id,
        "workspace": event.workspace_name, "kind": event.kind, "message": event.message, "actor": event.actor})
}
