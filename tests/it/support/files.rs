//! Files over HTTP, whole and in parts: what a browser's page and a player need.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// Media type and content of files, by path.
type Files = BTreeMap<String, (String, Vec<u8>)>;

/// A server on loopback, as long as the test.
pub struct FileServer {
    /// `http://` and the address.
    pub origin: String,
    files: Arc<Mutex<Files>>,
}

impl FileServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let files = Arc::<Mutex<Files>>::default();
        let served = Arc::clone(&files);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || answer(stream.unwrap(), &served));
            }
        });
        Self { origin, files }
    }

    /// Puts a file there, in place of what is there.
    pub fn put(&self, path: &str, media_type: &str, content: impl Into<Vec<u8>>) {
        self.files.lock().insert(path.to_owned(), (media_type.to_owned(), content.into()));
    }
}

/// Answers one request; a browser goes away whenever it likes.
fn answer(mut stream: TcpStream, files: &Mutex<Files>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut range) = (String::new(), None);
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = Some(value.trim().to_owned());
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = files.lock().get(path).cloned();
    let (status, media_type, more, content) = match (found, range) {
        (None, _) => ("404 Not Found", "text/plain".to_owned(), String::new(), Vec::new()),
        (Some((media_type, content)), None) => ("200 OK", media_type, String::new(), content),
        (Some((media_type, content)), Some(range)) => {
            let (from, to) = range.split_once('-').unwrap();
            let from: usize = from.parse().unwrap();
            let last = content.len().saturating_sub(1);
            let to = to.parse().unwrap_or(last).min(last);
            if from > to {
                ("416 Range Not Satisfiable", media_type, String::new(), Vec::new())
            } else {
                let more = format!("Content-Range: bytes {from}-{to}/{}\r\n", content.len());
                ("206 Partial Content", media_type, more, content[from..=to].to_vec())
            }
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nConnection: close\r\n{more}\r\n",
        content.len()
    );
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content)));
}
