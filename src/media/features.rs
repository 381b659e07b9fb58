use std::collections::HashSet;

use crate::profile::Profile;

/// What an ffmpeg has of that which is used here. What can't be told is taken to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Names of all codecs that it decodes.
    decoded: Option<HashSet<String>>,
    /// Names of all decoders.
    decoders: HashSet<String>,
    /// Names of all encoders.
    encoders: Option<HashSet<String>>,
    /// `zscale` (zimg): colours between wide and standard, and out of HDR's curves.
    pub zscale: bool,
    /// `tonemap`.
    pub tonemap: bool,
    /// `bwdif`; `yadif` stands in.
    pub bwdif: bool,
    /// `colormatrix`: the matrix of pictures whose size changes what they are taken for.
    pub colormatrix: bool,
    /// `premultiply`.
    pub premultiply: bool,
    /// `thumbnail`.
    pub thumbnail: bool,
    /// `blackframe`.
    pub blackframe: bool,
    /// `alimiter`.
    pub alimiter: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self::read("", "")
    }
}

impl Features {
    /// Reads what `ffmpeg -codecs` and `ffmpeg -filters` print. Nothing where that tells nothing.
    pub fn read(codecs: &str, filters: &str) -> Self {
        let codecs: Vec<_> = codecs.lines().filter_map(codec).collect();
        let decoded: HashSet<_> =
            codecs.iter().filter(|codec| codec.decodes).map(|codec| codec.name.to_owned()).collect();
        let decoders = codecs.iter().flat_map(|codec| codec.decoders.clone()).map(str::to_owned).collect();
        let encoders: HashSet<_> =
            codecs.iter().flat_map(|codec| codec.encoders.clone()).map(str::to_owned).collect();
        let filters: HashSet<_> = filters.lines().filter_map(filter).collect();
        let has = |name| filters.is_empty() || filters.contains(name);
        Self {
            zscale: has("zscale"),
            tonemap: has("tonemap"),
            bwdif: has("bwdif"),
            colormatrix: has("colormatrix"),
            premultiply: has("premultiply") && has("negate"),
            thumbnail: has("thumbnail"),
            blackframe: has("blackframe"),
            alimiter: has("alimiter"),
            decoded: (!decoded.is_empty()).then_some(decoded),
            decoders,
            encoders: (!encoders.is_empty()).then_some(encoders),
        }
    }

    /// Whether it decodes this codec.
    pub fn decodes(&self, codec: &str) -> bool {
        self.decoded.as_ref().is_none_or(|decoded| decoded.contains(codec))
    }

    /// Whether it says that it has this decoder: what can't be told is not taken to be there.
    pub fn lists_decoder(&self, decoder: &str) -> bool {
        self.decoders.contains(decoder)
    }

    /// Whether it has this encoder.
    pub fn encodes(&self, encoder: &str) -> bool {
        self.encoders.as_ref().is_none_or(|encoders| encoders.contains(encoder))
    }

    /// What this profile takes and is not there, and what to do; none where it can be made.
    pub fn lack(&self, profile: &Profile) -> Option<String> {
        let encoders = profile.encoders();
        let lacks: Vec<_> = encoders.into_iter().filter(|encoder| !self.encodes(encoder)).collect();
        (!lacks.is_empty()).then(|| {
            let (s, lacks) = (if lacks.len() == 1 { "" } else { "s" }, lacks.join(", "));
            format!("this ffmpeg lacks the encoder{s} {lacks}: install one that is built with it")
        })
    }

    /// Whether it says that it has this encoder: what can't be told is not taken to be there.
    pub fn lists_encoder(&self, encoder: &str) -> bool {
        self.encoders.as_ref().is_some_and(|encoders| encoders.contains(encoder))
    }

    /// What is not there, and what that costs, one line each.
    pub fn lacks(&self) -> Vec<String> {
        let filters = [
            ("zscale", self.zscale, "HDR and wide colours stay as they are, and look pale on most displays"),
            ("tonemap", self.tonemap, "HDR stays as it is, and looks pale on most displays"),
            ("bwdif", self.bwdif, "interlaced pictures are deinterlaced by yadif, which is coarser"),
            (
                "colormatrix",
                self.colormatrix,
                "streams without tags that turn from SD to HD, or back, have wrong colours from there on",
            ),
            (
                "premultiply",
                self.premultiply,
                "transparent parts of a picture show whatever colour lies beneath them",
            ),
            ("thumbnail", self.thumbnail, "a poster is the first picture that is not black"),
            ("blackframe", self.blackframe, "a poster may be black"),
            ("alimiter", self.alimiter, "loud sound of many channels is distorted where AAC has two"),
        ];
        let filters = filters
            .into_iter()
            .filter(|(_, there, _)| !there)
            .map(|(name, _, cost)| format!("this ffmpeg lacks the filter {name}: {cost}"));
        filters.collect()
    }
}

struct Codec<'a> {
    name: &'a str,
    decodes: bool,
    /// None where there is one, of the codec's name.
    decoders: Vec<&'a str>,
    encoders: Vec<&'a str>,
}

/// ` DEV.L. h264   H.264 (decoders: h264 ) (encoders: libx264 h264_vaapi )`; a codec with one encoder of its own name does not
/// list it.
fn codec(line: &str) -> Option<Codec<'_>> {
    let mut words = line.split_whitespace();
    let (flags, name) = (words.next()?, words.next()?);
    if flags.len() != 6 || name == "=" {
        return None;
    }
    let encodes = flags.as_bytes()[1] == b'E';
    let listed =
        |what| Some(line.split_once(what)?.1.split(')').next().unwrap_or_default().split_whitespace());
    let decoders = listed("(decoders:").into_iter().flatten().collect();
    let encoders = match listed("(encoders:") {
        Some(list) => list.collect(),
        None if encodes => vec![name],
        None => Vec::new(),
    };
    Some(Codec { name, decodes: flags.starts_with('D'), decoders, encoders })
}

/// ` .SC zscale            V->V       Apply resizing, …`
fn filter(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let (_, name, kind) = (words.next()?, words.next()?, words.next()?);
    kind.contains("->").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: &str = "Codecs:\n D..... = Decoding supported\n .E.... = Encoding supported\n -------\n \
        DEV.L. h264                 H.264 (decoders: h264 h264_qsv ) (encoders: libx264 h264_vaapi )\n \
        DEAIL. aac                  AAC (Advanced Audio Coding) (decoders: aac aac_fixed )\n \
        ..A.L. ac4                  AC-4\n";
    const FILTERS: &str = "Filters:\n  T.. = Timeline support\n ... tonemap           V->V       Conversion\n \
        TS. bwdif             V->V       Deinterlace\n | source\n";

    #[test]
    fn what_ffmpeg_has_is_read_as_it_prints_it() {
        let features = Features::read(CODECS, FILTERS);
        assert!(features.decodes("h264") && features.decodes("aac") && !features.decodes("ac4"));
        assert!(features.encodes("libx264") && features.encodes("aac") && !features.encodes("libopus"));
        assert!(features.lists_decoder("h264_qsv") && !features.lists_decoder("libx264"));
        assert!(features.tonemap && features.bwdif && !features.zscale);
        let lacks = features.lacks();
        assert!(
            lacks.iter().any(|line| line.starts_with("this ffmpeg lacks the filter zscale: HDR")),
            "{lacks:?}"
        );
        let lack = |name: &str| {
            features.lack(&crate::profile::ProfileSet::builtin().get(&name.parse().unwrap()).unwrap())
        };
        assert_eq!((lack("360p"), lack("audio")), (None, None));
        assert_eq!(
            lack("webm").as_deref(),
            Some("this ffmpeg lacks the encoders libvpx-vp9, libopus: install one that is built with it")
        );
    }

    #[test]
    fn what_can_not_be_told_is_taken_to_be_there() {
        let features = Features::read("garbage", "\n\n");
        assert_eq!(features, Features::default());
        assert!(features.decodes("anything") && features.zscale && features.lacks().is_empty());
    }
}
