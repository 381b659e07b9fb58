//! The file with the cluster's keys.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use starling_overlay::{KEY_BYTES, Keyring, KeyringError};

use crate::draft;

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

/// Why a key file was not made. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum NewKeyFileError {
    /// There is one, and it stays as it is.
    #[error("there is a key file {path} already: it is left as it is")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder can't be written, or is not there.
    #[error("can't make the key file {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyFile {
    /// A new key, as a line of a key file.
    pub fn new_line() -> String {
        let key: [u8; KEY_BYTES] = rand::random();
        format!("{}\n", Keyring::line(&key))
    }

    /// Makes a file with a new key that its owner alone can read. It is there whole or not at all, and never instead of
    /// another one.
    pub fn create(path: &Path) -> Result<(), NewKeyFileError> {
        let unwritable = |source| NewKeyFileError::Unwritable { path: path.to_owned(), source };
        let mut file = draft::beside(path, 0o600).map_err(unwritable)?;
        file.write_all(Self::new_line().as_bytes()).map_err(unwritable)?;
        file.as_file().sync_all().map_err(unwritable)?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(NewKeyFileError::Exists { path: path.to_owned() })
            }
            Err(error) => Err(unwritable(error.error)),
        }
    }

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

    /// What tells the keys apart without giving them away, in the order of the file: the first one seals. For the log, to
    /// be compared between nodes.
    pub fn fingerprints(&self) -> String {
        let names: Vec<String> = self.keys.keys().iter().map(fingerprint).collect();
        names.join(",")
    }

    /// Reads it again.
    pub fn again(&self) -> Result<Self, KeyFileError> {
        Self::read(self.path.clone())
    }

    /// Says in the log that its keys are in use now.
    pub fn tell_in_use(&self) {
        tracing::info!(
            file = %self.path.display(),
            keys = self.keys.keys().len(),
            fingerprints = self.fingerprints(),
            "keys read again"
        );
    }
}

/// The first eight hex digits of a SHA-256 that nothing else is made of.
fn fingerprint(key: &[u8; KEY_BYTES]) -> String {
    let digest = Sha256::new().chain_update(b"starling key fingerprint").chain_update(key).finalize();
    format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_file_is_whole_private_and_never_in_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| KeyFile::create(&path).is_ok())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1, "one of them made it");
        let file = KeyFile::read(path.clone()).unwrap();
        assert_eq!((file.exposed, file.keys.keys().len()), (false, 1));
        assert!(matches!(KeyFile::create(&path), Err(NewKeyFileError::Exists { .. })));
        assert_eq!(KeyFile::read(path).unwrap().keys, file.keys);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        let nowhere = KeyFile::create(&folder.path().join("none/cluster.key"));
        let told = nowhere.unwrap_err().to_string();
        let folder = folder.path().join("none");
        let expected = format!("{}/cluster.key: there is no folder {}", folder.display(), folder.display());
        assert!(told.ends_with(&expected), "{told}");
    }
}
