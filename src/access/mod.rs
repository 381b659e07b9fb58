//! Who may ask a node for what: tokens of clients, their scopes and quotas.
//!
//! Without a token file (`--token-file`) whoever reaches the port may ask for everything. With one, each public route needs a token
//! with a scope: the table of routes in `http` says which. A node keeps of each token its SHA-256, and reads the file
//! again when it changes.

mod file;
mod others;
mod quota;
mod scope;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hyper::header::HeaderMap;
use parking_lot::RwLock;
use starling_overlay::NodeName;

pub use file::{NewToken, Stamp, TokenEntry, TokenFile, TokenFileError};
pub use quota::{Charge, Ledger, Quota, QuotaError, Rate, RateError};
pub use scope::{Scope, ScopeError, listed};
pub use secret::{TokenHash, new_token, presented};

use crate::api::TokenUse;

/// Whom a node lets in.
#[derive(Debug, Default)]
pub struct Access {
    /// None: everybody.
    known: Option<RwLock<Known>>,
}

#[derive(Debug)]
struct Known {
    grants: Vec<Arc<Grant>>,
    stamp: Stamp,
}

/// A token that is known, and what it has used.
#[derive(Debug)]
pub struct Grant {
    entry: TokenEntry,
    ledger: Arc<Ledger>,
}

/// Why a request is not let in. Says nothing of which tokens there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No token.
    #[error(
        "this needs a token with scope {needed}: send it as Authorization: Bearer TOKEN (starling: --token or \
         STARLING_TOKEN); `starling token create` makes one"
    )]
    Missing {
        /// Scopes of which one is enough.
        needed: String,
    },
    /// None that this node knows.
    #[error(
        "the token is not known here: it was revoked, or this node does not have it in its --token-file yet"
    )]
    Unknown,
    /// It has ended.
    #[error("the token {name:?} ended at {at}: ask for a new one")]
    Expired {
        /// Its name.
        name: String,
        /// When.
        at: String,
    },
    /// It is good for other things.
    #[error("the token {name:?} is for {has} alone, and this needs {needed}: ask for one with that scope")]
    Scope {
        /// Its name.
        name: String,
        /// What it is good for.
        has: String,
        /// Scopes of which one would have been enough.
        needed: String,
    },
    /// It gets no more now.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl Grant {
    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Whether it is good for something that one of these is good for.
    pub fn admits(&self, needed: &[Scope]) -> bool {
        self.entry.scopes.iter().any(|scope| *scope == Scope::Admin || needed.contains(scope))
    }

    /// Whether everybody's jobs are its business.
    pub fn is_admin(&self) -> bool {
        self.entry.scopes.contains(&Scope::Admin)
    }

    fn is_bounded(&self) -> bool {
        self.entry.quota != Quota::default()
    }

    /// What it may have, and has had.
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Access {
    /// By this file, or for everybody.
    pub fn new(file: Option<&TokenFile>) -> Self {
        let known = file.map(|file| RwLock::new(Known { grants: grants(file, &[]), stamp: file.stamp }));
        Self { known }
    }

    /// Whether tokens are asked for.
    pub const fn is_on(&self) -> bool {
        self.known.is_some()
    }

    /// What the file was when it was read last.
    pub fn stamp(&self) -> Stamp {
        self.known.as_ref().map(|known| known.read().stamp).unwrap_or_default()
    }

    /// The file was read again. What tokens have used stays, where they may have as much as before.
    pub fn replace(&self, file: &TokenFile) {
        if let Some(known) = &self.known {
            let mut known = known.write();
            *known = Known { grants: grants(file, &known.grants), stamp: file.stamp };
        }
    }

    /// The file has changed, and can't be used: it is not looked at again until it changes once more.
    pub fn keep(&self, stamp: Stamp) {
        if let Some(known) = &self.known {
            known.write().stamp = stamp;
        }
    }

    /// Whether any token has a quota.
    pub fn has_quotas(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.read().grants.iter().any(|grant| grant.is_bounded()))
    }

    /// What each token with a quota has used here; `jobs` of a token of this name have not come to their end.
    pub fn used(&self, jobs: impl Fn(&str) -> usize) -> BTreeMap<String, TokenUse> {
        let (grants, now) = (self.bounded(), Instant::now());
        let used = |grant: Arc<Grant>| {
            let name = grant.name().to_owned();
            let used = grant.ledger.used(jobs(&name), now);
            (name, used)
        };
        grants.into_iter().map(used).collect()
    }

    /// Another node, since this start of it, tells what tokens have used there. Of tokens that are not known here nothing is kept.
    pub fn hear(&self, from: (&NodeName, u64), used: &BTreeMap<String, TokenUse>) {
        let now = Instant::now();
        for grant in self.bounded() {
            if let Some(told) = used.get(grant.name()) {
                grant.ledger.hear(from, *told, now);
            }
        }
    }

    /// Forgets what was heard of other nodes that are not there any more, by name and start.
    pub fn keep_others(&self, is_there: &impl Fn(&NodeName, u64) -> bool) {
        self.bounded().iter().for_each(|grant| grant.ledger.keep_others(is_there));
    }

    fn bounded(&self) -> Vec<Arc<Grant>> {
        let known = self.known.as_ref().map(RwLock::read);
        known.iter().flat_map(|known| &known.grants).filter(|grant| grant.is_bounded()).cloned().collect()
    }

    /// Whether a request may ask for what needs one of these scopes. None: no token is asked for.
    pub fn admit(&self, headers: &HeaderMap, needed: &[Scope]) -> Result<Option<Arc<Grant>>, AccessError> {
        self.admit_at(SystemTime::now(), headers, needed)
    }

    fn admit_at(
        &self,
        now: SystemTime,
        headers: &HeaderMap,
        needed: &[Scope],
    ) -> Result<Option<Arc<Grant>>, AccessError> {
        let Some(known) = &self.known else { return Ok(None) };
        let listed_needed = || listed(needed, " or ");
        let token = presented(headers).ok_or_else(|| AccessError::Missing { needed: listed_needed() })?;
        let hash = TokenHash::of(&token);
        let known = known.read();
        // All are compared, whichever it is.
        let found = known.grants.iter().fold(None, |found, grant| {
            if grant.entry.sha256.is(&hash) { Some(Arc::clone(grant)) } else { found }
        });
        let grant = found.ok_or(AccessError::Unknown)?;
        let name = || grant.entry.name.clone();
        if let Some(end) = grant.entry.expires.filter(|end| *end <= now) {
            let at = humantime::format_rfc3339_seconds(end).to_string();
            return Err(AccessError::Expired { name: name(), at });
        }
        if !grant.admits(needed) {
            let has = listed(&grant.entry.scopes, " and ");
            return Err(AccessError::Scope { name: name(), has, needed: listed_needed() });
        }
        Ok(Some(grant))
    }
}

fn grants(file: &TokenFile, before: &[Arc<Grant>]) -> Vec<Arc<Grant>> {
    let ledger = |entry: &TokenEntry| {
        let same = before
            .iter()
            .find(|grant| grant.entry.name == entry.name && *grant.ledger.quota() == entry.quota);
        same.map_or_else(
            || Arc::new(Ledger::new(entry.quota, Instant::now())),
            |grant| Arc::clone(&grant.ledger),
        )
    };
    let grant = |entry: &TokenEntry| Arc::new(Grant { ledger: ledger(entry), entry: entry.clone() });
    file.tokens.iter().map(grant).collect()
}
