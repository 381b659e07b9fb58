//! What downloads are called, at the node and at the client.

/// What a result of a file of this name is called: `clip.mov` in profile 360p becomes `clip.360p.mp4`.
pub fn result_name(name: &str, profile: &str, extension: &str) -> String {
    let stem = match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    };
    format!("{stem}.{profile}.{extension}")
}

/// What a download of several profiles is called after: their names, or how many they are.
pub fn several_name(profiles: &[&str]) -> String {
    const BYTES_MAX: usize = 40;
    let joined = profiles.join("+");
    if joined.len() <= BYTES_MAX { joined } else { format!("{}-profiles", profiles.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_named_after_its_input_and_its_profile() {
        assert_eq!(result_name("clip.mov", "360p", "mp4"), "clip.360p.mp4");
        assert_eq!(result_name("a.b.c", "audio", "m4a"), "a.b.audio.m4a");
        assert_eq!(result_name("clip", "360p", "mp4"), "clip.360p.mp4");
    }
}
