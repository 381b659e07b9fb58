//! How much a token may have: uploads and bytes in a time, and jobs at once. Each node counts what it takes itself, and hears of what
//! the others take (`others.rs`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::others::{Others, at_once};

/// Longest time of a rate.
const PERIOD_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
const PERIOD_MIN: Duration = Duration::from_secs(1);

/// So much in a time: all of it at once, or bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How much.
    pub amount: u64,
    /// In what time.
    pub per: Duration,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate: give one such as 100/h, 10GiB/d or 5/10m, over 1s to 31d")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let read = || {
            let (amount, per) = text.split_once('/')?;
            let (amount, per) = (amount.trim(), per.trim());
            let amount = amount.parse::<ByteSize>().ok()?.as_u64();
            let per =
                if per.starts_with(|c: char| c.is_ascii_digit()) { per.into() } else { format!("1{per}") };
            let per = humantime::parse_duration(&per).ok()?;
            let fits = (1..=u64::MAX / 2).contains(&amount) && (PERIOD_MIN..=PERIOD_MAX).contains(&per);
            fits.then_some(Self { amount, per })
        };
        read().ok_or_else(|| RateError(text.chars().take(60).collect()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [(1 << 30, "GiB"), (1 << 20, "MiB")]
            .into_iter()
            .find(|(bytes, _)| self.amount.is_multiple_of(*bytes));
        match unit {
            Some((bytes, name)) => write!(f, "{}{name}/", self.amount / bytes)?,
            None => write!(f, "{}/", self.amount)?,
        }
        match self.per.as_secs() {
            86_400 => f.write_str("d"),
            3_600 => f.write_str("h"),
            60 => f.write_str("m"),
            _ => write!(f, "{}", humantime::format_duration(self.per).to_string().replace(' ', "")),
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// What a token may have; none: no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Quota {
    /// Uploads in a time.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rate")]
    pub uploads: Option<Rate>,
    /// Bytes of their bodies in a time.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rate")]
    pub bytes: Option<Rate>,
    /// Uploads under way, and jobs that have not come to their end, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
}

mod rate {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Rate;

    #[expect(clippy::ref_option, reason = "so serde calls it")]
    pub(super) fn serialize<S: Serializer>(rate: &Option<Rate>, serializer: S) -> Result<S::Ok, S::Error> {
        match rate {
            Some(rate) => serializer.collect_str(rate),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

/// Why a token gets no more now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// It has used up a rate.
    #[error(
        "the token {token:?} has used up its {what}, {rate}: try again in {} s",
        after.as_secs_f64().ceil().max(1.0)
    )]
    UsedUp {
        /// The token's name.
        token: String,
        /// Uploads or bytes.
        what: &'static str,
        /// How much it may have.
        rate: Rate,
        /// When there is enough again.
        after: Duration,
    },
    /// It has as many uploads and jobs as it may.
    #[error(
        "the token {token:?} has {max} uploads and jobs under way, and no more may: wait until one is done"
    )]
    TooManyJobs {
        /// The token's name.
        token: String,
        /// How many it may have.
        max: u32,
    },
    /// However long it waits.
    #[error(
        "this body is larger than all that the token {token:?} may send in a time, {rate}: send less, or have the token's \
         `bytes` raised"
    )]
    Never {
        /// The token's name.
        token: String,
        /// How much it may have.
        rate: Rate,
    },
}

/// What is left of a rate. It may be less than nothing: a body whose length was not announced is paid for afterwards.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    left: f64,
    /// Taken here since the beginning.
    spent: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.amount as f64, spent: 0.0, at: now }
    }

    /// Takes so much, if there is that much and at least something; else when there will be.
    fn take(&mut self, amount: u64, now: Instant) -> Result<(), Duration> {
        let per_s = self.refill(now);
        let needs = amount.max(1) as f64;
        if self.left >= needs {
            self.left -= amount as f64;
            self.spent += amount as f64;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((needs - self.left) / per_s).unwrap_or(PERIOD_MAX))
    }

    /// What was taken was really this much.
    fn settle(&mut self, taken: u64, really: u64) {
        self.left = (self.left + taken as f64 - really as f64).min(self.rate.amount as f64);
        self.spent += really as f64 - taken as f64;
    }

    /// What has come back until now; how much comes back in a second.
    fn refill(&mut self, now: Instant) -> f64 {
        let per_s = self.rate.amount as f64 / self.rate.per.as_secs_f64();
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * per_s;
        (self.left, self.at) = ((self.left + gained).min(self.rate.amount as f64), now);
        per_s
    }

    /// What was taken here.
    pub(super) const fn spent(&self) -> f64 {
        self.spent
    }

    /// What lacks of all that there may be.
    pub(super) fn lacking(&mut self, now: Instant) -> f64 {
        self.refill(now);
        self.rate.amount as f64 - self.left
    }

    /// So much was taken at another node. No more than all of the rate is owed for it.
    pub(super) fn used_elsewhere(&mut self, amount: f64, now: Instant) {
        self.refill(now);
        let all = self.rate.amount as f64;
        self.left = (self.left - amount).clamp((-all).min(self.left), all);
    }

    /// So much lacks at least.
    pub(super) fn has_at_most_lacking(&mut self, lacking: f64, now: Instant) {
        self.refill(now);
        let all = self.rate.amount as f64;
        self.left = self.left.min((all - lacking).max(-all));
    }
}

/// What a token has used.
#[derive(Debug)]
pub struct Ledger {
    quota: Quota,
    pub(super) used: Mutex<Used>,
}

#[derive(Debug)]
pub(super) struct Used {
    pub(super) uploads: Option<Bucket>,
    pub(super) bytes: Option<Bucket>,
    pub(super) under_way: u32,
    /// At the other nodes.
    pub(super) others: Others,
}

/// An upload that was let in, until it is over: then its bytes are settled, and its place is free.
#[derive(Debug)]
pub struct Charge {
    ledger: Arc<Ledger>,
    bytes: u64,
    received: Arc<AtomicU64>,
}

impl Ledger {
    /// Of nothing used yet.
    pub fn new(quota: Quota, now: Instant) -> Self {
        let bucket = |rate: Option<Rate>| rate.map(|rate| Bucket::new(rate, now));
        let (uploads, bytes) = (bucket(quota.uploads), bucket(quota.bytes));
        let used = Used { uploads, bytes, under_way: 0, others: Others::default() };
        Self { quota, used: Mutex::new(used) }
    }

    /// What it is the ledger of.
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Lets in a request with so many bytes, where that is known, that counts for so many uploads; `jobs` of the token have not come to their end here. `received` is what of
    /// its body will have come.
    pub fn enter(
        self: &Arc<Self>,
        token: &str,
        (announced, received): (Option<u64>, Arc<AtomicU64>),
        (count, jobs): (u64, usize),
        now: Instant,
    ) -> Result<Charge, QuotaError> {
        let (token, mut used) = (|| token.to_owned(), self.used.lock());
        if let Some(max) = self.quota.jobs
            && used.under_way as usize + jobs + at_once(&used.others) >= max as usize
        {
            return Err(QuotaError::TooManyJobs { token: token(), max });
        }
        let bytes = announced.unwrap_or(0);
        if let Some(rate) = self.quota.bytes
            && bytes > rate.amount
        {
            return Err(QuotaError::Never { token: token(), rate });
        }
        let used_up = |what, rate, after| QuotaError::UsedUp { token: token(), what, rate, after };
        let Used { uploads, bytes: sent, under_way, .. } = &mut *used;
        let mut uploads = uploads.as_mut().filter(|_| count > 0);
        if let Some(bucket) = &mut uploads {
            bucket.take(count, now).map_err(|after| used_up("uploads", bucket.rate, after))?;
        }
        if let Some(bucket) = sent {
            bucket.take(bytes, now).map_err(|after| {
                // What is refused is no upload.
                if let Some(uploads) = uploads {
                    uploads.settle(count, 0);
                }
                used_up("bytes", bucket.rate, after)
            })?;
        }
        *under_way += 1;
        Ok(Charge { ledger: Arc::clone(self), bytes, received })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut used = self.ledger.used.lock();
        used.under_way -= 1;
        if let Some(bucket) = &mut used.bytes {
            bucket.settle(self.bytes, self.received.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(uploads: Option<&str>, bytes: Option<&str>, jobs: Option<u32>, now: Instant) -> Arc<Ledger> {
        let rate = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        Arc::new(Ledger::new(Quota { uploads: rate(uploads), bytes: rate(bytes), jobs }, now))
    }

    fn enter(ledger: &Arc<Ledger>, announced: Option<u64>, now: Instant) -> Result<Charge, QuotaError> {
        ledger.enter("ci", (announced, Arc::default()), (1, 0), now)
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Rate>().map(|rate| (rate.amount, rate.per.as_secs()));
        assert_eq!(read("100/h"), Ok((100, 3600)));
        assert_eq!(read("10GiB/d"), Ok((10 << 30, 86_400)));
        assert_eq!(read("5 / 10m"), Ok((5, 600)));
        for bad in ["", "100", "/h", "0/h", "-1/h", "100/", "100/0s", "100/year", "1/100d", "x/h"] {
            assert_eq!(read(bad), Err(RateError(bad.into())), "{bad}");
        }
        for text in ["100/h", "10GiB/d", "5/90s"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string().parse(), Ok(rate), "{rate}");
        }
    }

    #[test]
    fn uploads_come_back_with_time() {
        let now = Instant::now();
        let ledger = ledger(Some("2/10s"), None, None, now);
        assert!(enter(&ledger, None, now).is_ok() && enter(&ledger, None, now).is_ok());
        let Err(QuotaError::UsedUp { what, after, .. }) = enter(&ledger, None, now) else { panic!() };
        assert_eq!((what, after), ("uploads", Duration::from_secs(5)));
        assert!(enter(&ledger, None, now + after).is_ok());
        assert!(enter(&ledger, None, now + after).is_err());
        // No more is saved up than there ever was.
        let late = now + Duration::from_secs(3600);
        assert!(enter(&ledger, None, late).is_ok() && enter(&ledger, None, late).is_ok());
        assert!(enter(&ledger, None, late).is_err());
    }

    #[test]
    fn bytes_are_paid_for_as_they_came() {
        let now = Instant::now();
        let ledger = ledger(Some("100/s"), Some("1000/10s"), None, now);
        assert!(matches!(enter(&ledger, Some(1001), now), Err(QuotaError::Never { .. })));
        // Announced, and given back where they did not come.
        drop(enter(&ledger, Some(900), now).unwrap());
        let came = Arc::new(AtomicU64::new(0));
        let charge = ledger.enter("ci", (Some(900), Arc::clone(&came)), (1, 0), now).unwrap();
        let refused = enter(&ledger, Some(200), now).unwrap_err();
        assert!(refused.to_string().contains("bytes, 1000/10s"), "{refused}");
        came.store(900, Ordering::Relaxed);
        drop(charge);
        assert!(enter(&ledger, Some(200), now).is_err());
        // Not announced: more than there is may come once, and is paid off before the next.
        let came = Arc::new(AtomicU64::new(2100));
        drop(ledger.enter("ci", (None, came), (1, 0), now).unwrap());
        let Err(QuotaError::UsedUp { after, .. }) = enter(&ledger, None, now) else { panic!() };
        assert_eq!(after.as_secs(), 20);
        assert!(enter(&ledger, Some(1), now + after).is_ok());
        // What was refused for its bytes took none of the uploads.
        assert!(ledger.used.lock().uploads.as_ref().unwrap().left >= 95.0);
    }

    #[test]
    fn jobs_at_once_are_uploads_and_what_became_of_them() {
        let now = Instant::now();
        let ledger = ledger(None, None, Some(2), now);
        let first = enter(&ledger, None, now).unwrap();
        let one_job = ledger.enter("ci", (None, Arc::default()), (1, 1), now);
        assert_eq!(one_job.unwrap_err(), QuotaError::TooManyJobs { token: "ci".into(), max: 2 });
        let _second = enter(&ledger, None, now).unwrap();
        assert!(enter(&ledger, None, now).is_err());
        drop(first);
        assert!(enter(&ledger, None, now).is_ok());
    }
}
