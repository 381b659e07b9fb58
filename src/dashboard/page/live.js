// The state as it comes: server-sent events, which the browser takes up again after the last one that it has.

import { byId } from "./dom.js";

/// Points of the series that are kept, and figures of each node.
const POINTS_MAX = 450;
const TRACE_MAX = 300;
/// Without a word for so long, the connection is taken for lost, and made anew.
const SILENT_MS = 25_000;

export const live = {
  state: null,
  series: null,
  /// Per node: [seconds, cpu, memory, queued, running], since this page was opened.
  traces: new Map(),
};

const listeners = [];
export const onState = (listener) => listeners.push(listener);

let stream = null;
let heard = Date.now();
let watchdog = 0;

function takeSeries(series) {
  const have = live.series;
  if (have && have.first + have.points.length === series.first) {
    have.points.push(...series.points);
    const extra = have.points.length - POINTS_MAX;
    if (extra > 0) {
      have.points.splice(0, extra);
      have.first += extra;
    }
  } else {
    live.series = series;
  }
}

function takeTraces(state) {
  const names = new Set();
  for (const node of state.nodes) {
    names.add(node.name);
    if (node.cpu === null) continue;
    const trace = live.traces.get(node.name) ?? [];
    trace.push([state.at_ms / 1000, node.cpu, node.memory, node.queued, node.running]);
    if (trace.length > TRACE_MAX) trace.shift();
    live.traces.set(node.name, trace);
  }
  for (const name of live.traces.keys()) if (!names.has(name)) live.traces.delete(name);
}

/// Shows this from now on.
export function take(state) {
  live.state = state;
  takeTraces(state);
  for (const listener of listeners) listener(state);
}

/// Says how live the page is, where that changes.
function say(text, level) {
  const place = byId("live");
  if (place.textContent !== text) place.textContent = text;
  place.className = level;
}

function open() {
  stream?.close();
  heard = Date.now();
  stream = new EventSource("/dashboard/stream");
  stream.addEventListener("series", (event) => {
    heard = Date.now();
    takeSeries(JSON.parse(event.data));
  });
  stream.addEventListener("state", (event) => {
    heard = Date.now();
    take(JSON.parse(event.data));
    say("Live", "ok");
  });
  stream.addEventListener("error", () => say("Connection lost; trying again", "bad"));
}

/// For whoever looks at one state for longer.
export function stop() {
  stream?.close();
  clearInterval(watchdog);
}

export function start() {
  open();
  watchdog = setInterval(() => {
    // A refusal ends the stream for good, and a frozen node says nothing.
    if (stream.readyState === EventSource.CLOSED || Date.now() - heard > SILENT_MS) {
      say("Connection lost; trying again", "bad");
      open();
    }
  }, 3000);
}
