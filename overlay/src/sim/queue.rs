//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Time;

/// Things by time, and at one time in the order in which they were put in.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Time, number and place: the heap moves these about, and not the things.
    order: BinaryHeap<Reverse<(Time, u64, u32)>>,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self { order: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), pushed: 0 }
    }

    pub fn push(&mut self, at: Time, thing: T) {
        self.pushed += 1;
        let place = self.free.pop().unwrap_or(self.things.len() as u32);
        if place as usize == self.things.len() {
            self.things.push(Some(thing));
        } else {
            self.things[place as usize] = Some(thing);
        }
        self.order.push(Reverse((at, self.pushed, place)));
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<Time> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }

    pub fn pop(&mut self) -> Option<(Time, T)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        Some((at, self.things[place as usize].take()?))
    }
}
