//! The `supervisor` package, as Gitpod's tools and editors know it, for programs inside: on loopback, without a token, as
//! whoever is inside may do all of it anyway. What is not served answers UNIMPLEMENTED and says so.
//!
//! Differences from the original, on purpose: a terminal's exit code is delivered whatever it is; a slow listener loses
//! output instead of holding up the program or being thrown out; a port that is served is reachable by its owner at once,
//! so it is `exposed` from the beginning.

mod absent;
mod info;
mod port;
mod status;
mod task;
mod terminal;
mod view;

use api::supervisor::control_service_server::ControlServiceServer;
use api::supervisor::info_service_server::InfoServiceServer;
use api::supervisor::notification_service_server::NotificationServiceServer;
use api::supervisor::port_service_server::PortServiceServer;
use api::supervisor::status_service_server::StatusServiceServer;
use api::supervisor::task_service_server::TaskServiceServer;
use api::supervisor::terminal_service_server::TerminalServiceServer;
use api::supervisor::token_service_server::TokenServiceServer;
use tonic::transport::Server;
use tonic::transport::server::Router;

use crate::context::Context;

/// All services of the package.
pub fn router(context: &Context) -> Router {
    let gitpod = Gitpod { context: context.clone() };
    Server::builder()
        .add_service(ControlServiceServer::new(gitpod.clone()))
        .add_service(InfoServiceServer::new(gitpod.clone()))
        .add_service(NotificationServiceServer::new(gitpod.clone()))
        .add_service(PortServiceServer::new(gitpod.clone()))
        .add_service(StatusServiceServer::new(gitpod.clone()))
        .add_service(TaskServiceServer::new(gitpod.clone()))
        .add_service(TerminalServiceServer::new(gitpod.clone()))
        .add_service(TokenServiceServer::new(gitpod))
}

/// Implements every service.
#[derive(Clone)]
pub struct Gitpod {
    context: Context,
}
