# Starling. `make` lists the targets; the scripts they run are in scripts/ and work on their own, too.

# Options: make demo ONCE=1 VIDEO=clip.mp4 RELEASE=0 BASE_PORT=6001
ONCE ?=
VIDEO ?=
RELEASE ?= 1
BASE_PORT ?= 5001
ONLY ?=
PROFILES ?=
COMPARE ?=
export ONCE VIDEO RELEASE BASE_PORT ONLY PROFILES COMPARE

.PHONY: help demo test corpus lint build deb bench bench-data bench-load bench-overlay bench-netem clean

help:
	@echo 'make demo    build, start five nodes on this machine, upload a clip, leave the cluster running until Ctrl-C'
	@echo '             ONCE=1       end after the upload'
	@echo '             VIDEO=PATH   upload this file instead of a made-up clip'
	@echo '             BASE_PORT=N  publish the nodes on 127.0.0.1, from this port on (5001)'
	@echo '             RELEASE=0    build without optimization: faster to build'
	@echo 'make test    all that CI runs but fuzzing (scripts/fuzz.sh): formatting, lints, documentation, licences, spelling,'
	@echo '             all tests; what this machine lacks (root, Docker, qemu) is skipped, listed and counted'
	@echo 'make corpus  every kind of input through every profile, measured; the tests take a part of that'
	@echo '             ONLY=NAME,…       these inputs of tests/corpus/inputs.toml alone'
	@echo '             PROFILES=NAME,…   these profiles alone'
	@echo '             COMPARE=1         also through plain ffmpeg and HandBrake, which is installed where it is missing'
	@echo 'make lint    the same without the tests'
	@echo 'make bench   all benchmarks; bench-data, bench-overlay, bench-netem for those of one part, bench-NAME for one'
	@echo '             bench-load CLIPS=FOLDER: the load generator on a lab, beside bare ffmpeg'
	@echo 'make build   optimized binaries: target/release/starling and target/release/netem'
	@echo 'make deb     the Debian package of those, in target/debian, tried where root may: installed, run by systemd, removed (needs cargo-deb)'

demo:
	@scripts/demo.sh

test: lint
	@scripts/deps.sh test
	@scripts/test.sh

# Its table of verdicts is in docs/EXPERIMENTS.md, "Kinds of media".
corpus:
	@scripts/corpus.sh

lint:
	@scripts/deps.sh build
	@scripts/lint.sh

build:
	@scripts/deps.sh build
	cargo build --release --workspace

deb: build
	@scripts/deb.sh release target/debian

bench:
	@scripts/deps.sh build run
	cargo bench --workspace

# Whole processes against what else there is; links and clusters need root.
bench-data:
	@scripts/deps.sh build run data
	@scripts/bench-data.sh

# The paper's client against a lab, beside bare ffmpeg: make bench-load CLIPS=folder
bench-load:
	@scripts/bench-load.sh $(CLIPS)

bench-overlay:
	@scripts/deps.sh build run serf
	@scripts/bench-overlay.sh

bench-netem:
	@scripts/deps.sh build run
	cargo bench -p starling-netem --bench links

bench-%:
	@scripts/deps.sh build run
	cargo bench --workspace --bench $*

clean:
	cargo clean
