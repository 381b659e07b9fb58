use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{Profile, ProfileName};

/// All profiles of a node, by name.
#[derive(Clone, Debug)]
pub struct ProfileSet {
    default: ProfileName,
    profiles: Arc<BTreeMap<ProfileName, Arc<Profile>>>,
}

/// A profile file that can't be used. Nothing of it was taken.
#[derive(Debug, thiserror::Error)]
pub enum ProfileSetError {
    /// Not TOML, or a field that is missing, unknown or of the wrong type.
    #[error("the profiles can't be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// Two profiles have one name.
    #[error("profile {0} is defined twice: remove one")]
    Twice(ProfileName),
    /// The default is not one of the profiles.
    #[error("the default profile {0} is not defined: define it, or name another")]
    NoDefault(ProfileName),
    /// A number out of its range.
    #[error("profile {name}: {what}")]
    OutOfRange {
        /// Which profile.
        name: ProfileName,
        /// Which number, and its range.
        what: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: ProfileName,
    profile: Vec<Profile>,
}

impl ProfileSet {
    /// The profiles that come with Starling.
    ///
    /// # Panics
    /// Never: a test parses the same text.
    #[expect(clippy::expect_used, reason = "the text is compiled in, and a test parses it")]
    pub fn builtin() -> Self {
        Self::from_toml(include_str!("builtin.toml")).expect("the built-in profiles are valid")
    }

    /// Reads and validates profiles.
    pub fn from_toml(text: &str) -> Result<Self, ProfileSetError> {
        let file: File = toml::from_str(text)?;
        let mut profiles = BTreeMap::new();
        for profile in file.profile {
            profile
                .validate()
                .map_err(|what| ProfileSetError::OutOfRange { name: profile.name.clone(), what })?;
            let name = profile.name.clone();
            if profiles.insert(name.clone(), Arc::new(profile)).is_some() {
                return Err(ProfileSetError::Twice(name));
            }
        }
        if !profiles.contains_key(&file.default) {
            return Err(ProfileSetError::NoDefault(file.default));
        }
        Ok(Self { default: file.default, profiles: Arc::new(profiles) })
    }

    /// The profile of this name.
    pub fn get(&self, name: &ProfileName) -> Option<Arc<Profile>> {
        self.profiles.get(name).cloned()
    }

    /// What a client gets who asks for nothing in particular.
    pub fn default_name(&self) -> &ProfileName {
        &self.default
    }

    /// All profiles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }
}
