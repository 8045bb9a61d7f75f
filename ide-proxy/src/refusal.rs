//! What a visitor is told when a request does not go on to a workspace: one list, one translation. Status, words and
//! what to do next are decided here; `pages` only draws them.

use std::sync::Arc;

use domain::class::Class;
use http::StatusCode;

use crate::error::DialFailure;
use crate::host::BadHost;
use crate::routes::Route;

/// Why a request was answered by the edge itself.
#[derive(Debug)]
pub enum Refusal {
    /// Not a request that can be passed on.
    Malformed(&'static str),
    /// The Host leads nowhere.
    Host(BadHost),
    /// CONNECT and TRACE.
    Method,
    /// An `Expect` other than 100-continue.
    Expectation,
    /// Below `/_crannog/`, but not a page of ours.
    NoSuchPage,
    /// No workspace has that name.
    NoSuchWorkspace(String),
    /// The orchestrator has not sent a table since this edge began.
    NoTable,
    /// A private port, and no good session.
    LoginNeeded {
        /// Of the workspace.
        name: String,
        /// Inside.
        port: u16,
        /// Whether it has to be started first.
        stopped: bool,
    },
    /// A one-time link that is no longer good.
    LinkSpent {
        /// Of the workspace.
        name: String,
        /// Inside.
        port: u16,
    },
    /// More than one session in one request.
    AmbiguousSession,
    /// Another site wants to use the visitor's session.
    CrossSite,
    /// The orchestrator does not answer, and the session is not known.
    CannotCheck,
    /// It does not run and does not start.
    Stopped(Arc<Route>),
    /// It starts.
    Starting(Arc<Route>),
    /// Nothing listens on that port.
    NotServed {
        /// Of the workspace.
        name: String,
        /// Inside.
        port: u16,
    },
    /// The instance went away under the request.
    InstanceGone(String),
    /// The node could not connect, or took too long.
    NoSocket {
        /// Whether it was for time.
        timed_out: bool,
        /// For people.
        message: String,
    },
    /// The server inside answered what is no HTTP answer, or hung up.
    BadAnswer(u16),
    /// The server inside did not answer in time.
    NoAnswer(u16),
}

/// What is shown.
#[derive(Debug)]
pub struct Notice {
    /// Of the answer.
    pub status: StatusCode,
    /// For programs.
    pub class: Class,
    /// Stable CamelCase word.
    pub reason: &'static str,
    /// A headline.
    pub title: String,
    /// A sentence or two.
    pub message: String,
    /// What to do next, in words.
    pub hint: String,
    /// What to type.
    pub commands: Vec<String>,
    /// Seconds after which the page asks again.
    pub again: Option<u32>,
    /// For the page that shows a start.
    pub route: Option<Arc<Route>>,
}

impl Notice {
    fn new(status: StatusCode, class: Class, reason: &'static str, title: impl Into<String>, message: impl Into<String>) -> Self {
        let (title, message) = (title.into(), message.into());
        Self { status, class, reason, title, message, hint: String::new(), commands: vec![], again: None, route: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    fn command(mut self, command: String) -> Self {
        self.commands.push(command);
        self
    }

    fn again(self, seconds: u32) -> Self {
        Self { again: Some(seconds), ..self }
    }
}

impl Refusal {
    /// What went wrong on the way to a socket.
    pub fn of_dial(failure: &DialFailure, name: &str) -> Self {
        match failure {
            DialFailure::Refused { port } => Self::NotServed { name: name.to_owned(), port: *port },
            DialFailure::NotRunning(_) => Self::InstanceGone(name.to_owned()),
            DialFailure::TimedOut(_) | DialFailure::TooSlow { .. } => {
                Self::NoSocket { timed_out: true, message: failure.to_string() }
            }
            other => Self::NoSocket { timed_out: false, message: other.to_string() },
        }
    }

    /// What the visitor is told.
    pub fn notice(self) -> Notice {
        match self {
            Self::Malformed(_) | Self::Host(_) | Self::Method | Self::Expectation | Self::NoSuchPage => self.of_request(),
            Self::LoginNeeded { .. } | Self::LinkSpent { .. } | Self::AmbiguousSession | Self::CrossSite => self.of_access(),
            Self::CannotCheck | Self::NoTable | Self::NoSuchWorkspace(_) | Self::Stopped(_) | Self::Starting(_) => {
                self.of_workspace()
            }
            _ => self.of_upstream(),
        }
    }

    fn of_request(self) -> Notice {
        use StatusCode as S;
        let invalid =
            |status, reason, title: &str, message: &str| Notice::new(status, Class::InvalidArgument, reason, title, message);
        match self {
            Self::Host(BadHost::NoSuchHost) => {
                invalid(S::NOT_FOUND, "HostMalformed", "No such address", "This address names no port of a workspace.")
                    .hint("An address is PORT-NAME, then a dot and the rest. Ask for one with:")
                    .command("crannog url NAME PORT".to_owned())
            }
            Self::Host(BadHost::Foreign) => {
                invalid(S::MISDIRECTED_REQUEST, "HostForeign", "Not served here", "This edge serves other host names only.")
            }
            Self::Host(BadHost::Missing) => {
                invalid(S::BAD_REQUEST, "HostMissing", "No host", "The request has no single Host header.")
            }
            Self::Host(BadHost::Differs) => {
                invalid(S::BAD_REQUEST, "HostDiffers", "Two hosts", "The request target and the Host header differ.")
            }
            Self::Method => {
                invalid(S::METHOD_NOT_ALLOWED, "MethodRefused", "Not this method", "CONNECT and TRACE are not passed on.")
            }
            Self::Expectation => {
                invalid(S::EXPECTATION_FAILED, "ExpectationFailed", "Not that", "Only Expect: 100-continue is known.")
            }
            Self::NoSuchPage => Notice::new(
                S::NOT_FOUND,
                Class::NotFound,
                "NoSuchPage",
                "No such page",
                "Nothing is at this address below /_crannog/.",
            ),
            Self::Malformed(why) => invalid(S::BAD_REQUEST, "RequestMalformed", "Bad request", why),
            other => other.of_upstream(),
        }
    }

    fn of_access(self) -> Notice {
        use StatusCode as S;
        let denied =
            |reason, title: &str, message: &str| Notice::new(S::FORBIDDEN, Class::PermissionDenied, reason, title, message);
        match self {
            Self::LoginNeeded { name, port, stopped } => login(&name, port, stopped),
            Self::LinkSpent { name, port } => {
                denied("LinkSpent", "This link is used up", "A link opens a port once, and only for a few minutes.")
                    .hint("Ask for a new one where you use the crannog command:")
                    .command(format!("crannog url {name} {port}"))
            }
            Self::AmbiguousSession => Notice::new(
                S::BAD_REQUEST,
                Class::InvalidArgument,
                "SessionAmbiguous",
                "Two sessions",
                "The request brought more than one session, so none counts.",
            )
            .hint("Delete the cookies of this site, and log in again."),
            Self::CrossSite => denied(
                "CrossSite",
                "Not from another site",
                "A page of another site may not use your session for this private port.",
            )
            .hint("Open the address directly, or make the port public."),
            other => other.of_upstream(),
        }
    }

    fn of_workspace(self) -> Notice {
        use StatusCode as S;
        let away =
            |reason, title: &str, message: &str| Notice::new(S::SERVICE_UNAVAILABLE, Class::Unavailable, reason, title, message);
        match self {
            Self::NoSuchWorkspace(name) => Notice::new(
                S::NOT_FOUND,
                Class::NotFound,
                "NoSuchWorkspace",
                "No such workspace",
                format!("There is no workspace called \u{201c}{name}\u{201d} here."),
            )
            .hint("These are there:")
            .command("crannog list".to_owned()),
            Self::NoTable => away("NoTable", "Not ready yet", "This edge has not heard of any workspaces yet.").again(1),
            Self::CannotCheck => {
                away("OrchestratorAway", "Cannot check your session", "The server that knows sessions does not answer.").again(3)
            }
            Self::Stopped(route) => stopped(route),
            Self::Starting(route) => {
                let message = format!(
                    "The workspace \u{201c}{}\u{201d} is starting. This page follows it and opens by itself.",
                    route.name
                );
                let notice = away("WorkspaceStarting", "Starting\u{2026}", "").again(1);
                Notice { message, route: Some(route), ..notice }
            }
            other => other.of_upstream(),
        }
    }

    fn of_upstream(self) -> Notice {
        use StatusCode as S;
        let bad = |reason, title: String, message: &str| Notice::new(S::BAD_GATEWAY, Class::Unavailable, reason, title, message);
        let late = |reason, title: String, message: String| {
            Notice::new(S::GATEWAY_TIMEOUT, Class::DeadlineExceeded, reason, title, message)
        };
        match self {
            Self::NotServed { name, port } => bad(
                "PortNotServed",
                format!("Nothing listens on {port} yet"),
                "Start your server in the workspace; this page tries again by itself.",
            )
            .hint("What listens now:")
            .command(format!("crannog ports {name}"))
            .again(2),
            Self::InstanceGone(name) => {
                bad("InstanceGone", "The workspace went away".to_owned(), "It stopped while this was on its way.")
                    .hint("See how it is:")
                    .command(format!("crannog show {name}"))
                    .again(2)
            }
            Self::NoSocket { timed_out: true, message } => {
                late("DialTimedOut", "No connection in time".to_owned(), message).again(5)
            }
            Self::NoSocket { timed_out: false, message } => {
                bad("DialFailed", "No way into the workspace".to_owned(), &message).again(5)
            }
            Self::BadAnswer(port) => bad(
                "BadAnswer",
                format!("No good answer from port {port}"),
                "The server in the workspace hung up, or did not answer in HTTP.",
            )
            .hint("Its own output may say why. If it speaks another protocol, use crannog port-forward."),
            Self::NoAnswer(port) => late(
                "NoAnswer",
                format!("Port {port} does not answer"),
                "The server in the workspace took the request and did not answer in time.".to_owned(),
            ),
            // The other lists end here so that each stays short; none of theirs can come.
            other => Notice::new(S::INTERNAL_SERVER_ERROR, Class::Internal, "Internal", "Our own fault", format!("{other:?}")),
        }
    }
}

fn login(name: &str, port: u16, stopped: bool) -> Notice {
    let message = format!("Port {port} of \u{201c}{name}\u{201d} is private: only its owner may open it.");
    let notice = Notice::new(StatusCode::UNAUTHORIZED, Class::Unauthenticated, "LoginNeeded", "Private port", message);
    let notice = notice.hint("Where you use the crannog command, ask for a link; it logs this browser in:");
    let notice = if stopped { notice.command(format!("crannog start {name}")) } else { notice };
    notice.command(format!("crannog url {name} {port}"))
}

fn stopped(route: Arc<Route>) -> Notice {
    let message = match route.message.as_str() {
        "" => format!("The workspace \u{201c}{}\u{201d} is stopped. What was in it is kept.", route.name),
        why => format!("The workspace \u{201c}{}\u{201d} is stopped: {why}", route.name),
    };
    let notice = Notice::new(StatusCode::SERVICE_UNAVAILABLE, Class::FailedPrecondition, "WorkspaceStopped", "Stopped", message);
    notice.hint("Start it; this page opens by itself then:").command(format!("crannog start {}", route.name)).again(5)
}
