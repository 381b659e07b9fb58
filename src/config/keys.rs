//! The file with the cluster's keys.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use starling_overlay::{Keyring, KeyringError};

/// A key file and what stood in it when it was read last.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// The keys in it.
    pub keys: Keyring,
    /// Whether others than its owner may read it.
    pub exposed: bool,
}

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not there, or not readable.
    #[error("--key-file (STARLING_KEY_FILE): can't read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a keyring.
    #[error("--key-file (STARLING_KEY_FILE): {path}: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which line, and what was expected.
        source: KeyringError,
    },
}

impl KeyFile {
    /// Reads it.
    pub fn read(path: PathBuf) -> Result<Self, KeyFileError> {
        let read = std::fs::read_to_string(&path)
            .and_then(|text| Ok((text, std::fs::metadata(&path)?.permissions().mode() & 0o077 != 0)));
        match read {
            Err(source) => Err(KeyFileError::Unreadable { path, source }),
            Ok((text, exposed)) => match Keyring::parse(&text) {
                Ok(keys) => Ok(Self { path, keys, exposed }),
                Err(source) => Err(KeyFileError::Invalid { path, source }),
            },
        }
    }

    /// Reads it again.
    pub fn again(&self) -> Result<Self, KeyFileError> {
        Self::read(self.path.clone())
    }
}
