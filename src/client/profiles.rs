//! `GET /profiles` as a type, and as a table for people.

use std::time::Duration;

use bytes::Bytes;
use comfy_table::{Table, presets};

use super::http::nonsense;
use super::members::trim_lines;
use super::{Client, ClientError, Endpoint};
use crate::api::{ProfileJson, ProfilesJson};
use crate::printable;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What can be asked for, as one node says it.
#[derive(Debug, Clone)]
pub struct Profiles(ProfilesJson);

impl Profiles {
    /// Asks a node; the answer as it came, and read.
    pub async fn fetch(client: &Client, endpoint: &Endpoint) -> Result<(Bytes, Self), ClientError> {
        let raw = client.get(endpoint, "/profiles", TIMEOUT).await?;
        let profiles = serde_json::from_slice(&raw).map_err(|error| nonsense(endpoint, &error))?;
        Ok((raw, Self(profiles)))
    }

    /// What is known without a node: of nothing it is said whether it can be made.
    pub fn of(profiles: ProfilesJson) -> Self {
        Self(profiles)
    }

    /// The table that `starling profiles` prints.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["NAME", "MAKES", "PICTURES", "SOUND", "HERE"]);
        for profile in &self.0.profiles {
            table.add_row(self.row(profile));
        }
        trim_lines(&table.to_string())
    }

    fn row(&self, profile: &ProfileJson) -> [String; 5] {
        let ProfileJson { name, made, media_type, available, lack, .. } = profile;
        let mark = if *name == self.0.default { " (default)" } else { "" };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let here = match lack {
            None if *available => "yes".to_owned(),
            lack => format!("no: {}", or_dash(lack.clone())),
        };
        let cells = [
            format!("{name}{mark}"),
            media_type.clone(),
            or_dash(made.video.as_ref().map(crate::profile::MadeVideo::summary)),
            or_dash(made.audio.as_ref().map(crate::profile::MadeAudio::summary)),
            here,
        ];
        cells.map(|cell| printable::line(&cell).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_each_makes_and_what_lacks() {
        let answer = r#"{"default": "360p", "profiles": [
            {"name": "360p", "description": "", "kind": "video", "container": "mp4", "media_type": "video/mp4", "extension": "mp4",
             "video": {"codec": "h264", "short_side": 360, "fps_max": 60, "crf": 28, "preset": "fast", "bounded": true},
             "audio": {"codec": "aac", "kbps": 128, "channels": "stereo"}, "available": true},
            {"name": "poster", "description": "", "kind": "poster", "media_type": "image/jpeg", "extension": "jpg",
             "video": {"codec": "mjpeg", "exact": [64, 36], "quality": 3}, "available": false, "lack": "no \u001b[1mmjpeg"}]}"#;
        let profiles = Profiles::of(serde_json::from_str(answer).unwrap());
        insta::assert_snapshot!(profiles.table());
    }
}
