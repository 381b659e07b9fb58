//! Messages to clients' webhooks: sent when a job has ended, tried again when that fails, and given up at last.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Node;
use crate::api::WebhookJson;
use crate::jobs::{Notice, Record, now_ms};
use crate::metrics::WebhookTry;
use crate::webhooks::{Attempt, Target};

/// When a message is tried again after the first try, the second one and so on; about the scheme's own advice, within the time for which jobs
/// are kept.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
];
/// By how much of itself a pause is longer, by chance, so that those who failed together do not come back together.
const JITTER: f64 = 0.2;
/// Messages on their way at once.
const SENDING_MAX: usize = 16;
/// When what the disk refused is tried again.
const DISK_RETRY: Duration = Duration::from_secs(5);

/// Sends what is due, for as long as the node lives; aborted when it stops.
pub(super) async fn send(node: Arc<Node>) {
    let mut sending = JoinSet::new();
    loop {
        while sending.try_join_next().is_some() {}
        match node.jobs.take_due_notices(SENDING_MAX - sending.len()).await {
            Ok(due) => {
                for record in due {
                    let node = Arc::clone(&node);
                    sending.spawn(async move { node.send_notice(&record).await });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "clients' webhooks wait for the disk");
                tokio::time::sleep(DISK_RETRY).await;
            }
        }
        if sending.len() >= SENDING_MAX {
            sending.join_next().await;
        } else {
            tokio::select! {
                () = node.jobs.noticed() => {}
                Some(_) = sending.join_next() => {}
            }
        }
    }
}

impl Node {
    async fn send_notice(&self, record: &Record) {
        let Some(Notice::Pending { tries, .. }) = record.notice else { return };
        let (tries, job) = (tries + 1, record.id());
        let attempt = self.try_notice(record).await;
        let (at_ms, pause) = (now_ms(), PAUSES.get(tries as usize - 1));
        let notice = match (attempt, pause) {
            (Attempt::Delivered, _) => {
                self.metrics.webhook_tried(WebhookTry::Delivered);
                tracing::info!(%job, tries, "webhook delivered");
                Notice::Delivered { tries, at_ms }
            }
            (Attempt::Failed(why), Some(pause)) => {
                self.metrics.webhook_tried(WebhookTry::Failed);
                let pause = pause.mul_f64(1.0 + JITTER * rand::random::<f64>());
                tracing::info!(%job, tries, why, next_s = pause.as_secs(), "webhook not delivered: tried again");
                let next_ms = at_ms + pause.as_millis() as u64;
                Notice::Pending { tries, next_ms, why: Some(why) }
            }
            (Attempt::Failed(why) | Attempt::Hopeless(why), _) => {
                self.metrics.webhook_tried(WebhookTry::Dead);
                tracing::warn!(%job, tries, why, "webhook given up");
                Notice::Dead { tries, at_ms, why }
            }
        };
        while let Err(error) = self.jobs.note(record.number, notice.clone()).await {
            tracing::warn!(%error, %job, "what became of a webhook can't be written down: tried again");
            tokio::time::sleep(DISK_RETRY).await;
        }
    }

    async fn try_notice(&self, record: &Record) -> Attempt {
        let Some(sender) = &self.config.webhooks else {
            return Attempt::Hopeless("this node has no --webhook-secret-file".to_owned());
        };
        let target = record.ask.wish.webhook.as_deref().unwrap_or_default().parse::<Target>();
        let target = match target {
            Ok(target) => target,
            Err(error) => return Attempt::Hopeless(error.to_string()),
        };
        let Some(message) = WebhookJson::of(record) else {
            return Attempt::Hopeless("the job has not come to its end".to_owned());
        };
        let body = serde_json::to_vec(&message).unwrap_or_default();
        // The same in each try, at each node: the receiver takes it once.
        let id = format!("msg_{}", record.number);
        sender.send(&target, &id, now_ms() / 1000, body.into()).await
    }
}
