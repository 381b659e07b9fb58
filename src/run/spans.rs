//! Spans to a collector, where the program is built for it.

#[cfg(feature = "otlp")]
mod built {
    use crate::config::NodeConfig;
    use crate::node::StartError;
    use crate::otlp::{Export, Exporter};

    /// What sends the node's spans, if they are to be sent.
    pub fn prepare(config: &NodeConfig) -> Result<Option<Exporter>, StartError> {
        Exporter::of(config).map_err(|error| StartError::Spans(error.into()))
    }

    /// Sends them from now on.
    pub fn start(exporter: Option<Exporter>) -> Option<Export> {
        exporter.map(Exporter::start)
    }

    /// Sends the last ones.
    pub async fn finish(export: Option<Export>) {
        if let Some(export) = export {
            export.finish().await;
        }
    }
}

#[cfg(not(feature = "otlp"))]
mod built {
    use std::future::{Ready, ready};

    use crate::config::NodeConfig;
    use crate::node::StartError;

    /// Nothing to send: the configuration has refused what would name a collector.
    pub struct Nothing;

    #[allow(clippy::unnecessary_wraps, reason = "like the other one")]
    pub fn prepare(_config: &NodeConfig) -> Result<Nothing, StartError> {
        Ok(Nothing)
    }

    pub fn start(nothing: Nothing) -> Nothing {
        nothing
    }

    pub fn finish(_nothing: Nothing) -> Ready<()> {
        ready(())
    }
}

pub(super) use built::{finish, prepare, start};
