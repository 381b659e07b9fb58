//! Rules of our own in a namespace's firewall: a table (nft) or chains (iptables) that hold nothing else, and go with us.

mod iptables;
mod nft;

use std::io;

use ipnet::IpNet;

use crate::ShapeError;
use crate::command::CommandError;
use crate::netns::Netns;

/// What becomes of packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// They wait in this queue for a verdict. While nobody listens there they pass (`bypass`).
    Queue(u16),
    /// This share of them is lost.
    Drop(f64),
    /// This share of them is sent twice. Only nft can.
    Duplicate(f64),
    /// No later rule of ours is for them.
    Pass,
}

/// Which packets of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packets {
    All,
    /// Those of ping.
    Echo,
    /// Those of ping, and of IPv6 finding neighbours.
    EchoAndNeighbours,
}

/// What to do with some packets. The first rule that matches counts, unless it lets a packet go on by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    /// The other end. All of its family where the prefix is empty.
    pub net: IpNet,
    pub packets: Packets,
    pub target: Target,
}

/// What to do with the packets of one device.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rules {
    /// By source, where packets arrive.
    pub inbound: Vec<Rule>,
    /// By destination, where packets leave.
    pub outbound: Vec<Rule>,
}

impl Rule {
    pub fn new(net: IpNet, packets: Packets, target: Target) -> Self {
        Self { net, packets, target }
    }

    fn is_v4(&self) -> bool {
        self.net.addr().is_ipv4()
    }

    fn any_address(&self) -> bool {
        self.net.prefix_len() == 0
    }
}

/// The tool that works here: a kernel may lack the queue statement of nft, or the one of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nft,
    Iptables,
}

/// Rules in force; gone when dropped.
pub(crate) struct Firewall {
    netns: Netns,
    device: String,
    kind: Kind,
    rules: Rules,
}

impl Firewall {
    /// Installs rules for the packets of one device, in place of any that an earlier run left.
    pub fn install(netns: &Netns, device: &str, rules: Rules) -> Result<Self, ShapeError> {
        let kind = netns.run(|| {
            let Err(nft) = nft::install(device, &rules) else { return Ok(Ok(Kind::Nft)) };
            let Err(iptables) = iptables::install(device, &rules) else { return Ok(Ok(Kind::Iptables)) };
            Ok(Err(CommandError::Refused {
                command: "neither nft nor iptables takes the rules".to_owned(),
                message: format!("{nft}; {iptables}"),
            }))
        })??;
        Ok(Self { netns: netns.clone(), device: device.to_owned(), kind, rules })
    }

    /// Replaces the rules, if others are wanted.
    pub fn set(&mut self, rules: Rules) -> Result<(), ShapeError> {
        if self.rules == rules {
            return Ok(());
        }
        self.netns.run(|| {
            Ok(match self.kind {
                Kind::Nft => nft::install(&self.device, &rules),
                Kind::Iptables => iptables::install(&self.device, &rules),
            })
        })??;
        self.rules = rules;
        Ok(())
    }

    /// `nft` or `iptables`.
    pub fn tool(&self) -> &'static str {
        match self.kind {
            Kind::Nft => "nft",
            Kind::Iptables => "iptables",
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if let Err(error) = remove_leftover(&self.netns) {
            tracing::debug!(%error, "rules could not be removed; is the namespace gone?");
        }
    }
}

/// Removes our rules from a namespace, whoever left them. Says whether there were any.
pub(crate) fn remove_leftover(netns: &Netns) -> io::Result<bool> {
    netns.run(|| {
        let nft = nft::remove();
        let iptables = iptables::remove();
        Ok(nft || iptables)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let rule = |net: &str, packets, target| Rule::new(net.parse().unwrap(), packets, target);
        Rules {
            inbound: vec![
                rule("0.0.0.0/0", Packets::EchoAndNeighbours, Target::Pass),
                rule("::/0", Packets::EchoAndNeighbours, Target::Pass),
                rule("10.77.1.0/24", Packets::All, Target::Queue(23056)),
                rule("fd77:0:0:1::/64", Packets::All, Target::Queue(23057)),
                rule("10.77.2.0/24", Packets::All, Target::Drop(0.3)),
            ],
            outbound: vec![
                rule("10.77.1.0/24", Packets::Echo, Target::Queue(23310)),
                rule("10.77.3.13/32", Packets::All, Target::Duplicate(0.2)),
                rule("10.77.3.13/32", Packets::All, Target::Pass),
                rule("fd77:0:0:3::/64", Packets::All, Target::Drop(1.0)),
            ],
        }
    }

    #[test]
    fn nft_rules_are_a_table_of_their_own() {
        insta::assert_snapshot!(nft::script("eth0", &rules()));
    }

    #[test]
    fn iptables_rules_are_chains_of_their_own() {
        let mut rules = rules();
        rules.outbound.retain(|rule| !matches!(rule.target, Target::Duplicate(_)));
        let script = |v4| iptables::script(&rules, v4).unwrap();
        insta::assert_snapshot!(script(true) + &script(false));
    }

    #[test]
    fn iptables_cannot_duplicate() {
        assert!(iptables::script(&rules(), true).unwrap_err().to_string().contains("nftables"));
    }
}
