//! The files of the page, as they are in the binary.

/// What the page may do: ask this server and show what it gets. No script and no style that stands in the page itself.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its path below `/dashboard/`; empty for the page itself.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal, $type:literal, $file:literal;)+) => {
        /// All files of the page.
        pub const ASSETS: &[Asset] = &[
            $(Asset { path: $path, media_type: $type, bytes: include_bytes!(concat!("page/", $file)) },)+
        ];
    };
}

assets! {
    "", "text/html; charset=utf-8", "index.html";
    "style.css", "text/css; charset=utf-8", "style.css";
    "icon.svg", "image/svg+xml", "icon.svg";
    "app.js", "text/javascript; charset=utf-8", "app.js";
    "dom.js", "text/javascript; charset=utf-8", "dom.js";
    "live.js", "text/javascript; charset=utf-8", "live.js";
    "map.js", "text/javascript; charset=utf-8", "map.js";
    "nodes.js", "text/javascript; charset=utf-8", "nodes.js";
    "charts.js", "text/javascript; charset=utf-8", "charts.js";
    "work.js", "text/javascript; charset=utf-8", "work.js";
    "upload.js", "text/javascript; charset=utf-8", "upload.js";
    "lab.js", "text/javascript; charset=utf-8", "lab.js";
    "sim.js", "text/javascript; charset=utf-8", "sim.js";
    "uPlot-1.6.32.iife.min.js", "text/javascript; charset=utf-8", "vendor/uPlot-1.6.32.iife.min.js";
    "uPlot-1.6.32.min.css", "text/css; charset=utf-8", "vendor/uPlot-1.6.32.min.css";
    "uPlot.LICENSE", "text/plain; charset=utf-8", "vendor/uPlot.LICENSE";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentId;

    #[test]
    fn what_is_vendored_is_what_was_taken() {
        let sums = include_str!("page/vendor/SHA256SUMS");
        let mut seen = 0;
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").unwrap();
            let asset = ASSETS.iter().find(|asset| asset.path == name).unwrap();
            let digest = ContentId::of(asset.bytes).to_string();
            assert_eq!(digest, sum, "{name}");
            seen += 1;
        }
        assert_eq!(seen, 3, "the library, its style and its licence");
    }

    #[test]
    fn the_page_names_no_other_host_and_nothing_inline() {
        let page = ASSETS[0];
        let html = std::str::from_utf8(page.bytes).unwrap();
        for forbidden in ["http://", "https://", "<style", " style=", " onclick=", "javascript:"] {
            assert!(!html.contains(forbidden), "{forbidden} in the page");
        }
        let own = ASSETS.iter().filter(|asset| {
            asset.media_type.starts_with("text/javascript") && !asset.path.starts_with("uPlot")
        });
        for script in own {
            let text = std::str::from_utf8(script.bytes).unwrap();
            // The name of a namespace is no address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for forbidden in ["http://", "https://", "innerHTML", "eval(", "document.write"] {
                assert!(!text.contains(forbidden), "{forbidden} in {}", script.path);
            }
        }
    }

    #[test]
    fn each_file_that_the_page_names_is_there() {
        let html = std::str::from_utf8(ASSETS[0].bytes).unwrap();
        let named = html.split('"').filter_map(|part| part.strip_prefix("/dashboard/")).collect::<Vec<_>>();
        assert!(named.len() >= 4, "{named:?}");
        for name in named {
            assert!(ASSETS.iter().any(|asset| asset.path == name), "{name}");
        }
    }
}
