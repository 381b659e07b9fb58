//! Messages to clients of the ends of their jobs: which are due. What is sent is in src/node/webhooks.rs.

use super::{JobError, JobNumber, Jobs, Notice, Record, now_ms};

impl Jobs {
    /// The client of a job that this node holds is to be told of its end, if it is.
    pub(super) fn will_notice(&self, record: &Record) {
        let Some(due_ms) = record.notice_due_ms() else { return };
        self.board.lock().notices.insert(record.number, due_ms);
        self.noticed.notify_one();
    }

    /// The jobs whose clients are to be told now, so many at the most; they are taken to be told until something else is said of them.
    pub async fn take_due_notices(&self, max: usize) -> Result<Vec<Record>, JobError> {
        let due: Vec<JobNumber> = {
            let (mut board, now) = (self.board.lock(), now_ms());
            let due = board.notices.iter().filter(|(_, due_ms)| **due_ms <= now);
            let due: Vec<_> = due.map(|(number, _)| *number).take(max).collect();
            for number in &due {
                board.notices.remove(number);
            }
            due
        };
        let mut records = Vec::new();
        for number in due {
            let held = self.held(number).await?;
            records.extend(held.filter(|record| record.notice_due_ms().is_some()));
        }
        Ok(records)
    }

    /// How many clients are still to be told of an end; those that are being told at this moment are not counted.
    pub fn pending_notices(&self) -> usize {
        self.board.lock().notices.len()
    }

    /// Resolves when there may be something for [`Self::take_due_notices`].
    pub async fn noticed(&self) {
        let next_ms = self.board.lock().notices.values().min().copied();
        let due = async {
            match next_ms {
                Some(at) => {
                    tokio::time::sleep(std::time::Duration::from_millis(at.saturating_sub(now_ms()))).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.noticed.notified() => {}
            () = due => {}
        }
    }

    /// What became of a message: written down, and told to the second node.
    pub async fn note(&self, number: JobNumber, notice: Notice) -> Result<(), JobError> {
        let changed = self.change_keepers(number, |record| {
            record.notice = Some(notice.clone());
            record.keeping.version += 1;
        });
        changed.await?;
        if let Some(record) = self.held(number).await? {
            self.board.lock().untold.insert(number);
            self.untold.notify_one();
            self.will_notice(&record);
        }
        Ok(())
    }
}
