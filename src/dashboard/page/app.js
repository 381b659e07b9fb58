// The page: what of it is shown, and when.

import { arrange, byId, h, keeper, nodeLink, show, time } from "./dom.js";
import { live, onState, start } from "./live.js";
import { showMap } from "./map.js";
import { leaveNode, showNode, showNodes } from "./nodes.js";
import { showCharts } from "./charts.js";
import { showDecisions, showJobs, showTables } from "./work.js";
import { showUpload } from "./upload.js";
import { showLab } from "./lab.js";
import { showSimulation } from "./sim.js";

const EVENTS = {
  joined: ["joined", "ok"],
  suspected: ["is suspected", "warn"],
  refuted: ["showed that it lives", "ok"],
  failed: ["has failed", "bad"],
  left: ["left", "gone"],
  rejoined: ["is back", "ok"],
  moved: ["has another address", "warn"],
  other_timing: ["has another timing profile", "warn"],
  elsewhere: ["answers from elsewhere", "warn"],
  name_conflict: ["is the name of two nodes", "bad"],
  thawed: ["runs again", "warn"],
  not_converged: ["not all have been heard of since the last change", "warn"],
  converged: ["all agree again", "ok"],
  cluster: ["the cluster has its name", "ok"],
  missed: ["so much happened that not all of it is told", "warn"],
};
/// Of these the subject is not one member.
const OF_ALL = ["not_converged", "converged", "cluster", "missed"];

function detail(event) {
  switch (event.event) {
    case "suspected": return event.by ? ` by ${event.by}` : "";
    case "moved": return ` (was ${event.from})`;
    case "elsewhere": return `: ${event.heard_at}`;
    case "other_timing": return `: a period of ${time(event.period_ms)}, not ${time(event.own_period_ms)}`;
    case "converged": return `${event.about ? ` about ${event.about}` : ""}: ${event.members} members, after ${time(event.elapsed_ms)}`;
    case "cluster": return `: ${event.cluster}`;
    case "thawed": return ` after ${time(event.frozen_ms)}`;
    case "not_converged": return ` for ${event.not_converged_s} s`;
    default: return "";
  }
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/// One line of the timeline.
export function sayEvent(event) {
  const [words, level] = EVENTS[event.event] ?? [event.event.replaceAll("_", " "), "gone"];
  const ofAll = OF_ALL.includes(event.event);
  const who = ofAll ? "" : event.member ? nodeLink(event.member) : event.node ?? "This node";
  const at = new Date(event.at);
  return h(
    "li",
    { class: level },
    h("time", { datetime: event.at }, clock.format(at)),
    h("span", {}, who, event.member && event.zone ? ` (${event.zone})` : "", ofAll ? words[0].toUpperCase() + words.slice(1) : ` ${words}`, detail(event)),
  );
}

function showVerdict(state) {
  const { level, sentence, blame } = state.verdict;
  const place = byId("verdict");
  if (place.className !== level) place.className = level;
  const text = byId("sentence");
  // What is said again is not read out again.
  if (text.textContent !== sentence) text.textContent = sentence;
  const kinds = { node: (one) => nodeLink(one.name), zone: (one) => `Zone ${one.name}`, link: (one) => `Link ${one.name}` };
  const lines = blame.length < 2 ? [] : blame.slice(0, 12).map((one) => h("li", { class: one.level }, kinds[one.kind](one), ` ${one.why}`));
  show(byId("blame"), lines, blame.length > 12 && h("li", {}, `and ${blame.length - 12} more`));
  document.title = `${{ ok: "✓", warn: "!", bad: "✗" }[level]} Starling: ${sentence}`;
}

function showSource(state) {
  const { kind, name, zone, version, policy } = state.source;
  const seen = `as ${name} in ${zone} sees it`;
  const what = kind === "monitor" ? `monitor ${name}` : kind === "simulation" ? `a simulation, ${seen}` : seen;
  show(byId("source"), `${what}${policy ? `, policy ${policy}` : ""}, ${version}`);
}

const page = () => {
  const match = /^#node\/(.+)$/.exec(location.hash);
  return match ? decodeURIComponent(match[1]) : null;
};

const lines = keeper();

/// All of the page, part by part: between two of them the browser may paint and hear the person.
function* parts(state) {
  showVerdict(state);
  showSource(state);
  showSimulation(state);
  const node = page();
  byId("overview").hidden = node !== null;
  byId("node-page").hidden = node === null;
  yield;
  if (node !== null) {
    showNode(state, node, sayEvent);
    return;
  }
  showMap(state);
  yield;
  yield* showNodes(state);
  arrange(byId("timeline"), lines([...state.events].reverse(), (event) => event.id ?? JSON.stringify(event), sayEvent));
  yield;
  yield* showCharts();
  showJobs(state);
  yield;
  yield* showDecisions(state);
  yield* showTables(state);
  showUpload(state);
  showLab(state);
}

/// Longest that the page works on end; a part that takes longer has a task of its own.
const WORK_MS_MAX = 8;
let work = null;
let waiting = false;
let again = false;

function go() {
  const end = performance.now() + WORK_MS_MAX;
  try {
    while (!work.next().done) {
      if (performance.now() < end) continue;
      setTimeout(go);
      return;
    }
  } catch (error) {
    // The next state is shown in spite of it.
    work = null;
    throw error;
  }
  work = null;
  if (again) soon();
}

/// Shows the newest state with the next picture, or after what is under way: that is finished first, so that the end of the page has its
/// turn however fast states come.
function soon() {
  if (work !== null) again = true;
  if (work !== null || waiting || !live.state) return;
  waiting = true;
  again = false;
  requestAnimationFrame(() => {
    waiting = false;
    if (!live.state) return;
    work = parts(live.state);
    // After the picture, so that it does not wait for this.
    setTimeout(go);
  });
}

onState(soon);
byId("filter").addEventListener("input", soon);
addEventListener("resize", soon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
addEventListener("hashchange", () => {
  const node = page();
  if (node === null) leaveNode();
  soon();
  if (node !== null) {
    scrollTo(0, 0);
    byId("main").focus({ preventScroll: true });
  }
});
start();
