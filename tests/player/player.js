// A page with one player of hls.js, and what a test asks of it. Tests of tests/it/player.rs load it behind hls.js.

'use strict';

// What may happen on a slow machine, and is no fault of a ladder.
const OF_THE_HOUR = ['aborted', 'bufferStalledError', 'bufferNudgeOnStall'];

class Watched {
  constructor(url, config = {}) {
    document.body.replaceChildren();
    this.video = this.shown();
    this.errors = [];
    this.switched = [];
    this.hls = new Hls({testBandwidth: false, ...config});
    this.complaints(this.hls, 'player');
    this.hls.on(Hls.Events.LEVEL_SWITCHED, (_, data) => this.switched.push(data.level));
    this.hls.once(Hls.Events.LEVEL_LOADED, (_, data) => { this.details = data.details; });
    this.hls.loadSource(url);
    this.hls.attachMedia(this.video);
  }

  shown() {
    const video = document.createElement('video');
    video.playsInline = true;
    document.body.append(video);
    return video;
  }

  complaints(hls, of) {
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (OF_THE_HOUR.includes(data.details) && !data.fatal) return;
      const why = data.error?.message ?? data.reason ?? '';
      this.errors.push(`${of}: ${data.fatal ? 'fatal ' : ''}${data.type} ${data.details} ${why}`);
    });
  }

  // Waits until something holds; what goes wrong meanwhile, or never becomes right, is thrown.
  async until(what, holds, seconds = 60) {
    const end = performance.now() + 1000 * seconds;
    while (!holds()) {
      const {currentTime, duration, readyState, paused, videoHeight} = this.video;
      const state = JSON.stringify({currentTime, duration, readyState, paused, videoHeight, switched: this.switched});
      if (this.errors.length) throw new Error(`${what}: ${this.errors.join('; ')} ${state}`);
      if (performance.now() > end) throw new Error(`not so after ${seconds} s: ${what} ${state}`);
      await new Promise((is) => setTimeout(is, 20));
    }
  }

  // What the ladder is, by its master playlist.
  async described() {
    await this.until('its playlists are there', () => this.details);
    return {
      levels: this.hls.levels.map(({width, height, bitrate}) => ({width, height, bitrate})),
      key_frames: this.hls.iframeVariants.map(({width, height}) => ({width, height})),
      sound: this.hls.audioTracks.map(({name, lang}) => ({name, lang: lang ?? null})),
      seconds: this.details.totalduration,
    };
  }

  // The next picture that a video shows: its size, and the colours at the quarters' centres.
  async seen(video = this.video) {
    let come = false;
    video.requestVideoFrameCallback(() => { come = true; });
    await this.until('a picture comes', () => come);
    return this.drawn(video);
  }

  drawn(video) {
    const canvas = document.createElement('canvas');
    const [width, height] = [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const at = (x, y) => [...context.getImageData(x * width | 0, y * height | 0, 1, 1).data].slice(0, 3);
    return {width, height, colours: [at(.25, .25), at(.75, .25), at(.25, .75), at(.75, .75)]};
  }

  // It may never come to play; what is waited for afterwards tells.
  play() {
    this.video.play().catch(() => {});
  }

  // Goes to a level near the beginning, at once or with a next segment, and shows it.
  async to(level, how) {
    this.video.currentTime = 1;
    this.video.playbackRate = 3;
    this.play();
    await this.until('it plays', () => this.video.currentTime > 1.1);
    this.hls[how] = level;
    const {height} = this.hls.levels[level];
    await this.until(`${how} = ${level}`, () => this.video.videoHeight === height && this.switched.at(-1) === level);
    return this.seen();
  }

  // The greatest of the frequencies that are heard, in Hz, and how loud the sound is.
  async heard() {
    this.video.currentTime = 1;
    this.video.playbackRate = 1;
    this.play();
    const context = new AudioContext();
    await context.resume();
    const analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    const source = context.createMediaElementSource(this.video);
    source.connect(analyser);
    analyser.connect(context.destination);
    const [waves, bins] = [new Float32Array(8192), new Float32Array(4096)];
    let loud = 0;
    await this.until('a sound is heard', () => {
      analyser.getFloatTimeDomainData(waves);
      loud = Math.sqrt(waves.reduce((sum, wave) => sum + wave * wave, 0) / waves.length);
      return loud > 0.02 && waves[0] !== 0;
    });
    analyser.getFloatFrequencyData(bins);
    const greatest = bins.indexOf(bins.reduce((a, b) => Math.max(a, b)));
    return {loud, hz: greatest * context.sampleRate / 8192};
  }

  // Plays from here to the end.
  async ended(rate) {
    this.video.playbackRate = rate;
    this.play();
    let [at, since] = [-1, 0];
    await this.until('it has ended', () => {
      if (this.video.currentTime !== at) [at, since] = [this.video.currentTime, performance.now()];
      if (performance.now() - since > 20_000) throw new Error(`it stands still at ${at} s of ${this.video.duration}`);
      return this.video.ended;
    }, 120);
    const {currentTime, duration} = this.video;
    const pictures = this.video.getVideoPlaybackQuality().totalVideoFrames;
    return {at: currentTime, duration, pictures, errors: this.errors};
  }

  // One picture of each size out of the playlists of key frames, at this time; the smallest first.
  async keyFrames(time) {
    const all = [];
    for (let level = 0; level < this.hls.iframeVariants.length; level++) {
      const video = this.shown();
      const player = this.hls.createIFramePlayer({capLevelToPlayerSize: false, startLevel: level});
      this.complaints(player, 'key frames');
      // The height of the picture that is on the screen.
      let height = 0;
      const shown = (_, picture) => {
        height = picture.height;
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
      player.attachMedia(video);
      player.loadLevel = level;
      // What it is asked for before its list has come, it forgets.
      let next = 0;
      await this.until(`a key frame of level ${level}`, () => {
        if (performance.now() > next) {
          player.loadMediaAt(time);
          next = performance.now() + 500;
        }
        return !video.seeking && height === player.levels[level].height;
      });
      all.push(this.drawn(video));
      player.destroy();
      video.remove();
    }
    return all;
  }
}

window.Watched = Watched;
