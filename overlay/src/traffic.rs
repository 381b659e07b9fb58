//! How much gossip there is, by what its datagrams are for.

/// What a datagram is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatagramKind {
    /// Only news.
    #[default]
    News,
    /// A question whether a member lives.
    Ping,
    /// The answer.
    Ack,
    /// The same by way of another member.
    PingReq,
    /// Its answer.
    Relayed,
    /// Its answer where there is none yet.
    Nack,
    /// A node that wants to be a member.
    Join,
    /// A question who a sender is.
    Who,
    /// The answer to a join.
    Welcome,
    /// Digests of what is known.
    Ranges,
    /// What is known, of some members.
    Records,
}

impl DatagramKind {
    /// All of them, in their order.
    pub const ALL: [Self; 11] = [
        Self::News,
        Self::Ping,
        Self::Ack,
        Self::PingReq,
        Self::Relayed,
        Self::Nack,
        Self::Join,
        Self::Who,
        Self::Welcome,
        Self::Ranges,
        Self::Records,
    ];

    /// One word, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::News => "news",
            Self::Ping => "ping",
            Self::Ack => "ack",
            Self::PingReq => "ping_req",
            Self::Relayed => "relayed",
            Self::Nack => "nack",
            Self::Join => "join",
            Self::Who => "who",
            Self::Welcome => "welcome",
            Self::Ranges => "ranges",
            Self::Records => "records",
        }
    }
}

/// Datagrams of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub datagrams: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
}

/// Datagrams that went one way, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic([Volume; DatagramKind::ALL.len()]);

impl Traffic {
    pub(crate) fn count(&mut self, kind: DatagramKind, bytes: usize) {
        let volume = &mut self.0[kind as usize];
        volume.datagrams += 1;
        volume.bytes += bytes as u64;
    }

    /// Those of a kind.
    pub fn of(&self, kind: DatagramKind) -> Volume {
        self.0[kind as usize]
    }

    /// All of them.
    pub fn total(&self) -> Volume {
        self.0.iter().fold(Volume::default(), |sum, volume| Volume {
            datagrams: sum.datagrams + volume.datagrams,
            bytes: sum.bytes + volume.bytes,
        })
    }
}
