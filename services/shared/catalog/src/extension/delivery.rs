//! `x-keystile-delivery`.

use serde::Deserialize;

use super::{Part, Pointer};

/// What a webhook's request says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivery {
    /// The same on every attempt to deliver one event.
    pub id: Option<Part>,
    /// Names the webhook.
    pub event: Option<Part>,
    /// The provider's account whose event it is.
    pub account: Option<Part>,
    /// A text that proves, when it is sent back, that the URL is listened to.
    pub challenge: Option<Pointer>,
}
