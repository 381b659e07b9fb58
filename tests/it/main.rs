//! End-to-end tests: real UDP, real ffmpeg, real HTTP.
