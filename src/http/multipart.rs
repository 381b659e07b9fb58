//! Uploads as `multipart/form-data`, as a browser's form or `curl -F` sends them: the file's part as a body of its own,
//! streamed; what stands before and behind it within a bound.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use hyper::body::{Body, Frame};
use hyper::header::CONTENT_DISPOSITION;
use multer::{Field, Multipart};

use super::form_name::file_name;

type BoxError = Box<dyn Error + Send + Sync>;

/// Bytes that may be read beside the file's part: a preamble, the form's other fields, and what multer reads ahead, which
/// is up to a piece at each of its steps.
const BESIDE_FILE_BYTES_MAX: usize = 128 << 10;
/// Until the file is found, its own bytes must not count: so the form is looked at in small pieces; but not in smaller
/// ones than need be, since multer looks through all it has at each.
const PIECE_BYTES: usize = 1 << 10;
/// Fields that a form may have beside its file.
const FIELDS_MAX: usize = 16;

/// The file of a form.
pub struct FilePart {
    /// Its bytes.
    pub body: PartBody,
    /// The name that the client has for it. Whatever the client likes: never a path on this node.
    pub file_name: Option<String>,
    /// The text fields that came before it.
    pub fields: Vec<(String, String)>,
    /// What comes behind it.
    pub rest: Rest,
}

/// A form behind its file.
pub struct Rest {
    form: Multipart<'static>,
    fields_left: usize,
    found: Arc<AtomicBool>,
}

/// A form that has no file to take.
#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    /// The Content-Type is not of a form, or has no boundary.
    #[error("the Content-Type names no multipart boundary: let your client make the form")]
    NoBoundary,
    /// No part with a file name came.
    #[error("the form has no file: send one as a part with a file name, as curl -F file=@clip.mp4 does")]
    NoFile,
    /// There is another one.
    #[error("the form has two files: send an upload for each")]
    TwoFiles,
    /// Too much came beside the file.
    #[error("too much stands beside the file in the form: send fewer and shorter fields")]
    TooMuchBeside,
    /// It is no form, or it broke off.
    #[error("the form can't be read: {0}")]
    Broken(#[source] BoxError),
}

/// Whether a request's Content-Type says that its body is a form.
pub fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Reads a form up to its file.
pub async fn file_part<B>(content_type: &str, body: B) -> Result<FilePart, MultipartError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let boundary = multer::parse_boundary(content_type).map_err(|_| MultipartError::NoBoundary)?;
    let found = Arc::new(AtomicBool::new(false));
    let source = Source {
        body: Box::pin(body),
        rest: Bytes::new(),
        gave: false,
        ended: false,
        beside_left: BESIDE_FILE_BYTES_MAX,
        found: Arc::clone(&found),
    };
    let mut form = Multipart::new(source, boundary);
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if let Some(name) = name_of(&field) {
            found.store(true, Ordering::Relaxed);
            let fields_left = FIELDS_MAX - fields.len();
            return Ok(FilePart {
                body: PartBody { field },
                file_name: Some(name).filter(|n| !n.is_empty()),
                fields,
                rest: Rest { form, fields_left, found },
            });
        }
        if fields.len() == FIELDS_MAX {
            return Err(MultipartError::TooMuchBeside);
        }
        fields.push(text(field).await?);
    }
    Err(MultipartError::NoFile)
}

/// The name of a part that is a file. Not multer's, which takes a name that ends in a backslash, or is not in UTF-8, for none.
fn name_of(field: &Field<'_>) -> Option<String> {
    file_name(field.headers().get(CONTENT_DISPOSITION)?.as_bytes())
}

async fn text(field: Field<'static>) -> Result<(String, String), MultipartError> {
    let name = field.name().unwrap_or_default().to_owned();
    let bytes = field.bytes().await.map_err(broken)?;
    Ok((name, String::from_utf8_lossy(&bytes).into_owned()))
}

impl Rest {
    /// Reads the form to its end, once the file's body was read and dropped: the text fields that follow it.
    pub async fn fields(mut self) -> Result<Vec<(String, String)>, MultipartError> {
        self.found.store(false, Ordering::Relaxed);
        let mut fields = Vec::new();
        while let Some(field) = self.form.next_field().await.map_err(broken)? {
            if name_of(&field).is_some() {
                return Err(MultipartError::TwoFiles);
            }
            if fields.len() == self.fields_left {
                return Err(MultipartError::TooMuchBeside);
            }
            fields.push(text(field).await?);
        }
        Ok(fields)
    }
}

fn broken(error: multer::Error) -> MultipartError {
    match error {
        multer::Error::StreamReadFailed(source) if source.is::<BesideTooLong>() => {
            MultipartError::TooMuchBeside
        }
        multer::Error::StreamReadFailed(source) => MultipartError::Broken(source),
        other => MultipartError::Broken(other.into()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {BESIDE_FILE_BYTES_MAX} bytes beside the file")]
struct BesideTooLong;

/// The request's body, a chunk a poll. multer reads for as long as there is something to read, all into memory; a pause
/// after each chunk makes it look at what it has, and so holds back the sender.
struct Source<B> {
    body: Pin<Box<B>>,
    /// What came and was not given yet.
    rest: Bytes,
    gave: bool,
    ended: bool,
    beside_left: usize,
    found: Arc<AtomicBool>,
}

impl<B> Source<B> {
    fn append(&mut self, data: Bytes) {
        if self.rest.is_empty() {
            self.rest = data;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.rest));
            joined.extend_from_slice(&data);
            self.rest = joined.freeze();
        }
    }
}

impl<B> Stream for Source<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let found = self.found.load(Ordering::Relaxed);
        let wanted = if found { 1 } else { PIECE_BYTES };
        while self.rest.len() < wanted && !self.ended {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    // Trailers carry nothing that is used here.
                    let data = frame.map_err(Into::into)?.into_data().unwrap_or_default();
                    self.append(data);
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending if self.rest.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.gave = true;
        if found {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.rest))));
        }
        let piece = PIECE_BYTES.min(self.rest.len());
        if piece > self.beside_left {
            return Poll::Ready(Some(Err(BesideTooLong.into())));
        }
        self.beside_left -= piece;
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

/// The bytes of one part.
pub struct PartBody {
    field: Field<'static>,
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = std::task::ready!(Pin::new(&mut self.field).poll_next(cx));
        Poll::Ready(next.map(|chunk| match chunk {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(multer::Error::StreamReadFailed(source)) => Err(source),
            Err(other) => Err(other.into()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full, StreamBody};
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-y\"";

    fn form(file: &[u8]) -> Vec<u8> {
        let mut form = b"preamble\r\n--x-y\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\n720p\r\n--x-y\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"../a\xc3\xa9.mp4\"\r\nContent-Type: video/mp4\r\n\r\n"
            .to_vec();
        form.extend_from_slice(file);
        form.extend_from_slice(b"\r\n--x-y--\r\n");
        form
    }

    fn chunked(bytes: &[u8], chunk: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
        let chunks: Vec<_> =
            bytes.chunks(chunk.max(1)).map(|c| Ok(Frame::data(Bytes::copy_from_slice(c)))).collect();
        StreamBody::new(futures_util::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_file_is_one_whatever_its_name() {
        for name in [&b"clip\\"[..], b"AC\\\\DC", b"5\\\" disk", b"\xfcb.mp4"] {
            let head = b"--x-y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"";
            let form = [&head[..], name, b"\"\r\n\r\nvideo\r\n--x-y--\r\n"].concat();
            let mut part = file_part(TYPE, chunked(&form, 50)).await.unwrap();
            assert!((&mut part.body).collect().await.unwrap().to_bytes() == "video");
            assert!(part.file_name.is_some(), "{}", String::from_utf8_lossy(name));
        }
    }

    #[tokio::test]
    async fn the_file_is_a_body_of_its_own() {
        let file: Vec<u8> = (0..300_000u32).map(|n| (n % 253) as u8).collect();
        let mut part = file_part(TYPE, chunked(&form(&file), 7000)).await.unwrap();
        assert_eq!(part.file_name.as_deref(), Some("../aé.mp4"));
        assert_eq!(part.fields, [("profile".to_owned(), "720p".to_owned())]);
        let got = (&mut part.body).collect().await.unwrap().to_bytes();
        assert!(got == file);
    }

    #[tokio::test]
    async fn what_follows_the_file_is_read_too() {
        const FIELD: &[u8] = b"\r\n--x-y\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\n480p";
        const FILE: &[u8] =
            b"\r\n--x-y\r\nContent-Disposition: form-data; name=\"f\"; filename=\"b\"\r\n\r\nsecond";
        let rest = async |more: &[u8], chunk| {
            let start = form(&[7; 9000]);
            let whole = [&start[..start.len() - 11], more, b"\r\n--x-y--\r\n"].concat();
            let mut part = file_part(TYPE, chunked(&whole, chunk)).await.unwrap();
            assert_eq!((&mut part.body).collect().await.unwrap().to_bytes().len(), 9000);
            drop(part.body);
            part.rest.fields().await
        };
        for chunk in [1, 7, 1000, 100_000] {
            assert_eq!(rest(b"", chunk).await.unwrap(), []);
            assert_eq!(rest(FIELD, chunk).await.unwrap(), [("profile".to_owned(), "480p".to_owned())]);
            assert!(matches!(rest(FILE, chunk).await, Err(MultipartError::TwoFiles)));
            let many = FIELD.repeat(FIELDS_MAX);
            assert!(
                matches!(rest(&many, chunk).await, Err(MultipartError::TooMuchBeside)),
                "one came before"
            );
            let long = [FIELD, &vec![b'x'; 2 * BESIDE_FILE_BYTES_MAX]].concat();
            assert!(matches!(rest(&long, chunk).await, Err(MultipartError::TooMuchBeside)), "{chunk}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_with_a_file_is_refused() {
        let refused = async |content_type: &str, body: &[u8]| {
            file_part(content_type, Full::new(Bytes::copy_from_slice(body))).await.err().unwrap()
        };
        assert!(matches!(refused("multipart/form-data", b"").await, MultipartError::NoBoundary));
        assert!(matches!(refused("video/mp4", b"").await, MultipartError::NoBoundary));
        assert!(matches!(refused(TYPE, b"").await, MultipartError::Broken(_)));
        assert!(matches!(refused(TYPE, b"--x-y--\r\n").await, MultipartError::NoFile));
        let text = b"--x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x-y--\r\n";
        assert!(matches!(refused(TYPE, text).await, MultipartError::NoFile));
        let many = b"--x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n".repeat(20);
        assert!(matches!(refused(TYPE, &many).await, MultipartError::TooMuchBeside));
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_is_an_error_and_no_short_file() {
        let whole = form(&vec![7; 100_000]);
        let mut part = file_part(TYPE, chunked(&whole[..whole.len() - 12], 7000)).await.unwrap();
        assert!((&mut part.body).collect().await.is_err());
    }

    #[tokio::test]
    async fn what_stands_before_the_file_is_bounded() {
        for endless in ["no boundary at all ", "--x-y\r\nX-Header: ", "-"] {
            let stream = futures_util::stream::repeat_with(move || {
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(endless.as_bytes())))
            });
            let refused = file_part(TYPE, StreamBody::new(stream)).await.err().unwrap();
            assert!(matches!(refused, MultipartError::TooMuchBeside), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_form_in_single_bytes_is_looked_at_in_pieces() {
        let bytes = form(b"file");
        let mut source = Source {
            body: Box::pin(chunked(&bytes, 1)),
            rest: Bytes::new(),
            gave: false,
            ended: false,
            beside_left: BESIDE_FILE_BYTES_MAX,
            found: Arc::default(),
        };
        let first = futures_util::StreamExt::next(&mut source).await.unwrap().unwrap();
        assert_eq!(first, bytes, "it is shorter than a piece");
        assert!(futures_util::StreamExt::next(&mut source).await.is_none());
    }

    #[tokio::test]
    async fn a_fast_sender_is_held_back() {
        // A sender that always has more to say; were it read as far as it goes, this would never end.
        let head = Bytes::from(form(&[])).slice(..form(&[]).len() - 11);
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![1; 65536])))
        });
        let first = futures_util::stream::iter([Ok(Frame::data(head))]);
        let body = StreamBody::new(futures_util::StreamExt::chain(first, endless));
        let mut part = file_part(TYPE, body).await.unwrap();
        for _ in 0..100 {
            let frame = part.body.frame().await.unwrap().unwrap();
            assert!(frame.data_ref().unwrap().len() <= 2 * 65536);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_cut_in_any_way_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..200) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut part) = file_part(TYPE, chunked(&bytes, chunk)).await {
                    drop((&mut part.body).collect().await);
                }
            });
        }

        #[test]
        fn a_file_comes_through_whatever_is_in_it(
            pieces in prop::collection::vec(prop::sample::select(vec!["\r\n--x-", "\r", "\n--", "-y", "data"]), 0..60),
            chunk in 1usize..50,
        ) {
            let file = pieces.concat().into_bytes();
            // The boundary itself is what no file may hold.
            prop_assume!(!file.windows(7).any(|window| window == b"\r\n--x-y"));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(async {
                let mut part = file_part(TYPE, chunked(&form(&file), chunk)).await.unwrap();
                (&mut part.body).collect().await.unwrap().to_bytes()
            });
            prop_assert_eq!(&got[..], &file[..]);
        }
    }
}
