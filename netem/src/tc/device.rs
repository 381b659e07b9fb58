//! Runs the commands on a real device, and never touches a qdisc that someone else set.

use serde::Deserialize;

use super::commands::{ClassTree, ROOT};
use crate::command::{CommandError, TC};
use crate::firewall::{Firewall, Packets, Rule, Rules, Target};
use crate::netns::Netns;
use crate::{Plan, ShapeError};

/// A device that is shaped until it is dropped.
pub(crate) struct Device {
    netns: Netns,
    name: String,
    tree: ClassTree,
    /// Losses in the direction that this end does not shape.
    firewall: Option<Firewall>,
}

#[derive(Deserialize)]
struct Qdisc {
    kind: String,
    handle: String,
    #[serde(default)]
    root: bool,
}

/// Whose qdisc is at the root.
enum Root {
    /// The kernel's own default: it comes back when ours goes.
    Default,
    /// Ours, of a run that is gone.
    Ours,
    /// Someone's.
    Foreign(String),
}

impl Device {
    /// Takes the device over. A tree that an earlier run left is replaced.
    pub fn create(netns: &Netns, name: &str) -> Result<Self, ShapeError> {
        match root(netns, name)? {
            Root::Default => {}
            Root::Ours => batch(netns, &ClassTree::remove(name))?,
            Root::Foreign(qdisc) => return Err(ShapeError::ForeignQdisc { device: name.to_owned(), qdisc }),
        }
        batch(netns, &ClassTree::create(name))?;
        Ok(Self { netns: netns.clone(), name: name.to_owned(), tree: ClassTree::default(), firewall: None })
    }

    /// Makes the device do what the plan says.
    pub fn update(&mut self, plan: &Plan) -> Result<(), ShapeError> {
        self.update_firewall(plan)?;
        let mut tree = self.tree.clone();
        let lines = tree.update(&self.name, plan);
        if lines.is_empty() {
            return Ok(());
        }
        if let Err(error) = batch(&self.netns, &lines) {
            // Half of a batch may be in force; only a fresh tree is known for sure.
            self.rebuild(plan).map_err(|_| error)?;
            return Ok(());
        }
        self.tree = tree;
        Ok(())
    }

    fn update_firewall(&mut self, plan: &Plan) -> Result<(), ShapeError> {
        let rules = firewall_rules(plan);
        match &mut self.firewall {
            Some(firewall) if rules != Rules::default() => firewall.set(rules)?,
            None if rules != Rules::default() => {
                self.firewall = Some(Firewall::install(&self.netns, &self.name, rules)?);
            }
            _ => self.firewall = None,
        }
        Ok(())
    }

    fn rebuild(&mut self, plan: &Plan) -> Result<(), ShapeError> {
        let mut tree = ClassTree::default();
        let mut lines = ClassTree::remove(&self.name);
        lines.extend(ClassTree::create(&self.name));
        lines.extend(tree.update(&self.name, plan));
        batch(&self.netns, &lines)?;
        self.tree = tree;
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = remove_leftover(&self.netns, &self.name) {
            tracing::debug!(device = self.name, %error, "the device could not be restored; is it gone?");
        }
    }
}

/// What the kernel's netem is not for: losses in the other direction; and duplicates, since it refuses those where several
/// netems share a device (and had holes there before it did).
fn firewall_rules(plan: &Plan) -> Rules {
    // The first match counts: each network's packets end with a Pass, before a wider one has its say.
    let side = |share: fn(&crate::Rule) -> f64, target: fn(f64) -> Target| {
        if plan.rules.iter().all(|rule| share(rule) <= 0.0) {
            return Vec::new();
        }
        let rules = plan.rules.iter().flat_map(|rule| {
            let chance = (share(rule) > 0.0).then(|| Rule::new(rule.net, Packets::All, target(share(rule))));
            chance.into_iter().chain([Rule::new(rule.net, Packets::All, Target::Pass)])
        });
        rules.collect()
    };
    Rules {
        inbound: side(|rule| rule.loss_back, Target::Drop),
        outbound: side(|rule| rule.profile.duplicate, Target::Duplicate),
    }
}

/// Takes our tree off a device, if it has one. Says whether it had.
pub(crate) fn remove_leftover(netns: &Netns, device: &str) -> Result<bool, ShapeError> {
    let ours = matches!(root(netns, device)?, Root::Ours);
    if ours {
        batch(netns, &ClassTree::remove(device))?;
    }
    Ok(ours)
}

/// Whether this kernel has netem, tried on a device that is about to be shaped.
pub(crate) fn probe(netns: &Netns, device: &str) -> Result<(), String> {
    match root(netns, device) {
        Err(error) => return Err(error.to_string()),
        Ok(Root::Foreign(qdisc)) => {
            return Err(ShapeError::ForeignQdisc { device: device.to_owned(), qdisc }.to_string());
        }
        Ok(Root::Ours) => return Ok(()),
        Ok(Root::Default) => {}
    }
    let tried =
        batch(netns, &[format!("qdisc add dev {device} root handle {ROOT} netem delay 0ms limit 1000")]);
    let removed = remove_leftover(netns, device);
    match (tried, removed) {
        (Ok(()), Ok(_)) => Ok(()),
        (Err(error), _) | (Ok(()), Err(error)) => Err(format!("no kernel netem: {error}")),
    }
}

fn root(netns: &Netns, device: &str) -> Result<Root, ShapeError> {
    let text = netns.run(|| Ok(TC.run(&["-json", "qdisc", "show", "dev", device], "")))??;
    let qdiscs: Vec<Qdisc> = serde_json::from_str(text.trim()).map_err(|error| CommandError::Refused {
        command: format!("tc -json qdisc show dev {device}"),
        message: format!("its answer is not understood: {error}"),
    })?;
    let root = qdiscs.into_iter().find(|qdisc| qdisc.root);
    Ok(match root {
        Some(qdisc) if qdisc.handle == ROOT => Root::Ours,
        // What the kernel attaches by itself has the handle 0.
        Some(qdisc) if qdisc.handle != "0:" => Root::Foreign(format!("{} {}", qdisc.kind, qdisc.handle)),
        _ => Root::Default,
    })
}

fn batch(netns: &Netns, lines: &[String]) -> Result<(), ShapeError> {
    let mut input = lines.join("\n");
    input.push('\n');
    tracing::debug!(commands = %lines.join("; "), "tc");
    netns.run(|| Ok(TC.run(&["-batch", "-"], &input)))??;
    Ok(())
}
