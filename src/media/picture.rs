//! The one chain of filters that all pictures go through: deinterlaced, in square pixels, scaled, in colours that every display
//! shows, and tagged with what they are.

use super::Features;
use crate::content::{Backdrop, Color, FieldOrder, Matrix, Primaries, Range, Samples, Transfer, VideoInfo};
use crate::profile::Scale;

/// Narrower and lower than this a picture of no tags is taken for SD.
const HD_WIDTH: u32 = 1280;
const SD_HEIGHT_MAX: u32 = 576;
/// Luminance of the white that a standard display shows as its whitest, in cd/m² (BT.2408).
const REFERENCE_WHITE_NITS: u32 = 203;
/// By how much the shape of a picture may differ from the first one's before it gets bars.
const SHAPE_ERROR_MAX: f64 = 0.02;

/// What the pictures are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A video: limited range, 4:2:0 of 8 bits.
    Video,
    /// A JPEG: BT.601 in full range, whatever the file says (JFIF).
    Jpeg,
    /// Red, green and blue, of which a palette is made.
    Rgb,
}

/// How samples have to be read, where a file says nothing included.
fn meaning(video: &VideoInfo) -> Color {
    let said = video.color;
    let rgb = video.samples == Samples::Rgb;
    let range = match (said.range, video.samples) {
        (Range::Unknown, Samples::Yuv) => Range::Limited,
        (Range::Unknown, Samples::Rgb) | (_, Samples::FullRangeYuv) => Range::Full,
        (range, _) => range,
    };
    let is_hd = video.width >= HD_WIDTH || video.height > SD_HEIGHT_MAX;
    let matrix = match said.matrix {
        _ if rgb => Matrix::Gbr,
        Matrix::Unknown | Matrix::Gbr if is_hd => Matrix::Bt709,
        Matrix::Unknown | Matrix::Gbr => Matrix::Smpte170m,
        matrix => matrix,
    };
    let primaries = match said.primaries {
        Primaries::Unknown if matches!(matrix, Matrix::Bt2020nc | Matrix::Bt2020c) => Primaries::Bt2020,
        Primaries::Unknown => Primaries::Bt709,
        primaries => primaries,
    };
    let transfer = match said.transfer {
        Transfer::Unknown | Transfer::Xvycc | Transfer::Bt2020Bits10 | Transfer::Bt2020Bits12 => {
            Transfer::Bt709
        }
        transfer => transfer,
    };
    Color { range, matrix, primaries, transfer }
}

/// Whether colours have to be computed in linear light, which swscale can't.
const fn is_wide(meant: Color) -> bool {
    meant.transfer.is_hdr()
        || matches!(meant.transfer, Transfer::Linear)
        || matches!(meant.matrix, Matrix::Bt2020nc | Matrix::Bt2020c | Matrix::Ycgco)
        || matches!(meant.primaries, Primaries::Bt2020 | Primaries::Smpte431 | Primaries::Smpte432)
}

const BT709: Color = Color {
    range: Range::Limited,
    matrix: Matrix::Bt709,
    primaries: Primaries::Bt709,
    transfer: Transfer::Bt709,
};

/// The filters, in order, that make pictures of this stream for a surface, at this scale.
pub fn picture_filters(
    video: &VideoInfo,
    scale: Scale,
    surface: Surface,
    features: &Features,
) -> Vec<String> {
    let meant = meaning(video);
    let geometry = Geometry::of(video, scale);
    let mut filters = Vec::new();
    if video.has_absurd_pixels() {
        // Else each picture would still be fitted in the shape that it says.
        filters.push("setsar=1".to_owned());
    }
    filters.extend(deinterlaced(video, features));
    filters.extend(on_backdrop(video, features));
    let out = if is_wide(meant) && features.zscale && (features.tonemap || !meant.transfer.is_hdr()) {
        let out = Color { transfer: standard(meant.transfer), ..BT709 };
        filters.extend(in_linear_light(video, meant, &geometry));
        out
    } else {
        let out = kept(meant);
        filters.extend(of_its_size(video, meant, features));
        let converted = of_each_picture(video, meant, out).unwrap_or_else(|| conversion(meant, out));
        filters.push(format!("scale={}{converted}", geometry.for_scale()));
        filters.push("format=yuv420p".to_owned());
        out
    };
    filters.extend(geometry.bars());
    match surface {
        Surface::Video => filters.push(tags(out)),
        Surface::Jpeg => {
            let jpeg = Color { range: Range::Full, matrix: Matrix::Bt470bg, ..out };
            filters.push(format!("scale=iw:ih{}", conversion(out, jpeg)));
            filters.push("format=yuvj420p".to_owned());
        }
        Surface::Rgb => {
            let rgb = Color { range: Range::Full, matrix: Matrix::Gbr, ..out };
            filters.push(format!("scale=iw:ih{}", conversion(out, rgb)));
            filters.push("format=rgb24".to_owned());
        }
    }
    filters
}

/// What comes out without a change of colours where that can be: to convert costs time, and every player knows both matrices.
fn kept(meant: Color) -> Color {
    let matrix = match meant.matrix {
        Matrix::Gbr | Matrix::Smpte240m | Matrix::Fcc => Matrix::Bt709,
        matrix => matrix,
    };
    Color { range: Range::Limited, matrix, ..meant }
}

/// Options of `scale` by which samples are converted, where they have to be.
fn conversion(from: Color, to: Color) -> String {
    let mut options = Vec::new();
    if from.range != to.range {
        options.push(format!(":in_range={}:out_range={}", from.range.as_str(), to.range.as_str()));
    }
    let (of, into) = (swscale_matrix(from.matrix), swscale_matrix(to.matrix));
    if of != into {
        options.extend(of.map(|of| format!(":in_color_matrix={of}")));
        options.extend(into.map(|into| format!(":out_color_matrix={into}")));
    }
    if !options.is_empty() {
        // Without it swscale cuts off what is behind the point, in each of its steps, and all colours come out a level too dark.
        options.push(":flags=bicubic+accurate_rnd".to_owned());
    }
    options.concat()
}

/// The same of a stream whose pictures have tags of their own: as each of them says, since what was joined out of several recordings
/// may change its colours in the middle. That costs nothing where it doesn't.
fn of_each_picture(video: &VideoInfo, from: Color, to: Color) -> Option<String> {
    let tells = matches!(video.codec.as_str(), "h264" | "hevc" | "mpeg2video");
    let tagged = tells && video.samples != Samples::Rgb && video.color.matrix == to.matrix;
    let matrix = swscale_matrix(to.matrix).filter(|_| tagged)?;
    let exact = if from.range == to.range { "" } else { ":flags=bicubic+accurate_rnd" };
    Some(format!(":in_color_matrix=auto:out_color_matrix={matrix}:out_range={}{exact}", to.range.as_str()))
}

/// Of a stream without tags, in a container that recordings are joined in: pictures whose size says another matrix than that of the first
/// one. It is no work where there are none.
fn of_its_size(video: &VideoInfo, from: Color, features: &Features) -> Option<String> {
    let joined = matches!(video.codec.as_str(), "h264" | "hevc" | "mpeg2video") && !video.counted;
    let guessed = video.color.matrix == Matrix::Unknown && from.range == Range::Limited;
    if !joined || !guessed || !features.colormatrix {
        return None;
    }
    let hd = format!("gte(w,{HD_WIDTH})+gt(h,{SD_HEIGHT_MAX})");
    match from.matrix {
        Matrix::Smpte170m => Some(format!("colormatrix=bt709:bt601:enable='{hd}'")),
        Matrix::Bt709 => Some(format!("colormatrix=bt601:bt709:enable='not({hd})'")),
        _ => None,
    }
}

/// swscale's name of a matrix, where it has one.
const fn swscale_matrix(matrix: Matrix) -> Option<&'static str> {
    match matrix {
        Matrix::Bt709 => Some("bt709"),
        Matrix::Smpte170m | Matrix::Bt470bg => Some("bt601"),
        Matrix::Smpte240m => Some("smpte240m"),
        Matrix::Fcc => Some("fcc"),
        Matrix::Bt2020nc | Matrix::Bt2020c => Some("bt2020"),
        Matrix::Ycgco | Matrix::Gbr | Matrix::Unknown => None,
    }
}

/// Only frames that are marked as interlaced; the others of the stream stay as they are.
fn deinterlaced(video: &VideoInfo, features: &Features) -> Option<String> {
    let parity = match video.interlaced? {
        FieldOrder::Top => "tff",
        FieldOrder::Bottom => "bff",
    };
    let filter = if features.bwdif { "bwdif" } else { "yadif" };
    Some(format!("{filter}=mode=send_frame:parity={parity}:deint=interlaced"))
}

/// Without this, transparent parts show whatever colour their pixels happen to have.
fn on_backdrop(video: &VideoInfo, features: &Features) -> Vec<String> {
    let Some(backdrop) = video.backdrop.filter(|_| features.premultiply) else { return Vec::new() };
    let mut filters = vec!["premultiply=inplace=1".to_owned()];
    if backdrop == Backdrop::White {
        // What is premultiplied is on black; its negative is on white.
        filters = vec!["negate".to_owned(), filters.remove(0), "negate".to_owned()];
    }
    if video.samples == Samples::Rgb {
        filters.insert(0, "format=gbrap|gbrap16".to_owned());
    }
    filters
}

/// The curve of what comes out. That of screens stays: players show both alike, and zimg takes the other one for a TV's in the dark.
fn standard(transfer: Transfer) -> Transfer {
    if transfer == Transfer::Srgb { transfer } else { Transfer::Bt709 }
}

/// Scaled and converted to BT.709 in linear light; what is brighter than a display's white is mapped to what it can show.
fn in_linear_light(video: &VideoInfo, meant: Color, geometry: &Geometry) -> Vec<String> {
    let (width, height) = geometry.for_zscale();
    let transfer = standard(meant.transfer).as_str();
    let said = format!(
        "rin={}:min={}:pin={}:tin={}",
        meant.range.as_str(),
        meant.matrix.as_str(),
        meant.primaries.as_str(),
        meant.transfer.as_str()
    );
    let mut filters = Vec::new();
    if video.samples != Samples::Rgb && !(video.width.is_multiple_of(2) && video.height.is_multiple_of(2)) {
        // zimg takes no half chroma sample.
        filters.push("format=yuv444p16le".to_owned());
    }
    if meant.transfer.is_hdr() {
        filters.extend([
            format!("zscale=w={width}:h={height}:{said}:t=linear:npl={REFERENCE_WHITE_NITS}"),
            "format=gbrpf32le".to_owned(),
            "zscale=p=bt709".to_owned(),
            // Linear up to 0.7 of white: what is not brighter than a display stays as it was graded.
            "tonemap=mobius:param=0.7:desat=0".to_owned(),
            "zscale=t=bt709:m=bt709:r=tv".to_owned(),
        ]);
    } else {
        filters.push(format!("zscale=w={width}:h={height}:{said}:p=bt709:t={transfer}:m=bt709:r=tv"));
    }
    filters.push("format=yuv420p".to_owned());
    filters
}

/// The tags of what comes out, written into it by encoder and container.
fn tags(color: Color) -> String {
    format!(
        "setparams=field_mode=prog:range={}:color_primaries={}:color_trc={}:colorspace={}",
        color.range.as_str(),
        color.primaries.as_str(),
        color.transfer.as_str(),
        color.matrix.as_str()
    )
}

/// Where in the result a picture goes.
struct Geometry {
    width: u32,
    height: u32,
    /// Shape of the first picture as it is shown, for those that are fitted into it.
    shape: Option<f64>,
}

impl Geometry {
    fn of(video: &VideoInfo, scale: Scale) -> Self {
        let (shown_width, shown_height) = video.shown_size();
        let (width, height) = scale.fit(shown_width, shown_height);
        let fits = matches!(scale, Scale::ShortSide(_) | Scale::Within(..));
        Self { width, height, shape: fits.then(|| f64::from(shown_width) / f64::from(shown_height)) }
    }

    /// Sides of a picture whose size or shape may have changed in the middle of the stream.
    fn fitted(&self, shape: f64) -> (String, String) {
        let Self { width, height, .. } = self;
        let alike = format!("lt(abs(dar/{shape:.6}-1),{SHAPE_ERROR_MAX})");
        (
            format!("'if({alike},{width},max(2,2*round({width}/2*min(1,dar/{shape:.6}))))'"),
            format!("'if({alike},{height},max(2,2*round({height}/2*min(1,{shape:.6}/dar))))'"),
        )
    }

    fn for_scale(&self) -> String {
        match self.shape {
            None => format!("{}:{}", self.width, self.height),
            Some(shape) => {
                let (width, height) = self.fitted(shape);
                format!("w={width}:h={height}:eval=frame")
            }
        }
    }

    fn for_zscale(&self) -> (String, String) {
        self.shape
            .map_or_else(|| (self.width.to_string(), self.height.to_string()), |shape| self.fitted(shape))
    }

    /// To the whole size, and to square pixels. An exact size says nothing of shapes: there the pixels are of whatever shape gives
    /// the picture its own.
    fn bars(&self) -> Option<String> {
        self.shape.map(|_| format!("pad={}:{}:-1:-1:eval=frame,setsar=1", self.width, self.height))
    }
}
