//! Programs named ffmpeg and ffprobe that do what a test tells them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with programs named ffmpeg and ffprobe in it, whose part can be changed while a node uses it. It runs in the
/// sandbox, where no second process can be started: what a part calls, it becomes by `exec`.
pub struct Stub {
    dir: tempfile::TempDir,
}

/// Waits for the file that is its first argument, then becomes the rest.
const WAIT: &str =
    "my $go = shift; select(undef, undef, undef, 0.02) until -e $go; exec { $ARGV[0] } @ARGV or exit 126";
/// The same, as an ffmpeg that gets on, if next to nothing: what gets no further is ended.
const CRAWL: &str = "$| = 1; my ($go, $n) = (shift, 0); until (-e $go) { \
                     $n++ % 50 or print \"out_time_us=$n\\nprogress=continue\\n\"; \
                     select(undef, undef, undef, 0.02) } exec { $ARGV[0] } @ARGV or exit 126";

impl Stub {
    /// `version` is what it says of itself.
    pub fn new(version: &str) -> Self {
        Self::with_ffmpeg(&format!(
            "-version) echo 'ffmpeg version {version} stub'; exit;; -codecs|-filters) exit;;"
        ))
    }

    /// What says of itself what the machine's own ffmpeg says.
    pub fn like_the_real_one() -> Self {
        Self::with_ffmpeg(&format!("-version|-codecs|-filters) exec {} \"$@\";;", real("ffmpeg").display()))
    }

    /// The machine's own ffmpeg, which begins no transcode before [`Self::release`].
    pub fn holding() -> Self {
        let ffmpeg = real("ffmpeg").display().to_string();
        let stub = Self::like_the_real_one();
        stub.plays(&format!("exec perl -e '{CRAWL}' \"${{0%/*}}/go\" {ffmpeg} \"$@\""));
        stub
    }

    /// `asked`: what it says of itself, as cases of a shell.
    fn with_ffmpeg(asked: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in {asked} esac\n\
             for out; do :; done\nout=${{out#file:}}\n. \"${{0%/*}}/part\"\n"
        );
        std::fs::write(dir.path().join("ffmpeg"), script).unwrap();
        std::fs::write(dir.path().join("ffprobe"), "#!/bin/sh\n. \"${0%/*}/look\"\n").unwrap();
        for program in ["ffmpeg", "ffprobe"] {
            std::fs::set_permissions(dir.path().join(program), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let stub = Self { dir };
        stub.looks(&format!("exec {} \"$@\"", real("ffprobe").display()));
        stub
    }

    /// Comes first on the PATH of a node that is to use it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What it does from now on; `$out` is the file that it is to write.
    pub fn plays(&self, part: &str) {
        std::fs::write(self.dir.path().join("part"), part).unwrap();
    }

    /// What ffprobe does from now on.
    pub fn looks(&self, part: &str) {
        std::fs::write(self.dir.path().join("look"), part).unwrap();
    }

    /// What ffprobe does from now on: its work, but not before [`Self::release`].
    pub fn looks_later(&self) {
        self.looks(&format!("exec perl -e '{WAIT}' \"${{0%/*}}/go\" {} \"$@\"", real("ffprobe").display()));
    }

    /// The machine's own ffmpeg from now on.
    pub fn plays_itself(&self) {
        self.plays(&format!("exec {} \"$@\"", real("ffmpeg").display()));
    }

    /// The machine's own ffmpeg from now on, but for command lines with this in them: those refuse the video, and not before
    /// [`Self::release`].
    pub fn refuses_later(&self, what: &str) {
        let refuse = "in: Invalid data found when processing input";
        self.plays(&format!(
            "case \"$*\" in *{what}*) exec perl -e 'my $go = shift; \
             select(undef, undef, undef, 0.02) until -e $go; print STDERR \"{refuse}\\n\"; exit 1' \"${{0%/*}}/go\";; esac\n\
             exec {} \"$@\"",
            real("ffmpeg").display()
        ));
    }

    /// The machine's own ffmpeg becomes this part's last arguments, but for command lines with this in them, which it does at once.
    pub fn plays_but(&self, part: &str, what: &str) {
        let ffmpeg = real("ffmpeg").display().to_string();
        self.plays(&format!("case \"$*\" in *{what}*) exec {ffmpeg} \"$@\";; esac\n{part} {ffmpeg} \"$@\""));
    }

    /// A script of Perl sees each command line first, as `@ARGV` with the machine's own ffmpeg in front, and becomes it.
    pub fn plays_perl(&self, script: &str) {
        self.plays(&format!("exec perl -e '{script}' {} \"$@\"", real("ffmpeg").display()));
    }

    /// What waits goes on, and nothing waits any more.
    pub fn release(&self) {
        std::fs::write(self.dir.path().join("go"), "").unwrap();
    }

    /// What begins from now on waits again.
    pub fn hold(&self) {
        std::fs::remove_file(self.dir.path().join("go")).unwrap();
    }
}

/// Where the machine has its own.
pub fn real(program: &str) -> PathBuf {
    let output = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
