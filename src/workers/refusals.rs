//! Why a tool refuses a file, for the person who sent it: what is wrong with the file and what to do, in place of the tool's own words.

/// Words of a tool, and what they mean.
const MEANINGS: [(&str, &str); 6] = [
    (
        "Invalid data found",
        "no video and no sound can be found in it: it is damaged, was not sent to its end, or is not what its name says; \
         see whether it plays on your own device, and send the original file",
    ),
    (
        "End of file",
        "it ends before its first picture or sound: it was not recorded, or not sent, to its end; send all of it",
    ),
    (
        "Conversion failed",
        "nothing in it can be converted: it is damaged, or of a kind that is not known here; convert it to MP4 with H.264 and AAC \
         by the program that made it, and send that",
    ),
    (
        "Could not find codec parameters",
        "what its pictures or its sound are can't be told: it is damaged, or was cut at its begin; send the original file",
    ),
    (
        "Error while opening encoder",
        "its pictures or its sound are of a size or rate that can't be converted; convert it to MP4 with H.264 and AAC first",
    ),
    ("not in whitelist", "it is only a list that names other files: send the video itself"),
];

/// What the last words of a tool mean for the client; the words themselves where they are of no kind that is known.
pub(super) fn in_words(tool: &str, said: &str) -> String {
    let known = MEANINGS.iter().find(|(words, _)| said.contains(words));
    known.map_or_else(
        || {
            format!(
                "it can't be used ({tool} says: {said}); see whether it plays on your own device, and send the original file, \
                 or convert it to MP4 with H.264 and AAC first"
            )
        },
        |(_, meaning)| (*meaning).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        for said in ["Invalid data found when processing input", "Conversion failed!", "odd: words 7"] {
            let told = in_words("ffprobe", said);
            assert!(told.contains("send "), "{told}");
            // A client can look up what is not known here.
            assert_eq!(told.contains(said), said.starts_with("odd"), "{told}");
        }
    }
}
