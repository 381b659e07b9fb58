//! How work on a job ends where it has no result. What a client is told of it, with which status, is decided where clients are
//! answered; between nodes it travels as it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::profile::ProfileName;

/// The least that a client is told to stay away.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Why work on a job has no result. As a document it has a `code` and its figures; times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum WorkError {
    /// No node has time for it now.
    #[error("no node has time for it now; one may have in {retry_after:.1?}")]
    Saturated {
        /// When a place is expected.
        #[serde(rename = "retry_after_ms", with = "millis")]
        retry_after: Duration,
    },
    /// This node is leaving: the job is to be done by another one.
    #[error("this node is shutting down")]
    Draining,
    /// The request's deadline passed first.
    #[error("its deadline passed first")]
    TooLate,
    /// It takes longer than the request allows, also on a node that has nothing else to do.
    #[error("it takes about {needs:.1?}, which is more than its request allows")]
    TooShort {
        /// From the request's arrival to its result, as estimated.
        #[serde(rename = "needs_ms", with = "millis")]
        needs: Duration,
    },
    /// The verdict on the video: no node makes anything of it.
    #[error("the video can't be used: {why}")]
    Unusable {
        /// In the words of the tool that refuses it.
        why: String,
    },
    /// A tool came to grief over it. The video may be to blame, or the node: a second node can tell.
    #[error("not done, and it may be the video's fault: {how}")]
    Crashed {
        /// Which tool, and how.
        how: String,
    },
    /// This node lacks what its profile takes.
    #[error("profile {profile} can't be made here: {lack}")]
    Unavailable {
        /// The profile.
        profile: ProfileName,
        /// What is lacking, and what to do.
        lack: String,
    },
    /// There is no room on this node's disk.
    #[error("this node's disk is full")]
    DiskFull,
    /// A fault of this node.
    #[error("a fault of this node: {what}")]
    Fault {
        /// Which one; its log has the details.
        what: String,
    },
}

impl WorkError {
    /// A fault of this node.
    pub fn fault(what: impl Into<String>) -> Self {
        Self::Fault { what: what.into() }
    }

    /// The verdict on a video.
    pub fn unusable(why: impl Into<String>) -> Self {
        Self::Unusable { why: why.into() }
    }

    /// The code that it travels by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Saturated { .. } => "saturated",
            Self::Draining => "draining",
            Self::TooLate => "too-late",
            Self::TooShort { .. } => "too-short",
            Self::Unusable { .. } => "unusable",
            Self::Crashed { .. } => "crashed",
            Self::Unavailable { .. } => "unavailable",
            Self::DiskFull => "disk-full",
            Self::Fault { .. } => "fault",
        }
    }

    /// Whether a request that has more time may fare better.
    pub const fn is_want_of_time(&self) -> bool {
        matches!(self, Self::Saturated { .. } | Self::TooLate | Self::TooShort { .. })
    }

    /// Whether it is about the job itself, so that it concerns whoever asked for it: any other node would say the same, or (after a
    /// crash) may. All else is about the node that says it.
    pub const fn is_of_the_job(&self) -> bool {
        matches!(self, Self::Unusable { .. } | Self::Crashed { .. })
    }

    /// When to try again, where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Saturated { retry_after } => Some((*retry_after).max(RETRY_AFTER_MIN)),
            Self::Draining => Some(RETRY_AFTER_MIN),
            _ => None,
        }
    }
}

/// Durations as whole milliseconds, upwards.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = time.as_nanos().div_ceil(1_000_000);
        serializer.serialize_u64(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_travels_as_a_code_and_its_figures() {
        let ms = Duration::from_millis;
        let cases = [
            (
                WorkError::Saturated { retry_after: ms(2_300) },
                r#"{"code":"saturated","retry_after_ms":2300}"#,
            ),
            (WorkError::Draining, r#"{"code":"draining"}"#),
            (WorkError::TooLate, r#"{"code":"too-late"}"#),
            (WorkError::TooShort { needs: ms(7) }, r#"{"code":"too-short","needs_ms":7}"#),
            (WorkError::unusable("no video"), r#"{"code":"unusable","why":"no video"}"#),
            (WorkError::Crashed { how: "signal 11".into() }, r#"{"code":"crashed","how":"signal 11"}"#),
            (
                WorkError::Unavailable { profile: "av1".parse().unwrap(), lack: "libsvtav1".into() },
                r#"{"code":"unavailable","profile":"av1","lack":"libsvtav1"}"#,
            ),
            (WorkError::DiskFull, r#"{"code":"disk-full"}"#),
            (WorkError::fault("x"), r#"{"code":"fault","what":"x"}"#),
        ];
        for (error, json) in cases {
            assert_eq!(serde_json::to_string(&error).unwrap(), json);
            assert!(json.starts_with(&format!(r#"{{"code":"{}""#, error.code())), "{json}");
            assert_eq!(serde_json::from_str::<WorkError>(json).unwrap(), error);
        }
        // Never sooner than it was meant, and no figure that can't be written.
        let upwards = WorkError::Saturated { retry_after: Duration::from_nanos(1) };
        assert!(serde_json::to_string(&upwards).unwrap().ends_with(":1}"));
        assert!(serde_json::to_string(&WorkError::Saturated { retry_after: Duration::MAX }).is_ok());
    }

    #[test]
    fn what_helps_is_to_come_back_where_time_was_wanting() {
        assert_eq!(WorkError::Draining.retry_after(), Some(RETRY_AFTER_MIN));
        let soon = WorkError::Saturated { retry_after: Duration::ZERO };
        assert_eq!(soon.retry_after(), Some(RETRY_AFTER_MIN));
        assert_eq!(WorkError::DiskFull.retry_after(), None);
        assert!(WorkError::TooLate.is_want_of_time() && !WorkError::Draining.is_want_of_time());
    }
}
