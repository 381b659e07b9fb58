// The nodes: a table of a few, a grid of many, and a page for each one.

import { arrange, bar, byId, bytes, h, ms, nodeLink, number, percent, seconds, show, time } from "./dom.js";
import { chart } from "./charts.js";
import { live } from "./live.js";

/// With more nodes than these there is a grid.
const TABLE_MAX = 40;

const STATES = { alive: "ok", suspect: "warn", dead: "bad", left: "gone" };
const WORDS = { alive: "alive", suspect: "suspected", dead: "failed", left: "left" };

export const stateBadge = (node) =>
  h("span", { class: `badge ${STATES[node.state] ?? "gone"}` }, node.observer && node.state === "alive" ? "watches" : WORDS[node.state] ?? node.state);

function wanted(nodes) {
  const words = byId("filter").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const text = (node) => `${node.name} ${node.zone} ${node.state} ${WORDS[node.state]}`.toLowerCase();
  return nodes.filter((node) => words.every((word) => text(node).includes(word)));
}

function queue(node) {
  if (node.queued === null) return "–";
  const part = node.queue_capacity ? node.queued / node.queue_capacity : 0;
  return bar(part, `queue of ${node.name}`, `${node.queued}/${node.queue_capacity}`);
}

function row(node) {
  const cache = node.figures ? `${number(node.figures.cached_results)}, ${bytes(node.figures.cache_bytes)}` : "–";
  return h(
    "tr",
    { class: STATES[node.state] },
    h("th", { scope: "row" }, nodeLink(node.name)),
    h("td", {}, node.zone),
    h("td", {}, stateBadge(node)),
    h("td", {}, bar(node.cpu, `CPU of ${node.name}`)),
    h("td", {}, bar(node.memory, `memory of ${node.name}`)),
    h("td", {}, queue(node)),
    h("td", { class: "n" }, node.running === null ? "–" : `${node.running}/${node.workers}`),
    h("td", { class: "n" }, cache),
    h("td", { class: "n" }, ms(node.rtt_ms)),
    h("td", { class: `n ${node.load_age_ms > 10000 ? "warn" : ""}` }, time(node.load_age_ms)),
  );
}

const COLUMNS = [
  ["Node"], ["Zone"], ["State"], ["CPU"], ["Memory"], ["Queue"], ["Running", "n"], ["Cache", "n"], ["Round trip", "n"], ["Load’s age", "n"],
];

function table(nodes) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of nodes" },
    h(
      "table",
      { class: "nodes" },
      h("thead", {}, h("tr", {}, COLUMNS.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))),
      h("tbody", {}, nodes.map(row)),
    ),
  );
}

/// How busy a node is: of a worker and of a place in the queue, the fuller one.
function busy(node) {
  if (node.state !== "alive" || node.cpu === null) return "";
  const queued = node.queue_capacity ? node.queued / node.queue_capacity : 0;
  const part = Math.max(node.cpu, queued);
  return part >= 0.9 ? "high" : part >= 0.6 ? "middle" : "low";
}

/// The squares that there are, by their nodes' names: a square stays, and what it says changes.
let cells = new Map();
/// As many are made or changed on end.
const CELLS_AT_ONCE = 100;

function cell(node) {
  const words = `${node.name}, ${node.zone}, ${WORDS[node.state]}, CPU ${percent(node.cpu)}, ${number(node.queued)} waiting, ${number(node.running)} running`;
  let item = cells.get(node.name);
  if (!item) {
    item = h("li", {}, h("a", { href: `#node/${encodeURIComponent(node.name)}` }, ""));
    cells.set(node.name, item);
  }
  const link = item.firstChild;
  const say = (name, value) => link.getAttribute(name) !== value && link.setAttribute(name, value);
  say("class", `cell ${STATES[node.state]} ${busy(node)}`);
  say("title", words);
  say("aria-label", words);
  const text = node.state === "alive" ? (node.queued > 0 ? number(node.queued) : "") : node.state === "suspect" ? "?" : "×";
  if (link.textContent !== text) link.textContent = text;
  return item;
}

/// The same for zones: a heading and its squares.
let zoneGrids = new Map();

function zoneGrid(zone) {
  let kept = zoneGrids.get(zone);
  if (!kept) {
    const [title, list] = [h("h3", {}), h("ul", { class: "grid" })];
    kept = { title, list, section: h("section", { class: "grid-zone", "aria-label": `Zone ${zone}` }, title, list) };
    zoneGrids.set(zone, kept);
  }
  return kept;
}

function* grid(nodes, place) {
  const zones = new Map();
  for (const node of nodes) {
    if (!zones.has(node.zone)) zones.set(node.zone, []);
    zones.get(node.zone).push(node);
  }
  const shown = [...zones].sort(([a], [b]) => compare(a, b));
  let done = 0;
  for (const [zone, members] of shown) {
    // What is to be looked at comes first.
    const rank = (node) => ({ dead: 0, suspect: 1, alive: 2 })[node.state] ?? 3;
    members.sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name));
    const { title, list } = zoneGrid(zone);
    show(title, zone, h("span", { class: "dim" }, ` ${members.filter((node) => node.state === "alive").length}/${members.length}`));
    const items = [];
    for (const node of members) {
      items.push(cell(node));
      done += 1;
      if (done % CELLS_AT_ONCE === 0) yield;
    }
    arrange(list, items);
  }
  arrange(place, shown.map(([zone]) => zoneGrid(zone).section));
  // What is gone is forgotten.
  const names = new Set(nodes.map((node) => node.name));
  cells = new Map([...cells].filter(([name]) => names.has(name)));
  zoneGrids = new Map([...zoneGrids].filter(([zone]) => zones.has(zone)));
}

/// Of names: node10 comes after node9.
const { compare } = new Intl.Collator("en", { numeric: true });

const LEGEND = "Each square is a node: green is idle, amber busy, red full; × has failed, ? is suspected; a number is what waits.";

let gridPlace = null;

export function* showNodes(state) {
  const nodes = wanted(state.nodes);
  const counts = Object.entries(WORDS)
    .map(([key, word]) => [nodes.filter((node) => node.state === key).length, word])
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${number(count)} ${word}`);
  show(byId("count"), counts.join(", ") || "none");
  if (state.nodes.length <= TABLE_MAX) {
    gridPlace = null;
    show(byId("nodes-body"), table(nodes));
    yield;
    return;
  }
  if (!gridPlace) {
    gridPlace = h("div", {});
    byId("nodes-body").replaceChildren(h("p", { class: "dim" }, LEGEND), gridPlace);
  }
  yield* grid(nodes, gridPlace);
  yield;
}

const FIGURES = [
  ["In the last minute", [
    ["Uploads with a result a second", (f) => number(f.throughput, 2)],
    ["Success", (f) => percent(f.success, 1)],
    ["Latency: median, 95th, 99th percentile", (f) => `${seconds(f.p50_s)}, ${seconds(f.p95_s)}, ${seconds(f.p99_s)}`],
    ["Enqueued, dequeued, growth", (f) => `${number(f.enqueued_per_min, 1)}, ${number(f.dequeued_per_min, 1)}, ${number(f.growth_per_min, 1)}`],
    ["Probes without an answer", (f) => percent(f.probes_lost, 1)],
  ]],
  ["Accepted jobs (POST /jobs)", [
    ["Waiting, at work", (f) => `${number(f.accepted_waiting)}, ${number(f.accepted_running)}`],
  ]],
  ["Since its start", [
    ["Uploads; with a result, refused, failed", (f) => `${number(f.uploads)}; ${number(f.ok)}, ${number(f.refused)}, ${number(f.failed)}`],
    ["Transcodes, and those without a result", (f) => `${number(f.transcodes)}, ${number(f.transcode_failures)}`],
    ["Done where it came in", (f) => number(f.local)],
    ["Done by peers: same region, other region, in vain", (f) => `${number(f.offloads_same)}, ${number(f.offloads_cross)}, ${number(f.offloads_failed)}`],
    ["Done for peers: same region, other region", (f) => `${number(f.responses_same)}, ${number(f.responses_cross)}`],
    ["Cache: hits, misses, joined, evicted", (f) => `${number(f.cache_hits)}, ${number(f.cache_misses)}, ${number(f.cache_joins)}, ${number(f.evictions)}`],
    ["Cached results", (f) => `${number(f.cached_results)}: ${bytes(f.cache_bytes)} of ${bytes(f.cache_budget_bytes)}`],
    ["Memory of its process", (f) => bytes(f.resident_bytes)],
    ["Free on its disk", (f) => bytes(f.disk_free_bytes)],
  ]],
];

function facts(node) {
  const pairs = [
    ["State", [stateBadge(node), node.state_ms === null ? "" : ` for ${time(node.state_ms)}`]],
    ["Zone", node.zone],
    ["HTTP", node.http],
    ["Round trip", ms(node.rtt_ms)],
    ["Its load’s age", time(node.load_age_ms)],
    ["CPU", bar(node.cpu, "CPU")],
    ["Memory", bar(node.memory, "memory")],
    ["Queue", queue(node)],
    ["Running", node.running === null ? "–" : `${node.running} of ${node.workers}`],
    ["A job that comes now waits about", time(node.backlog_ms)],
    ["A transcode takes about", node.service_ms ? time(node.service_ms) : "–"],
    ["Encodes in hardware", node.hardware.join(", ") || "nothing"],
  ];
  if (node.damped_ms) pairs.push(["Gets no work for", time(node.damped_ms)]);
  if (node.heard_at) pairs.push(["Answers from", node.heard_at]);
  if (node.scrape_error) pairs.push(["Its metrics", node.scrape_error]);
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function figures(node, source) {
  if (!node.figures) {
    const why = source.kind === "node" ? `What ${node.name} counts is on its own dashboard, and on a monitor’s (starling monitor).` : "It could not be asked yet.";
    return [h("p", { class: "dim" }, why)];
  }
  return FIGURES.map(([title, rows]) =>
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h("caption", {}, title),
        h("tbody", {}, rows.map(([name, of]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "n" }, of(node.figures))))),
      ),
    ),
  );
}

let page = null;

function build(name) {
  const parts = { name, head: h("div", {}), facts: h("div", {}), figures: h("div", { class: "two" }), charts: h("div", { class: "charts" }), events: h("div", {}) };
  parts.cpu = chart(parts.charts, { title: "CPU and memory", unit: "%", series: ["CPU", "memory"] });
  parts.jobs = chart(parts.charts, { title: "Jobs", unit: "", series: ["waiting", "running"] });
  byId("node-page").replaceChildren(
    h("p", {}, h("a", { href: "#" }, "← All nodes")),
    parts.head,
    parts.facts,
    h("h3", {}, "Since this page was opened"),
    parts.charts,
    parts.figures,
    h("h3", {}, "What happened to it"),
    parts.events,
  );
  return parts;
}

export function showNode(state, name, sayEvent) {
  if (page?.name !== name) page = build(name);
  const node = state.nodes.find((one) => one.name === name);
  show(page.head, h("h2", {}, name, " "));
  if (!node) {
    show(page.facts, h("p", {}, "No such node is known here."));
    show(page.figures);
    return;
  }
  show(page.facts, facts(node));
  show(page.figures, figures(node, state.source));
  const trace = live.traces.get(name) ?? [];
  const column = (index, factor = 1) => trace.map((point) => (point[index] === null ? null : point[index] * factor));
  page.cpu([column(0), column(1, 100), column(2, 100)]);
  page.jobs([column(0), column(3), column(4)]);
  const events = state.events.filter((event) => event.member === name).reverse();
  show(page.events, events.length > 0 ? h("ol", { class: "timeline" }, events.map(sayEvent)) : h("p", { class: "dim" }, "Nothing lately."));
}

export function leaveNode() {
  page = null;
  byId("node-page").replaceChildren();
}
