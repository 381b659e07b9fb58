//! Which parts of the failure detector are at work. All of them, always: only experiments take one away, to see what it
//! is good for.

/// Parts of the failure detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Lifeguard's LHA-Probe: a member that does badly itself waits longer for answers.
    pub lha_probe: bool,
    /// Lifeguard's LHA-Suspicion: the time to refute begins long and shrinks with each confirmation.
    pub lha_suspicion: bool,
    /// Lifeguard's Buddy System: who is suspected hears of it first.
    pub buddy: bool,
    /// Who hears of a suspicion or a verdict probes for itself; nobody is declared dead on hearsay.
    pub hearsay_probes: bool,
    /// Waits for answers follow the RTT to that very member.
    pub rtt_timeouts: bool,
    /// As many tries as the loss calls for. Without: one ping, and one through others.
    pub retries: bool,
    /// Whoever was held up gives the others as much more time; who hears nobody at all does not doubt itself.
    pub own_silence: bool,
    /// Promises of a sign of life; a probe that fails begins others.
    pub promises: bool,
    /// Whoever is behind with its own timers does less, and needs more evidence against others.
    pub shedding: bool,
    /// Times to refute as this protocol has them. Without: Lifeguard's own (alpha 5, beta 6).
    pub short_suspicions: bool,
}

impl Parts {
    /// All of them.
    pub const ALL: Self = Self {
        lha_probe: true,
        lha_suspicion: true,
        buddy: true,
        hearsay_probes: true,
        rtt_timeouts: true,
        retries: true,
        own_silence: true,
        promises: true,
        shedding: true,
        short_suspicions: true,
    };
    /// None: SWIM with suspicion, as memberlist had it before Lifeguard.
    pub const SWIM: Self = Self {
        lha_probe: false,
        lha_suspicion: false,
        buddy: false,
        hearsay_probes: false,
        rtt_timeouts: false,
        retries: false,
        own_silence: false,
        promises: false,
        shedding: false,
        short_suspicions: false,
    };
    /// The three parts of Lifeguard alone.
    pub const LIFEGUARD: Self = Self { lha_probe: true, lha_suspicion: true, buddy: true, ..Self::SWIM };
}
