//! `EdgeService`: what an edge may let through, and to whom.

use std::sync::Arc;

use api::v1::edge_service_server::EdgeService;
use api::v1::{
    CheckSessionRequest, RedeemCodeRequest, ReportActivityRequest, ReportActivityResponse, RouteUpdate, Session,
    WatchRoutesRequest,
};
use tonic::{Request, Response, Status};

use super::feeds;
use super::workspaces::Feed;
use crate::routes::Routes;
use crate::sessions::Sessions;
use crate::workspaces::SharedWorkspaces;

/// The handlers' parts.
#[derive(Clone)]
pub struct Edges {
    /// The states that routes are made of.
    pub workspaces: SharedWorkspaces,
    /// Their generations.
    pub routes: Arc<Routes>,
    /// Who is let in.
    pub sessions: Sessions,
}

#[tonic::async_trait]
impl EdgeService for Edges {
    type WatchRoutesStream = Feed<RouteUpdate>;
    async fn watch_routes(&self, request: Request<WatchRoutesRequest>) -> Result<Response<Feed<RouteUpdate>>, Status> {
        tracing::info!(edge = request.get_ref().edge_id, "an edge follows the routes");
        let routes = feeds::routes(self.workspaces.hub().watch(None), self.routes.clone());
        Ok(Response::new(feeds::until_the_end(routes, self.workspaces.ending())))
    }

    async fn redeem_code(&self, request: Request<RedeemCodeRequest>) -> Result<Response<Session>, Status> {
        let request = request.into_inner();
        Ok(Response::new(self.sessions.redeem(&request.code, &request.workspace_id).await?))
    }

    async fn check_session(&self, request: Request<CheckSessionRequest>) -> Result<Response<Session>, Status> {
        let request = request.into_inner();
        Ok(Response::new(self.sessions.check(&request.token_hash, &request.workspace_id).await?))
    }

    async fn report_activity(&self, request: Request<ReportActivityRequest>) -> Result<Response<ReportActivityResponse>, Status> {
        for id in &request.get_ref().workspace_ids {
            if self.workspaces.hub().get(id).is_some() {
                self.workspaces.activity().touch(id);
            }
        }
        Ok(Response::new(ReportActivityResponse {}))
    }
}
