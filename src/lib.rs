//! Starling: a decentralized video-transcoding cluster in one binary.
