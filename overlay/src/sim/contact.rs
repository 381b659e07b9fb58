//! Who can have heard of whom, directly or through others: what a node's belief that another one lives may rest on.

use crate::Time;

/// For each node and each other one: the last moment of the latter of which any word, from member to member, has come to
/// the former.
#[derive(Clone, Debug)]
pub(super) struct Contacts {
    nodes: usize,
    last: Vec<Time>,
}

impl Contacts {
    /// Of so many nodes, that have all heard of each other just now.
    pub fn new(nodes: usize, now: Time) -> Self {
        Self { nodes, last: vec![now; nodes * nodes] }
    }

    /// A datagram of `by` that it sent at this time has come to `node`. It may hold all that `by` had heard by then; what
    /// `by` has heard while it was on its way is taken for heard before.
    pub fn heard(&mut self, node: usize, by: usize, sent: Time) {
        let nodes = self.nodes;
        let row = |of: usize| of * nodes..(of + 1) * nodes;
        if node != by {
            let [mine, theirs] =
                self.last.get_disjoint_mut([row(node), row(by)]).expect("rows lie side by side");
            for (last, word) in mine.iter_mut().zip(theirs) {
                *last = (*word).min(sent).max(*last);
            }
        }
        // Of itself it heard when it sent this, whatever it had heard of itself through others.
        let of_itself = &mut self.last[node * nodes + by];
        *of_itself = sent.max(*of_itself);
    }

    /// The last moment of `other` that `node` can have heard of.
    pub fn last(&self, node: usize, other: usize) -> Time {
        self.last[node * self.nodes + other]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_goes_from_node_to_node_and_is_as_old_as_its_oldest_step() {
        let at = Time::from_micros;
        let mut contacts = Contacts::new(3, Time::ZERO);
        contacts.heard(1, 0, at(10));
        contacts.heard(2, 1, at(20));
        assert_eq!([contacts.last(2, 0), contacts.last(2, 1), contacts.last(0, 2)], [at(10), at(20), at(0)]);
        // Nothing newer of node 0 has come to node 1 since.
        contacts.heard(2, 1, at(30));
        assert_eq!([contacts.last(2, 0), contacts.last(2, 1)], [at(10), at(30)]);
        // An old datagram says nothing new.
        contacts.heard(1, 0, at(5));
        assert_eq!(contacts.last(1, 0), at(10));
    }
}
