use std::sync::Arc;

use proptest::prelude::*;

use super::super::index::Index;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u16),
    Pin(u8),
    Unpin(u8),
    Remove(u8),
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0u8..6;
    prop_oneof![
        (name.clone(), any::<u16>()).prop_map(|(name, bytes)| Step::Insert(name, bytes)),
        name.clone().prop_map(Step::Pin),
        name.clone().prop_map(Step::Unpin),
        name.prop_map(Step::Remove),
        Just(Step::Evict),
    ]
}

/// The same, done naively: a list in the order of use.
#[derive(Default)]
struct Model(Vec<(String, Arc<Meta>, usize)>);

impl Model {
    fn take(&mut self, name: &str) -> Option<(String, Arc<Meta>, usize)> {
        let at = self.0.iter().position(|(other, ..)| other == name)?;
        Some(self.0.remove(at))
    }
}

proptest! {
    #[test]
    fn the_index_is_a_list_in_the_order_of_use(steps in prop::collection::vec(step(), 0..200)) {
        let (mut index, mut model) = (Index::default(), Model::default());
        for step in steps {
            match step {
                Step::Insert(name, bytes) => {
                    let (name, meta) = (name.to_string(), meta(bytes.into()));
                    index.insert(&name, Arc::clone(&meta), None);
                    model.take(&name);
                    model.0.push((name, meta, 0));
                }
                Step::Pin(name) => {
                    let name = name.to_string();
                    let pinned = index.pin(&name);
                    let modelled = model.take(&name).map(|(name, meta, pins)| {
                        model.0.push((name, Arc::clone(&meta), pins + 1));
                        meta
                    });
                    prop_assert_eq!(pinned.map(|(meta, _)| meta), modelled);
                }
                Step::Unpin(name) => {
                    let name = name.to_string();
                    if let Some((_, meta, pins)) = model.0.iter_mut().find(|(other, ..)| *other == name) {
                        index.unpin(&name, meta);
                        *pins = pins.saturating_sub(1);
                    }
                }
                Step::Remove(name) => {
                    let name = name.to_string();
                    prop_assert_eq!(index.remove(&name), model.take(&name).is_some());
                }
                Step::Evict => {
                    let oldest = model.0.iter().find(|(.., pins)| *pins == 0).map(|(name, ..)| name.clone());
                    if let Some(name) = &oldest {
                        model.take(name);
                    }
                    prop_assert_eq!(index.evict_one(), oldest);
                }
            }
            prop_assert_eq!(index.len(), model.0.len());
            let bytes: u64 = model.0.iter().map(|(_, meta, _)| meta.bytes.next_multiple_of(4096) + 8192).sum();
            prop_assert_eq!(index.bytes(), bytes);
        }
    }
}
