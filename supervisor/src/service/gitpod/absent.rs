//! Services that this suite does not have (yet): tokens come from the node by other ways, and there is no editor to notify.

use api::supervisor::notification_service_server::NotificationService;
use api::supervisor::token_service_server::TokenService;
use api::supervisor::*;
use tonic::{Request, Response, Status, Streaming};

use super::Gitpod;
use crate::service::Answers;

/// The answer of whatever is not served.
pub(super) fn absent<T>(what: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!("{what} is not served by this supervisor")))
}

#[tonic::async_trait]
impl TokenService for Gitpod {
    type ProvideTokenStream = Answers<ProvideTokenResponse>;

    async fn get_token(&self, _: Request<GetTokenRequest>) -> Result<Response<GetTokenResponse>, Status> {
        absent("GetToken")
    }

    async fn set_token(&self, _: Request<SetTokenRequest>) -> Result<Response<SetTokenResponse>, Status> {
        absent("SetToken")
    }

    async fn clear_token(&self, _: Request<ClearTokenRequest>) -> Result<Response<ClearTokenResponse>, Status> {
        absent("ClearToken")
    }

    async fn provide_token(
        &self,
        _: Request<Streaming<ProvideTokenRequest>>,
    ) -> Result<Response<Self::ProvideTokenStream>, Status> {
        absent("ProvideToken")
    }
}

#[tonic::async_trait]
impl NotificationService for Gitpod {
    type SubscribeStream = Answers<SubscribeResponse>;
    type SubscribeActiveStream = Answers<SubscribeActiveResponse>;

    async fn notify(&self, _: Request<NotifyRequest>) -> Result<Response<NotifyResponse>, Status> {
        absent("Notify")
    }

    async fn subscribe(&self, _: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        absent("Subscribe")
    }

    async fn respond(&self, _: Request<RespondRequest>) -> Result<Response<RespondResponse>, Status> {
        absent("Respond")
    }

    async fn subscribe_active(
        &self,
        _: Request<SubscribeActiveRequest>,
    ) -> Result<Response<Self::SubscribeActiveStream>, Status> {
        absent("SubscribeActive")
    }

    async fn notify_active(&self, _: Request<NotifyActiveRequest>) -> Result<Response<NotifyActiveResponse>, Status> {
        absent("NotifyActive")
    }

    async fn notify_active_respond(
        &self,
        _: Request<NotifyActiveRespondRequest>,
    ) -> Result<Response<NotifyActiveRespondResponse>, Status> {
        absent("NotifyActiveRespond")
    }
}
