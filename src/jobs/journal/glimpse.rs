//! What a list chooses jobs by, read without the rest: most jobs are not in the page that is asked for.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::api::{JobFilter, JobState, NoticeState};
use crate::content::ClientTag;

/// A record, as far as a [`JobFilter`] looks.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Glimpse {
    client: ClientTag,
    stage: Tag<JobState>,
    notice: Option<Tag<NoticeState>>,
}

impl Glimpse {
    /// None: it can't be read.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn fits(&self, filter: &JobFilter) -> bool {
        filter.client.is_none_or(|client| client == self.client)
            && filter.state.is_none_or(|state| state == self.stage.0)
            && filter.webhook.is_none_or(|state| self.notice.as_ref().is_some_and(|notice| notice.0 == state))
    }
}

/// Which variant it is: `"queued"` and `{"running": {…}}` alike, as serde writes them.
#[derive(Debug)]
struct Tag<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tag<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TagVisitor(PhantomData))
    }
}

struct TagVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TagVisitor<T> {
    type Value = Tag<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a variant's name, or a map with it alone")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Tag<T>, E> {
        T::deserialize(StrDeserializer::new(name)).map(Tag)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tag<T>, A::Error> {
        let Some((name, IgnoredAny)) = map.next_entry()? else {
            return Err(Error::invalid_length(0, &self));
        };
        Ok(Tag(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::record::tests::record;
    use crate::jobs::{Failure, Notice, Stage};

    #[test]
    fn each_stage_and_each_word_on_a_message_is_seen_as_the_record_has_it() {
        let stages = [
            Stage::Queued,
            Stage::Running { since_ms: 1 },
            Stage::Done { at_ms: 1, outputs: Vec::new() },
            Stage::Failed { at_ms: 1, why: Failure::Interrupted { times: 3 } },
            Stage::Cancelled { at_ms: 1 },
        ];
        let notices = [
            None,
            Some(Notice::new(1)),
            Some(Notice::Delivered { tries: 1, at_ms: 1 }),
            Some(Notice::Dead { tries: 1, at_ms: 1, why: "x".into() }),
        ];
        let mut seen = Vec::new();
        for stage in stages {
            for notice in &notices {
                let record =
                    crate::jobs::Record { stage: stage.clone(), notice: notice.clone(), ..record("a") };
                let glimpse = Glimpse::of(&serde_json::to_vec(&record).unwrap()).unwrap();
                assert_eq!(
                    (glimpse.client, glimpse.stage.0, glimpse.notice.map(|notice| notice.0)),
                    (record.client, record.stage.state(), record.notice.as_ref().map(Notice::state))
                );
                seen.push(record.stage.state());
            }
        }
        seen.dedup();
        assert_eq!(seen, JobState::ALL);
        assert!(Glimpse::of(b"{}").is_none() && Glimpse::of(b"{\"client\":1,\"stage\":{}}").is_none());
    }
}
