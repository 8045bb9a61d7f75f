//! Sends a bundle to the server, with a progress bar where somebody watches.

use std::path::Path;

use api::v1::UploadSourceRequest;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::AsyncReadExt as _;

use crate::client::Api;
use crate::error::CommandError;

const PIECE: usize = 256 * 1024;

/// Sends the file; answers the digest that the server keeps it under.
pub async fn send(api: &mut Api, path: &Path) -> Result<String, CommandError> {
    let doing = format!("read {}", path.display());
    let mut file = tokio::fs::File::open(path).await.map_err(CommandError::io(&doing))?;
    let size = file.metadata().await.map_err(CommandError::io(&doing))?.len();
    let bar = bar(size);
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let shown = bar.clone();
    let reading = tokio::spawn(async move {
        loop {
            let mut data = Vec::with_capacity(PIECE);
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut data).await?;
            if read == 0 || sender.send(UploadSourceRequest { data: data.into() }).await.is_err() {
                return std::io::Result::Ok(());
            }
            shown.inc(read as u64);
        }
    });
    let answer = api.upload_source(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    bar.finish_and_clear();
    // The server's word first: when it refused, reading was cut short and has nothing to say.
    let digest = answer?.into_inner().digest;
    reading.await.map_err(std::io::Error::other).and_then(|read| read).map_err(CommandError::io(&doing))?;
    Ok(digest)
}

fn bar(size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("sending {bar:24} {binary_bytes} of {binary_total_bytes}");
    let bar = ProgressBar::new(size);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
