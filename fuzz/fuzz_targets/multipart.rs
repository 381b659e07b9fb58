//! A form in any pieces: `scripts/fuzz-target.sh fuzz multipart`.
#![no_main]

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use libfuzzer_sys::fuzz_target;
use starling::fuzzing::{MultipartError, file_part};

/// Fields that may come beside the file.
const FIELDS_MAX: usize = 16;

type Fields = Vec<(String, String)>;

/// The name that the client has for the file, the fields before it, and if it came whole its bytes and what follows it.
type Taken = (Option<String>, Fields, Option<(Vec<u8>, Result<Fields, String>)>);

// How the pieces are cut, what it is a form of, the boundary's length; then the boundary and the rest.
fuzz_target!(|input: &[u8]| {
    let [cut, kind, length, rest @ ..] = input else { return };
    let (boundary, rest) = rest.split_at(rest.len().min((length % 72).into()));
    let Ok(boundary) = std::str::from_utf8(boundary) else { return };
    let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
    match kind % 4 {
        0 => well_formed(&content_type, boundary, rest, *cut),
        _ => any_bytes(&content_type, rest, *cut),
    }
});

/// What is made as a form comes out as it was put in.
fn well_formed(content_type: &str, boundary: &str, rest: &[u8], cut: u8) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    if boundary.is_empty() || boundary.len() > 70 || !boundary.bytes().all(plain) {
        return;
    }
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (value, file) = (&rest[..at], &rest[(at + 1).min(rest.len())..]);
    let delimiter = format!("\r\n--{boundary}");
    let holds = |bytes: &[u8]| bytes.windows(delimiter.len()).any(|window| window == delimiter.as_bytes());
    // The delimiter is what no part may hold.
    if holds(file) || holds(value) {
        return;
    }
    let mut form = b"preamble".to_vec();
    for (head, bytes) in [("name=\"profile\"", value), ("name=\"file\"; filename=\"a b.mp4\"", file)] {
        form.extend_from_slice(delimiter.as_bytes());
        form.extend_from_slice(b"\r\nContent-Disposition: form-data; ");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(b"\r\n\r\n");
        form.extend_from_slice(bytes);
    }
    form.extend_from_slice(delimiter.as_bytes());
    form.extend_from_slice(b"--\r\n");
    let (name, fields, whole) = take(content_type, &form, cut).expect("a well-formed form is taken");
    assert_eq!(name.as_deref(), Some("a b.mp4"));
    assert_eq!(fields, [("profile".to_owned(), String::from_utf8_lossy(value).into_owned())]);
    let (bytes, rest) = whole.expect("it is there whole");
    assert!(bytes == file, "the file's bytes are others");
    assert_eq!(rest, Ok(Vec::new()));
}

/// However it is cut, the same comes out.
fn any_bytes(content_type: &str, form: &[u8], cut: u8) {
    let whole = take(content_type, form, 255);
    if let Ok((_, fields, bytes)) = &whole {
        let behind = bytes.iter().flat_map(|(_, rest)| rest.as_ref().ok()).map(Vec::len).sum::<usize>();
        assert!(fields.len() + behind <= FIELDS_MAX);
        assert!(bytes.as_ref().is_none_or(|(bytes, _)| bytes.len() < form.len()));
    }
    match (whole, take(content_type, form, cut)) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(whole), Err(cut)) => assert_eq!(whole.to_string(), cut.to_string()),
        (whole, cut) => panic!("whole {whole:?}, in pieces {cut:?}"),
    }
}

/// The form in pieces of up to `cut` bytes, of different lengths.
fn pieces(form: &[u8], cut: u8) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static + use<> {
    let mut rest = Bytes::copy_from_slice(form);
    let mut turn = 0usize;
    StreamBody::new(stream::iter(std::iter::from_fn(move || {
        turn += 1;
        let bytes = if cut == 255 { rest.len() } else { 1 + turn * 7 % (usize::from(cut) + 1) };
        (!rest.is_empty()).then(|| Ok(Frame::data(rest.split_to(bytes.min(rest.len())))))
    })))
}

fn take(content_type: &str, form: &[u8], cut: u8) -> Result<Taken, MultipartError> {
    block_on(async {
        let part = file_part(content_type, pieces(form, cut)).await?;
        let whole = match part.body.collect().await {
            Ok(bytes) => {
                let rest = part.rest.fields().await.map_err(|error| error.to_string());
                Some((bytes.to_bytes().to_vec(), rest))
            }
            Err(_) => None,
        };
        Ok((part.file_name, part.fields, whole))
    })
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The body always has something or has ended: who waits without asking to be woken would wait for ever.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        assert!(woken.0.swap(false, Ordering::Relaxed), "it would hang");
    }
}
