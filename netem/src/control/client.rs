//! Asks the process that holds links shaped.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Reply, Request};

/// Applying a fault to fifty nodes runs fifty commands.
const REPLY_TIME_MAX: Duration = Duration::from_secs(30);

/// A connection to a holder. Leased faults end with it.
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "nothing shapes links here ({path}: {error}): start it with `netem apply`, or a lab with `starling lab`"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The holder went away, or took too long.
    #[error("{path}: no answer: {error}")]
    Answer {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The holder refused. Nothing was changed.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Connects to a holder's socket.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = |error| ClientError::Connect { path: path.to_owned(), error };
        let stream = UnixStream::connect(path).map_err(connect)?;
        stream.set_read_timeout(Some(REPLY_TIME_MAX)).map_err(connect)?;
        stream.set_write_timeout(Some(REPLY_TIME_MAX)).map_err(connect)?;
        Ok(Self { path: path.to_owned(), stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        match self.exchange(request) {
            Ok(Reply::Error(message)) => Err(ClientError::Refused(message)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(ClientError::Answer { path: self.path.clone(), error }),
        }
    }

    /// Waits until the holder ends the connection.
    pub fn wait_for_end(&mut self) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(None)?;
        let mut line = String::new();
        while self.stream.read_line(&mut line)? > 0 {}
        Ok(())
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}
