//! A quota holds for the cluster: what a token has used at the other nodes, as they tell it.
//!
//! Each node takes what is used here at once, and what is used elsewhere when it hears of it. So all nodes together may let in more than a
//! rate allows, by what comes between two words of them; then less than nothing is left, and that is paid off before anything else is let
//! in. What is told is a sum since the node's start: a word that is lost or comes twice changes nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use starling_overlay::NodeName;

use super::quota::{Bucket, Ledger};
use crate::api::TokenUse;

/// What was heard of another node last.
#[derive(Debug)]
pub(super) struct Other {
    boot: u64,
    told: TokenUse,
}

/// What others have, by their names.
pub(super) type Others = BTreeMap<NodeName, Other>;

/// Uploads and jobs of a token at other nodes.
pub(super) fn at_once(others: &Others) -> usize {
    others.values().map(|other| other.told.at_once as usize).sum()
}

impl Ledger {
    /// What the token has used here; `jobs` of it have not come to their end.
    pub fn used(&self, jobs: usize, now: Instant) -> TokenUse {
        let mut used = self.used.lock();
        let at_once = used.under_way.saturating_add(u32::try_from(jobs).unwrap_or(u32::MAX));
        let read = |bucket: &mut Option<Bucket>| {
            bucket.as_mut().map_or((0.0, 0.0), |bucket| (bucket.spent(), bucket.lacking(now)))
        };
        let (uploads, uploads_lacking) = read(&mut used.uploads);
        let (bytes, bytes_lacking) = read(&mut used.bytes);
        TokenUse { uploads, bytes, at_once, uploads_lacking, bytes_lacking }
    }

    /// Another node tells what the token has used there.
    pub fn hear(&self, (from, boot): (&NodeName, u64), told: TokenUse, now: Instant) {
        let numbers = [told.uploads, told.bytes, told.uploads_lacking, told.bytes_lacking];
        if numbers.iter().any(|number| !number.is_finite()) {
            return;
        }
        let mut used = self.used.lock();
        let before = used.others.get(from).filter(|other| other.boot == boot).map(|other| other.told);
        let news = |bucket: &mut Option<Bucket>, of: fn(&TokenUse) -> f64, lacking: f64| {
            let Some(bucket) = bucket else { return };
            match before {
                Some(before) => bucket.used_elsewhere(of(&told) - of(&before), now),
                // One of the two is new, or they have not heard of each other for long: whoever has more of it missing is right.
                None => bucket.has_at_most_lacking(lacking, now),
            }
        };
        news(&mut used.uploads, |told| told.uploads, told.uploads_lacking);
        news(&mut used.bytes, |told| told.bytes, told.bytes_lacking);
        used.others.insert(from.clone(), Other { boot, told });
    }

    /// Forgets what was heard of nodes that are gone: their jobs are others' now, or nobody's.
    pub fn keep_others(&self, is_there: &impl Fn(&NodeName, u64) -> bool) {
        self.used.lock().others.retain(|name, other| is_there(name, other.boot));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::access::{Quota, QuotaError};

    struct At {
        name: NodeName,
        boot: u64,
        ledger: Arc<Ledger>,
    }

    /// A node with nothing used yet.
    fn node(name: &str, quota: Quota, now: Instant) -> At {
        At { name: name.parse().unwrap(), boot: 1, ledger: Arc::new(Ledger::new(quota, now)) }
    }

    fn uploads(rate: &str) -> Quota {
        Quota { uploads: Some(rate.parse().unwrap()), ..Quota::default() }
    }

    impl At {
        fn uses(&self, count: u64, now: Instant) -> Result<(), QuotaError> {
            self.ledger.enter("ci", (None, Arc::default()), (count, 0), now).map(drop)
        }

        fn tells(&self, other: &Self, now: Instant) {
            other.ledger.hear((&self.name, self.boot), self.ledger.used(0, now), now);
        }
    }

    #[test]
    fn what_is_used_at_one_node_is_gone_at_all() {
        let now = Instant::now();
        let (a, b) = (node("a", uploads("10/10s"), now), node("b", uploads("10/10s"), now));
        a.tells(&b, now);
        b.tells(&a, now);
        a.uses(4, now).unwrap();
        b.uses(5, now).unwrap();
        for _ in 0..3 {
            // However often, in whatever order.
            b.tells(&a, now);
            a.tells(&b, now);
        }
        for at in [&a, &b] {
            assert!(at.uses(2, now).is_err());
        }
        a.uses(1, now).unwrap();
        a.tells(&b, now);
        let Err(QuotaError::UsedUp { after, .. }) = b.uses(1, now) else { panic!("nothing is left") };
        assert_eq!(after, Duration::from_secs(1));
        b.uses(1, now + after).unwrap();
    }

    #[test]
    fn what_was_too_much_is_paid_off_and_no_more_than_all_of_a_rate() {
        let now = Instant::now();
        let nodes = ["a", "b", "c", "d"].map(|name| node(name, uploads("10/10s"), now));
        for from in &nodes {
            for to in &nodes {
                from.tells(to, now);
            }
        }
        // Each lets in all of it, before it has heard of the others.
        for at in &nodes {
            at.uses(10, now).unwrap();
        }
        for from in &nodes {
            for to in nodes.iter().filter(|to| to.name != from.name) {
                from.tells(to, now);
            }
        }
        for at in &nodes {
            let Err(QuotaError::UsedUp { after, .. }) = at.uses(1, now) else { panic!("nothing is left") };
            assert_eq!(after, Duration::from_secs(11), "all of a rate is owed, and one more is needed");
        }
    }

    #[test]
    fn a_node_that_begins_anew_is_told_what_is_left() {
        let now = Instant::now();
        let (a, mut b) = (node("a", uploads("10/10s"), now), node("b", uploads("10/10s"), now));
        b.tells(&a, now);
        a.uses(9, now).unwrap();
        a.tells(&b, now);
        assert!(b.uses(2, now).is_err());
        // It ends, and is there again.
        b = At { boot: 2, ..node("b", uploads("10/10s"), now) };
        b.tells(&a, now);
        assert!(a.uses(2, now).is_err(), "its new beginning gives nothing back");
        a.tells(&b, now);
        assert!(b.uses(2, now).is_err());
        b.uses(1, now).unwrap();
        b.tells(&a, now);
        assert!(a.uses(1, now).is_err());
    }

    #[test]
    fn jobs_at_once_are_those_of_all_nodes_that_are_there() {
        let now = Instant::now();
        let quota = Quota { jobs: Some(2), ..Quota::default() };
        let (a, b) = (node("a", quota, now), node("b", quota, now));
        b.ledger.hear((&a.name, a.boot), a.ledger.used(2, now), now);
        assert_eq!(b.uses(1, now), Err(QuotaError::TooManyJobs { token: "ci".into(), max: 2 }));
        b.ledger.keep_others(&|name, boot| *name == a.name && boot == a.boot);
        assert!(b.uses(1, now).is_err());
        // Of a node that is gone nothing counts.
        b.ledger.keep_others(&|_, _| false);
        b.uses(1, now).unwrap();
        // What is no number changes nothing.
        b.ledger.hear((&a.name, 1), TokenUse { uploads: f64::NAN, at_once: 9, ..TokenUse::default() }, now);
        b.uses(1, now).unwrap();
    }
}
