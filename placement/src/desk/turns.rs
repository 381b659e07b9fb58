//! Whose turn it is: workers and the queue are shared out among clients, and not among jobs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::content::ClientTag;

/// A client whose last job began longer ago has no turn to wait for.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Clients remembered at the most: the queue is no longer, and nor are the workers.
const CLIENTS_MAX: usize = 16_384;
/// Work that one client's jobs have kept all workers from for this long is given a worker more.
pub(super) const GUEST_AFTER: Duration = Duration::from_secs(5);
/// And a job that those of several clients have kept all workers from for so many times what it takes itself.
pub(super) const GUEST_TIMES: u32 = 4;

/// When each client's last job began.
#[derive(Debug, Default)]
pub struct Turns {
    begun: BTreeMap<ClientTag, Instant>,
}

/// Jobs counted by client.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By client; none has no job. A list, since it is made anew for each question, and is short.
    by_client: Vec<(ClientTag, usize)>,
    all: usize,
}

impl Tally {
    fn find(&self, client: ClientTag) -> Result<usize, usize> {
        self.by_client.binary_search_by_key(&client, |(client, _)| *client)
    }

    /// One job more.
    pub fn add(&mut self, client: ClientTag) {
        match self.find(client) {
            Ok(place) => self.by_client[place].1 += 1,
            Err(place) => self.by_client.insert(place, (client, 1)),
        }
        self.all += 1;
    }

    /// One job less; nothing where there is none.
    pub fn remove(&mut self, client: ClientTag) {
        if let Ok(place) = self.find(client) {
            self.by_client[place].1 -= 1;
            self.all -= 1;
            if self.by_client[place].1 == 0 {
                self.by_client.remove(place);
            }
        }
    }

    /// How many are this client's.
    pub fn of(&self, client: ClientTag) -> usize {
        self.find(client).map_or(0, |place| self.by_client[place].1)
    }

    /// How many there are.
    pub const fn all(&self) -> usize {
        self.all
    }

    /// Clients with at least one, and how many each has.
    pub fn iter(&self) -> impl Iterator<Item = (ClientTag, usize)> {
        self.by_client.iter().copied()
    }
}

impl FromIterator<ClientTag> for Tally {
    fn from_iter<T: IntoIterator<Item = ClientTag>>(clients: T) -> Self {
        let mut tally = Self::default();
        clients.into_iter().for_each(|client| tally.add(client));
        tally
    }
}

impl Turns {
    /// Which of the jobs that wait, told by their clients in the order of their coming, is next: the first one of the client that has
    /// the fewest running, and of such the one whose last job began longest ago.
    pub fn next(
        &self,
        waiting: impl Iterator<Item = ClientTag>,
        running: &Tally,
    ) -> Option<(usize, ClientTag)> {
        waiting.enumerate().min_by_key(|(_, client)| (running.of(*client), self.begun.get(client)))
    }

    /// A client's job begins.
    pub fn begin(&mut self, client: ClientTag, now: Instant) {
        if self.begun.len() >= CLIENTS_MAX {
            self.begun.retain(|_, begun| now.saturating_duration_since(*begun) < REMEMBERED);
        }
        if self.begun.len() < CLIENTS_MAX || self.begun.contains_key(&client) {
            self.begun.insert(client, now);
        }
    }
}

/// How many jobs of another client, that has `theirs` waiting, come before a new one of a client that has `own` waiting.
pub(super) fn before(own: usize, theirs: usize) -> usize {
    theirs.min(own + 1)
}

/// The client that has to give up a waiting job where there is no room for one more of `newcomer`: the one with the most, if that
/// leaves it no fewer than the newcomer has then.
pub(super) fn gives_way(waiting: &Tally, newcomer: ClientTag) -> Option<ClientTag> {
    let (client, most) = waiting.iter().max_by_key(|(client, count)| (*count, *client))?;
    (client != newcomer && most > waiting.of(newcomer) + 1).then_some(client)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::start;

    const A: ClientTag = ClientTag(1);
    const B: ClientTag = ClientTag(2);
    const C: ClientTag = ClientTag(3);

    #[test]
    fn clients_take_turns_however_many_jobs_one_has() {
        let (mut turns, mut waiting) = (Turns::default(), vec![A, A, A, A, A, B, C, B]);
        let (mut order, mut now) = (Vec::new(), start());
        while let Some((at, client)) = turns.next(waiting.iter().copied(), &Tally::default()) {
            assert_eq!(waiting.remove(at), client);
            now += Duration::from_secs(1);
            turns.begin(client, now);
            order.push(client);
        }
        assert_eq!(order, [A, B, C, A, B, A, A, A]);
    }

    #[test]
    fn the_one_with_the_fewest_running_is_next() {
        let (turns, waiting) = (Turns::default(), [A, A, B]);
        let next =
            |running: &[ClientTag]| turns.next(waiting.into_iter(), &running.iter().copied().collect());
        assert_eq!(next(&[A, A]), Some((2, B)));
        assert_eq!(next(&[B, C]), Some((0, A)));
        assert_eq!(turns.next(std::iter::empty(), &Tally::default()), None);
    }

    #[test]
    fn who_has_most_gives_way_to_who_has_less() {
        let tally = |clients: &[ClientTag]| clients.iter().copied().collect::<Tally>();
        assert_eq!(gives_way(&tally(&[A, A, A]), B), Some(A));
        assert_eq!(gives_way(&tally(&[A, A, A]), A), None, "one alone is only full");
        assert_eq!(gives_way(&tally(&[A, A, B, B]), B), None);
        assert_eq!(gives_way(&tally(&[A, A, B]), B), None, "as many after it as before, the other way round");
        assert_eq!(gives_way(&tally(&[A, A, A, B]), B), Some(A));
        assert_eq!(gives_way(&tally(&[]), B), None);
    }

    proptest! {
        #[test]
        fn a_tally_counts(steps in prop::collection::vec((0u64..4, any::<bool>()), 0..60)) {
            let (mut tally, mut list) = (Tally::default(), Vec::new());
            for (client, add) in steps {
                let client = ClientTag(client);
                if add {
                    tally.add(client);
                    list.push(client);
                } else {
                    tally.remove(client);
                    if let Some(at) = list.iter().position(|other| *other == client) {
                        list.remove(at);
                    }
                }
                prop_assert_eq!(tally.all(), list.len());
                prop_assert_eq!(tally.of(client), list.iter().filter(|other| **other == client).count());
            }
        }
    }
}
