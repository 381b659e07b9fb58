use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::Fault;
use super::file::{self, ProfileFile};
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
    /// The file is not there or not readable.
    #[error("can't read the profile file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong; all of it is told.
    #[error("{}", Told(path, faults))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, by line.
        faults: Vec<Fault>,
    },
}

/// Faults as a compiler tells them: `FILE:LINE: what`, one a line.
struct Told<'a>(&'a Path, &'a [Fault]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.1.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{fault}", self.0.display())?;
        }
        Ok(())
    }
}

impl ProfileSet {
    /// The profiles that come with Starling.
    ///
    /// # Panics
    /// Never: a test parses the same text.
    #[expect(clippy::expect_used, reason = "the text is compiled in, and a test parses it")]
    pub fn builtin() -> Self {
        let file = file::read(include_str!("builtin.toml")).expect("the built-in profiles are valid");
        let (default, _) = file.default.expect("they have a default");
        Self { default, profiles: Arc::new(by_name(file.profiles)) }
    }

    /// The profiles that come with Starling and those of these files: one of a file takes the place of an older one of its name.
    pub fn with_files(paths: &[PathBuf]) -> Result<Self, ProfileSetError> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            text.map(|text| (path.clone(), text))
                .map_err(|source| ProfileSetError::Unreadable { path: path.clone(), source })
        };
        Self::with_texts(&paths.iter().map(read).collect::<Result<Vec<_>, _>>()?)
    }

    /// The same of their texts. A file with `builtin = false` leaves out what comes with Starling; of several defaults the last
    /// one counts.
    pub fn with_texts(texts: &[(PathBuf, String)]) -> Result<Self, ProfileSetError> {
        let Self { mut default, profiles } = Self::builtin();
        let (mut all, mut said) = ((*profiles).clone(), None);
        let mut files = Vec::new();
        for (path, text) in texts {
            let faulty = |faults| ProfileSetError::Faulty { path: path.clone(), faults };
            files.push((path, file::read(text).map_err(faulty)?));
        }
        if files.iter().any(|(_, file)| !file.builtin) {
            all.clear();
        }
        for (path, ProfileFile { default: named, profiles, .. }) in files {
            all.extend(by_name(profiles));
            if let Some((name, line)) = named {
                default = name;
                said = Some((path, line));
            }
        }
        if !all.contains_key(&default) {
            let what = match all.keys().map(ProfileName::as_str).collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "there is no profile, and builtin = false: define one".to_owned(),
                known => format!("default: {default} is not defined: give one of {known}"),
            };
            let (path, line) = said.or(texts.last().map(|(path, _)| (path, 1))).unzip();
            let faults = vec![Fault { line: line.unwrap_or(1), what }];
            return Err(ProfileSetError::Faulty { path: path.cloned().unwrap_or_default(), faults });
        }
        Ok(Self { default, profiles: Arc::new(all) })
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

fn by_name(profiles: Vec<Profile>) -> BTreeMap<ProfileName, Arc<Profile>> {
    profiles.into_iter().map(|profile| (profile.name.clone(), Arc::new(profile))).collect()
}
