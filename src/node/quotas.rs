//! What tokens use here is told to the other nodes, so that a quota holds for the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use starling_overlay::{Identity, NodeName};
use starling_placement::journey::PeerError;

use super::Node;
use crate::api::{QuotasUsed, TOKENS_TOLD_MAX, TokenUse};
use crate::content::ClientTag;

/// How often the others are told what is new, in a cluster of up to [`MEMBERS_AT_FULL_PACE`].
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// In a larger one each node has as many to tell, and tells them less often.
const MEMBERS_AT_FULL_PACE: u32 = 50;
/// Members that are told at the same time.
const AT_ONCE_MAX: usize = 8;
/// How long a node that does not know of it is not told; one of an older release.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);
/// The same of one that does not answer: it may just begin, and is told what is left then.
const SILENCE_PAUSE: Duration = Duration::from_secs(3);

/// What the other nodes know of this one.
#[derive(Debug, Default)]
struct Known {
    told: BTreeMap<NodeName, (u64, BTreeMap<String, TokenUse>)>,
    /// Those that did not take it, since this start of theirs.
    pausing: BTreeMap<(NodeName, u64), Instant>,
}

/// Tells the others regularly, for as long as the node lives; aborted when it stops.
pub(super) async fn tell_regularly(node: Arc<Node>) {
    let mut known = Known::default();
    loop {
        let members = u32::try_from(node.view().peers.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(TELL_INTERVAL * members.div_ceil(MEMBERS_AT_FULL_PACE).max(1)).await;
        if node.entrance.access().has_quotas() {
            tell(&node, &mut known).await;
        }
    }
}

async fn tell(node: &Node, known: &mut Known) {
    let (view, now) = (node.view(), Instant::now());
    let others: Vec<_> = view
        .peers
        .iter()
        .filter(|peer| peer.state.is_live() && !peer.identity.is_observer())
        .map(|peer| Arc::clone(&peer.identity))
        .collect();
    let there: BTreeSet<_> = others.iter().map(|other| (&other.name, other.boot.0)).collect();
    node.entrance.access().keep_others(&|name, boot| there.contains(&(name, boot)));
    known.told.retain(|name, (boot, _)| there.contains(&(name, *boot)));
    known.pausing.retain(|_, until| *until > now);
    let used = used(node);
    let news = |other: Arc<Identity>| {
        let told = known.told.get(&other.name).map(|(_, told)| told);
        let is_new = |name: &str, use_: &TokenUse| match told.and_then(|told| told.get(name)) {
            Some(before) => !before.is_as(use_),
            None => !use_.is_as(&TokenUse::default()),
        };
        let news: Vec<_> = used.iter().filter(|(name, use_)| is_new(name, use_)).collect();
        (other, news.into_iter().map(|(name, use_)| (name.clone(), *use_)).collect::<Vec<_>>())
    };
    let work: Vec<_> = others
        .iter()
        .filter(|other| !known.pausing.contains_key(&(other.name.clone(), other.boot.0)))
        .map(|other| news(Arc::clone(other)))
        .filter(|(_, news)| !news.is_empty())
        .collect();
    let told: Vec<_> = stream::iter(work)
        .map(|(other, news)| async move { (tell_one(node, &other, &news).await, other, news) })
        .buffer_unordered(AT_ONCE_MAX)
        .collect()
        .await;
    for (pause, other, news) in told {
        if let Some(pause) = pause {
            known.pausing.insert((other.name.clone(), other.boot.0), Instant::now() + pause);
        } else {
            let (_, told) = known.told.entry(other.name.clone()).or_insert((other.boot.0, BTreeMap::new()));
            told.extend(news);
        }
    }
}

/// What each token with a quota has used here.
fn used(node: &Node) -> BTreeMap<String, TokenUse> {
    let jobs = |name: &str| node.jobs.unfinished_of(ClientTag::of_token(&node.config.cluster, name));
    node.entrance.access().used(jobs)
}

/// None: it is told; else for how long it is left alone.
async fn tell_one(node: &Node, other: &Identity, news: &[(String, TokenUse)]) -> Option<Duration> {
    for some in news.chunks(TOKENS_TOLD_MAX) {
        let used = some.iter().cloned().collect();
        let word = QuotasUsed { from: node.identity.name.clone(), boot: node.identity.boot.0, used };
        if let Err(error) = node.peers.tell_quotas(other, &word).await {
            tracing::debug!(peer = %other.name, %error, "what tokens have used is not told");
            let is_silent = matches!(error, PeerError::Unreachable(_));
            return Some(if is_silent { SILENCE_PAUSE } else { REFUSAL_PAUSE });
        }
    }
    None
}

impl Node {
    /// Another node tells what tokens have used there.
    pub fn hear_quotas(&self, word: &QuotasUsed) {
        self.entrance.access().hear((&word.from, word.boot), &word.used);
        tracing::debug!(from = %word.from, tokens = word.used.len(), "what tokens have used elsewhere");
    }
}
