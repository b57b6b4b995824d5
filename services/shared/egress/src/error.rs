//! Why an exchange with an outside app failed.

use std::io;

use keystile_domain::ErrorKind;

use crate::address::Rule;

/// A failed exchange. Never holds a credential, a URL, or text of the outside app or of a driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL cannot be asked for.
    #[error("the url is refused: {0}")]
    Url(UrlFault),
    /// The host is, or resolves only to, addresses that must not be reached.
    #[error("the host is refused: {0}")]
    AddressRefused(Rule),
    /// Plain HTTP to an address that the operator does not list.
    #[error("plain http is refused, use https")]
    PlainHttpRefused,
    /// CONNECT and TRACE are not for outside apps.
    #[error("this method is refused")]
    MethodRefused,
    /// The credential cannot be written as a header value.
    #[error("the credential cannot be sent as it is")]
    Credential,
    /// The request body is over the limit.
    #[error("the request body exceeds {limit} bytes")]
    RequestTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many exchanges are under way, in all or with this host.
    #[error("too many requests to outside apps are under way")]
    Overloaded,
    /// The name has no address.
    #[error("the host name does not resolve")]
    Unresolved,
    /// No connection came about.
    #[error("could not connect: {0}")]
    Connect(io::ErrorKind),
    /// No TLS session came about; mostly a certificate that does not fit or is not trusted.
    #[error("could not agree on tls, or the certificate is not valid")]
    Tls,
    /// No connection came about in the time for connecting.
    #[error("could not connect in time")]
    ConnectTimeout,
    /// The deadline passed.
    #[error("the outside app did not answer in time")]
    Timeout,
    /// A redirect that is not followed.
    #[error("the outside app redirects, which is refused: {0}")]
    RedirectRefused(RedirectFault),
    /// The app answered with a redirect, and following it failed.
    #[error("after a redirect, {0}")]
    AfterRedirect(Box<Self>),
    /// The answer breaks HTTP, or the connection broke.
    #[error("the outside app broke off or sent no valid http")]
    Protocol,
    /// The answer has too many headers or too large ones.
    #[error("the outside app sent too many or too large headers")]
    HeadersTooLarge,
    /// The answer is compressed, although the request said that it must not be. Inside a
    /// compressed body neither size nor credential could be seen.
    #[error("the outside app compressed its answer although asked not to")]
    Compressed,
    /// The answer's body is over the limit.
    #[error("the answer exceeds {limit} bytes")]
    ResponseTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The client could not be set up.
    #[error("the http client could not be set up")]
    Setup,
}

impl Error {
    /// What the failure means to whoever called.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AfterRedirect(cause) => cause.kind(),
            Self::Url(_)
            | Self::MethodRefused
            | Self::Credential
            | Self::RequestTooLarge { .. } => ErrorKind::Invalid,
            Self::AddressRefused(_) | Self::PlainHttpRefused => ErrorKind::Forbidden,
            Self::Overloaded => ErrorKind::Exhausted,
            Self::Unresolved
            | Self::Connect(_)
            | Self::Tls
            | Self::RedirectRefused(_)
            | Self::Protocol
            | Self::HeadersTooLarge
            | Self::Compressed
            | Self::ResponseTooLarge { .. } => ErrorKind::Upstream,
            Self::ConnectTimeout | Self::Timeout => ErrorKind::Timeout,
            Self::Setup => ErrorKind::Internal,
        }
    }

    /// Is it certain that nothing of the request left? Then the app did nothing, whatever the
    /// method, and the same request may be sent again. False where it cannot be known.
    #[must_use]
    pub const fn reached_nobody(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::AddressRefused(_)
            | Self::PlainHttpRefused
            | Self::MethodRefused
            | Self::Credential
            | Self::RequestTooLarge { .. }
            | Self::Overloaded
            | Self::Unresolved
            | Self::Connect(_)
            | Self::ConnectTimeout
            | Self::Tls
            | Self::Setup => true,
            Self::Timeout
            | Self::RedirectRefused(_)
            | Self::AfterRedirect(_)
            | Self::Protocol
            | Self::HeadersTooLarge
            | Self::Compressed
            | Self::ResponseTooLarge { .. } => false,
        }
    }
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Neither http nor https.
    #[error("the scheme is not http or https")]
    Scheme,
    /// It names no host.
    #[error("it names no host")]
    Host,
    /// It carries a user name or password.
    #[error("it carries a user name or password")]
    UserInfo,
    /// Port zero.
    #[error("port zero")]
    Port,
    /// It has characters that HTTP cannot send.
    #[error("it has characters that http cannot send")]
    Characters,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// It leads to another scheme, host or port.
    #[error("it leads to another origin")]
    Origin,
    /// It carries a user name or password.
    #[error("it carries a user name or password")]
    UserInfo,
    /// Its path climbs, for a server that reads it differently.
    #[error("its path climbs")]
    Path,
    /// Its location is no URL.
    #[error("its location is no url")]
    Location,
    /// There were too many of them.
    #[error("there are too many")]
    TooMany,
}
