//! When pictures are decoded and how long each lasts, in a file whose length follows from that: an MP4, in one piece or in fragments.
//!
//! An MP4 ends with the picture that is decoded last, which need not be the one that is shown last; a fragment lasts as long as it is
//! decoded. Where pictures come at odd times and out of order, encoders decode the first ones as long ahead of being shown as they are held,
//! and the last ones by what was held before them: so the film would end before its last picture is over, or long after.

use super::argv::mp4_ticks_per_s;
use super::plan::Video;

/// No encoder puts more pictures than these before the one that is shown first.
const AHEAD_MAX: u32 = 4;

/// Expressions for ffmpeg's `setts`.
pub(super) struct Times {
    pub(super) dts: String,
    pub(super) duration: String,
}

impl Times {
    /// Of what an encoder makes.
    pub(super) fn of(video: &Video) -> Self {
        let ticks_per_s = mp4_ticks_per_s(video);
        let ticks = |seconds: f64| (f64::from(ticks_per_s) * seconds).round();
        let frame = ticks(1.0 / video.rate.nominal.value());
        let shortest = ticks(1.0 / video.rate.peak());
        // Of a rate that varies the mean says little of the last picture. How long all of them last says more, within what a picture may last:
        // of a file that lost its end it says too much.
        let lasts = video.rate.length_s.map_or_else(
            || frame.to_string(),
            |all| format!("clip(STARTPTS+{}-ld(0),{shortest},{frame})", ticks(all)),
        );
        let ahead = format!("min(STARTPTS-STARTDTS,{})", f64::from(AHEAD_MAX) * shortest);
        let dts = format!(
            "if(lt(N,{AHEAD_MAX}),max(DTS,STARTPTS-({AHEAD_MAX}-N)*{shortest}),max(DTS,PREV_OUTDTS+1))"
        );
        Self::new(&dts, &ahead, &format!("ld(0)+{lasts}"))
    }

    /// Of a result of ours, whose last picture is held until `end`, in seconds from the first one on.
    pub(super) fn held_until(end: f64) -> Self {
        Self::new("DTS", "(STARTPTS-STARTDTS)", &format!("max(STARTPTS+{end:.6}/TB,ld(0)+1)"))
    }

    /// `ahead`: how long the first one is decoded before it is shown; `end`: when the last one shown is over, where `ld(0)` is when it
    /// begins.
    fn new(dts: &str, ahead: &str, end: &str) -> Self {
        // The last one waits no longer to be shown than the first one: then it is over in both orders at once.
        let dts = format!("if(eq(NEXT_PTS,NOPTS),max({dts},PTS-{ahead}),{dts})");
        let last = format!("st(1,{end}-max(PTS,DTS+{ahead}));if(gt(ld(1),0),ld(1),{end}-PTS)");
        // None is told to last beyond the end: the longest one is what an edit list tells of.
        let earlier = format!("if(gte(PTS,ld(0)),{end}-PTS,min(DURATION,ld(0)-PTS))");
        let duration = format!("st(0,max(ld(0),PTS));if(eq(NEXT_PTS,NOPTS),{last},{earlier})");
        Self { dts, duration }
    }
}
