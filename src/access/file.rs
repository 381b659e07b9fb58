//! The file with the tokens' hashes: TOML, a `[[token]]` each, written by `starling token` and read by nodes.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, Gid, Uid, fchown, flock};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::quota::Quota;
use super::scope::Scope;
use super::secret::{TokenHash, new_token};
use crate::draft;

/// Longest name of a token.
const NAME_BYTES_MAX: usize = 64;
/// Tokens in a file: each request compares with all.
const TOKENS_MAX: usize = 1024;
/// Larger than a file of so many is.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenEntry {
    /// Whose it is: the same at every node, and in their logs.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: TokenHash,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time")]
    pub created: Option<SystemTime>,
    /// When it ends; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time")]
    pub expires: Option<SystemTime>,
    /// How much it may have.
    #[serde(default, skip_serializing_if = "is_unlimited")]
    pub quota: Quota,
}

fn is_unlimited(quota: &Quota) -> bool {
    *quota == Quota::default()
}

mod time {
    use super::{Deserialize, Deserializer, Serializer, SystemTime};

    #[expect(clippy::ref_option, reason = "so serde calls it")]
    pub(super) fn serialize<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.collect_str(&humantime::format_rfc3339_seconds(*time)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339_weak(&text).map(Some).map_err(|error| {
            serde::de::Error::custom(format!(
                "{text:?}: {error}; give a time such as \"2027-01-31T00:00:00Z\""
            ))
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    token: Vec<TokenEntry>,
}

/// A token file and what stood in it when it was read.
#[derive(Clone, Debug)]
pub struct TokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its tokens.
    pub tokens: Vec<TokenEntry>,
    /// Whether others than its owner may change it.
    pub writable: bool,
    /// By what it is seen that it changed.
    pub stamp: Stamp,
}

/// What a file was when it was looked at: another one, or another text, has another. Of a file that is not there, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, i64, i64)>);

impl Stamp {
    /// Of the file that is there now.
    pub fn of(path: &Path) -> Self {
        Self(
            std::fs::metadata(path)
                .ok()
                .map(|meta| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())),
        )
    }
}

/// Why a token file can't be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// Not there, or not readable.
    #[error(
        "--token-file (STARLING_TOKEN_FILE): can't read {path}: {source}; `starling token create` makes it"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not the TOML expected.
    #[error("--token-file (STARLING_TOKEN_FILE): {path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        reason: String,
    },
    /// The folder can't be written, or is not there.
    #[error("can't write {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is one of this name.
    #[error("{path} has a token {name:?} already: give another name, or revoke that one first")]
    Exists {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// There is none of this name.
    #[error("{path} has no token {name:?}: it has {known}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires: Option<SystemTime>,
    /// How much it may have.
    pub quota: Quota,
}

impl TokenFile {
    /// Reads it.
    pub fn read(path: PathBuf) -> Result<Self, TokenFileError> {
        // Looked at before: a change after that is seen the next time.
        let stamp = Stamp::of(&path);
        match read_text(&path) {
            Err(source) => Err(TokenFileError::Unreadable { path, source }),
            Ok((text, mode)) => match parse(&text) {
                Ok(tokens) => Ok(Self { path, tokens, writable: mode & 0o022 != 0, stamp }),
                Err(reason) => Err(TokenFileError::Invalid { path, reason }),
            },
        }
    }

    /// Puts a new token into the file, which is made if there is none, and answers with the token: it is written nowhere.
    pub fn create(path: &Path, new: NewToken) -> Result<String, TokenFileError> {
        let _lock = lock(path)?;
        let mut text = text_or_none(path)?;
        let known = parse(&text).map_err(|reason| TokenFileError::Invalid { path: path.into(), reason })?;
        if known.iter().any(|entry| entry.name == new.name) {
            return Err(TokenFileError::Exists { path: path.into(), name: new.name });
        }
        let token = new_token();
        let NewToken { name, scopes, expires, quota } = new;
        let (sha256, created) = (TokenHash::of(&token), Some(SystemTime::now()));
        let entry = TokenEntry { name, sha256, scopes, created, expires, quota };
        let invalid = |reason: String| TokenFileError::Invalid { path: path.into(), reason };
        let entry =
            toml::to_string(&Document { token: vec![entry] }).map_err(|error| invalid(error.to_string()))?;
        if text.is_empty() {
            text.push_str("# Tokens of clients, by their SHA-256: `starling token` writes this, nodes read it (--token-file).\n");
        }
        text.push('\n');
        text.push_str(&entry);
        parse(&text).map_err(invalid)?;
        replace(path, &text)?;
        Ok(token)
    }

    /// Takes the token of this name out of the file; all else in it stays as it is.
    pub fn revoke(path: &Path, name: &str) -> Result<(), TokenFileError> {
        let _lock = lock(path)?;
        let text = text_or_none(path)?;
        let invalid = |reason: String| TokenFileError::Invalid { path: path.into(), reason };
        let mut tokens = parse(&text).map_err(invalid)?;
        let before = tokens.len();
        tokens.retain(|entry| entry.name != name);
        if tokens.len() == before {
            let known = tokens.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(TokenFileError::Unknown { path: path.into(), name: name.into(), known });
        }
        let shorter = without(&text, name);
        // Where tables do not stand as they are written here, what people wrote beside them goes.
        let text = match parse(&shorter) {
            Ok(left) if left == tokens => shorter,
            _ => toml::to_string(&Document { token: tokens }).map_err(|error| invalid(error.to_string()))?,
        };
        replace(path, &text)
    }
}

/// The text without the table of this token.
fn without(text: &str, name: &str) -> String {
    let mut blocks = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.trim() == "[[token]]" {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
        }
    }
    let is_named =
        |block: &String| parse(block).is_ok_and(|tokens| tokens.iter().any(|entry| entry.name == name));
    blocks.into_iter().filter(|block| !is_named(block)).collect()
}

fn parse(text: &str) -> Result<Vec<TokenEntry>, String> {
    let tokens = toml::from_str::<Document>(text).map_err(|error| error.to_string())?.token;
    if tokens.len() > TOKENS_MAX {
        return Err(format!("{} tokens: at most {TOKENS_MAX} may be in a file", tokens.len()));
    }
    for (at, entry) in tokens.iter().enumerate() {
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        if !(1..=NAME_BYTES_MAX).contains(&entry.name.len()) || !entry.name.chars().all(named) {
            return Err(format!(
                "{:.80?} is no name of a token: give 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ - @",
                entry.name
            ));
        }
        if entry.scopes.is_empty() {
            return Err(format!("token {:?} has no scopes: give upload, read, metrics or admin", entry.name));
        }
        if entry.quota.jobs == Some(0) {
            return Err(format!("token {:?}: jobs = 0 would let nothing in: give 1 or more", entry.name));
        }
        if tokens[..at].iter().any(|other| other.name == entry.name || other.sha256 == entry.sha256) {
            return Err(format!(
                "token {:?} is there twice: give each a name and a hash of its own",
                entry.name
            ));
        }
    }
    Ok(tokens)
}

fn read_text(path: &Path) -> io::Result<(String, u32)> {
    let meta = std::fs::metadata(path)?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok((std::fs::read_to_string(path)?, meta.permissions().mode()))
}

fn text_or_none(path: &Path) -> Result<String, TokenFileError> {
    match read_text(path) {
        Ok((text, _)) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(TokenFileError::Unreadable { path: path.into(), source }),
    }
}

/// One writer at a time, by the folder's lock: the file itself is replaced.
fn lock(path: &Path) -> Result<File, TokenFileError> {
    let locked = File::open(draft::folder_of(path)).and_then(|folder| {
        flock(folder.as_fd(), FlockOperation::LockExclusive)?;
        Ok(folder)
    });
    locked.map_err(|source| TokenFileError::Unwritable { path: path.into(), source })
}

/// The file is there whole, old or new. It stays its owner's, and readable as it was: nodes that run as another user read it. No
/// secret is in it.
fn replace(path: &Path, text: &str) -> Result<(), TokenFileError> {
    let unwritable = |source| TokenFileError::Unwritable { path: path.into(), source };
    let write = || {
        let mut file = draft::beside(path, 0o600)?;
        file.write_all(text.as_bytes())?;
        let mode = match std::fs::metadata(path) {
            Ok(meta) => {
                if rustix::process::geteuid().is_root() {
                    fchown(file.as_file(), Some(Uid::from_raw(meta.uid())), Some(Gid::from_raw(meta.gid())))?;
                }
                meta.permissions().mode() & 0o777
            }
            Err(_) => 0o644,
        };
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewToken {
        let quota = Quota { uploads: Some("100/h".parse().unwrap()), bytes: None, jobs: Some(4) };
        NewToken { name: name.into(), scopes: vec![Scope::Upload], expires: None, quota }
    }

    #[test]
    fn tokens_are_made_and_revoked_and_the_rest_of_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let token = TokenFile::create(&path, new("ci")).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "# a note\n").unwrap();
        let expires = humantime::parse_rfc3339("2030-01-31T00:00:00Z").unwrap();
        TokenFile::create(&path, NewToken { expires: Some(expires), ..new("web") }).unwrap();
        let file = TokenFile::read(path.clone()).unwrap();
        let names: Vec<_> = file.tokens.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!((names, file.writable), (vec!["ci", "web"], false));
        assert!(file.tokens[0].sha256.is(&TokenHash::of(&token)));
        assert_eq!(file.tokens[1].expires, Some(expires));
        assert_eq!(file.tokens[1].quota, new("x").quota);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# a note") && !text.contains(&token), "{text}");
        let again = TokenFile::create(&path, new("ci")).unwrap_err();
        assert!(matches!(again, TokenFileError::Exists { .. }), "{again}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        TokenFile::revoke(&path, "web").unwrap();
        let left = TokenFile::read(path.clone()).unwrap();
        assert_eq!(left.tokens, file.tokens[..1]);
        assert_ne!(left.stamp, file.stamp);
        assert!(std::fs::read_to_string(&path).unwrap().contains("# a note"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let gone = TokenFile::revoke(&path, "web").unwrap_err().to_string();
        assert!(gone.contains("no token \"web\": it has ci"), "{gone}");
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || TokenFile::create(path, new(&format!("t{n}"))).unwrap());
            }
        });
        assert_eq!(TokenFile::read(path).unwrap().tokens.len(), 8);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let hash = "0".repeat(64);
        let entry = |rest: &str| format!("[[token]]\nsha256 = \"{hash}\"\n{rest}\n");
        let named = entry("name = \"a\"\nscopes = [\"read\"]");
        for (text, told) in [
            (entry("name = \"a\"\nscopes = []"), "has no scopes"),
            (entry("name = \"a b\"\nscopes = [\"read\"]"), "is no name of a token"),
            (entry("name = \"a\"\nscopes = [\"write\"]"), "unknown variant `write`"),
            (entry("name = \"a\"\nscopes = [\"read\"]\nquota.bytes = \"lots\""), "is no rate"),
            (entry("name = \"a\"\nscopes = [\"read\"]\nquota.jobs = 0"), "would let nothing in"),
            (entry("name = \"a\"\nscopes = [\"read\"]\nexpires = \"soon\""), "give a time such as"),
            (entry("name = \"a\"\nscopes = [\"read\"]\nsecret = \"x\""), "unknown field `secret`"),
            (format!("{named}{named}"), "is there twice"),
            ("[[token]]\nname = \"a\"\n".to_owned(), "missing field"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let none = TokenFile::read("/nowhere/tokens.toml".into()).unwrap_err().to_string();
        assert!(none.contains("--token-file") && none.contains("starling token create"), "{none}");
    }
}
