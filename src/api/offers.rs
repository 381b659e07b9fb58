//! What two nodes say to each other about a job.

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;
use starling_placement::desk::{Backlog, Ready};
use starling_placement::journey;
pub use starling_placement::offers::ACCEPT_TIMEOUT;

use crate::content::{ClientTag, ContentId, MediaInfo};
use crate::profile::ProfileName;

/// `POST /internal/offers`: will you do this job?
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Who asks.
    pub from: NodeName,
    /// SHA-256 of the video.
    pub content: ContentId,
    /// Its length in bytes.
    pub bytes: u64,
    /// What to make of it.
    pub profile: ProfileName,
    /// The recipe that has this name at the asker: [`crate::profile::Profile::recipe_id`]. A node that has another one refuses. None
    /// from an older node, which means the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<ContentId>,
    /// Milliseconds the job may still take, way back included.
    pub deadline_ms: u64,
    /// What stands before the job where it is now: a node where it would begin later refuses it. None from a policy that
    /// does not look at load.
    pub backlog: Option<Backlog>,
    /// For which of the asker's clients; none from a node that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientTag>,
    /// What ffprobe found in it, so that it is probed once; none where nobody has looked yet.
    pub info: Option<MediaInfo>,
}

impl Offer {
    /// Whose job it is: the client that it was told of, else the peer itself.
    pub fn client(&self) -> ClientTag {
        self.client.unwrap_or_else(|| ClientTag::of_peer(self.from.as_str()))
    }
}

/// The answer when it will.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Where the body goes: `POST /internal/jobs/{offer}`.
    pub offer: OfferId,
    /// When its result would be ready here, from this answer on; empty from an older node.
    #[serde(default, skip_serializing_if = "Ready::is_unknown")]
    pub ready: Ready,
}

impl journey::Accepted for Accepted {
    fn ready(&self) -> Ready {
        self.ready
    }
}

/// `POST /internal/offers/end`: the body of an accepted offer does not come. Said twice, or of an offer that is not held, it does nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferEnd {
    /// Which offer.
    pub offer: OfferId,
}

/// `POST /internal/progress`: how far is the work on this? The answer is a [`super::Progress`], or null where there is no such work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgressQuery {
    /// SHA-256 of the video.
    pub content: ContentId,
    /// What is made of it.
    pub profile: ProfileName,
    /// By which recipe, as in [`Offer::recipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<ContentId>,
}

/// Names an accepted offer; hard to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OfferId(pub u128);

starling_placement::hex_id!(OfferId(u128), 32, OfferIdError, "an offer id is 32 hexadecimal digits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_nodes_yes_says_no_time_and_an_older_node_reads_a_newer_ones() {
        #[derive(Deserialize)]
        struct Older {
            offer: OfferId,
        }
        let offer = OfferId(7);
        let plain = format!("{{\"offer\":\"{offer}\"}}");
        let ready = serde_json::from_str::<Accepted>(&plain).unwrap().ready;
        assert!(ready.is_unknown());
        assert_eq!(serde_json::to_string(&Accepted { offer, ready }).unwrap(), plain);
        let ready = Ready { wait_ms: Some(1_200), ..Ready::default() };
        let told = serde_json::to_string(&Accepted { offer, ready }).unwrap();
        assert!(told.ends_with(r#","ready":{"wait_ms":1200}}"#), "{told}");
        assert_eq!(serde_json::from_str::<Accepted>(&told).unwrap().ready, ready);
        assert_eq!(serde_json::from_str::<Older>(&told).unwrap().offer, offer);
    }

    #[test]
    fn offer_ids_go_there_and_back() {
        let id = OfferId(0x1234);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "12", "+0000000000000000000000000000001", "0000000000000000000000000000000g"] {
            assert_eq!(bad.parse::<OfferId>(), Err(OfferIdError), "{bad}");
        }
    }
}
