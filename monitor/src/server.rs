//! The server: metrics and the page.

use std::sync::Arc;

use crate::config::Config;
use crate::error::Error;
use crate::state::State;

/// Serves until the monitor ends.
pub(crate) async fn serve(_config: Arc<Config>, _state: Arc<State>) -> Result<(), Error> {
    std::future::pending().await
}
