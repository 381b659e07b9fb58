// Jobs, decisions, and the tables of the paper's dashboard.

import { arrange, bar, byId, bytes, h, ms, nodeLink, number, percent, seconds, show, time } from "./dom.js";

const ROUTES = { local: "here", "same-region": "same region", "cross-region": "other region" };
const CACHE = { hit: "was there", miss: "made", joined: "joined" };
const JOBS_SHOWN = 30;

const head = (...names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name))));

function scroll(label, table) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
}

function progress(job) {
  if (job.state === "running" && job.progress !== null) return bar(job.progress, `progress of ${job.content}`);
  const level = { done: "ok", failed: "bad", running: "run", waiting: "wait", sent: "run", placing: "wait" }[job.state];
  return h("span", { class: `badge ${level ?? ""}` }, job.state);
}

function jobRow(job) {
  const way = job.from ? `for ${job.from}` : ROUTES[job.route] ?? "";
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("code", {}, job.content)),
    h("td", {}, job.profile ?? "–"),
    h("td", {}, progress(job)),
    h("td", {}, job.by ? nodeLink(job.by) : "–"),
    h("td", {}, way),
    h("td", {}, CACHE[job.cache] ?? ""),
    h("td", { class: "n" }, job.took_ms === null ? time(job.age_ms) : ms(job.took_ms)),
    h("td", { class: "note" }, job.note ?? ""),
  );
}

/// Jobs that were accepted (POST /jobs) and are not done: they wait in a node's journal, however many there are.
function accepted(state) {
  const told = state.nodes.filter((node) => node.figures);
  const sum = (of) => told.reduce((all, node) => all + (of(node.figures) ?? 0), 0);
  const [waiting, running] = [sum((f) => f.accepted_waiting), sum((f) => f.accepted_running)];
  if (waiting + running === 0) return null;
  const where = state.source.kind === "node" ? ` at ${state.source.name}` : "";
  return h("p", { id: "accepted" }, `Accepted jobs${where}: ${number(waiting)} ${waiting === 1 ? "waits" : "wait"}, ${number(running)} at work.`);
}

export function showJobs(state) {
  const over = (job) => ["done", "failed", "cancelled"].includes(job.state);
  const jobs = [...state.jobs].reverse();
  const shown = [...jobs.filter((job) => !over(job)), ...jobs.filter(over)].slice(0, JOBS_SHOWN);
  if (shown.length === 0) {
    show(byId("jobs-body"), accepted(state), h("p", { class: "dim" }, "None lately: drop a video below."));
    return;
  }
  const names = ["Upload", "Profile", "State", "At", "Way", "Result", "Time", "Note"];
  show(byId("jobs-body"), accepted(state), scroll("Table of jobs", h("table", {}, head(...names), h("tbody", {}, shown.map(jobRow)))));
}

function candidate(one) {
  return h(
    "tr",
    { class: one.won ? "won" : "" },
    h("th", { scope: "row" }, one.won ? "✓ " : "", nodeLink(one.name)),
    h("td", {}, one.zone),
    h("td", { class: "n" }, one.score === null ? "–" : number(one.score, 4)),
    h("td", { class: "n" }, one.route === "local" ? "here" : ms(one.rtt_ms)),
    h("td", { class: "n" }, percent(one.cpu)),
    h("td", { class: "n" }, one.queued === null ? "–" : `${one.queued} + ${one.running}`),
    h("td", { class: "n" }, ms(one.wait_ms)),
    h("td", { class: "n" }, ms(one.work_ms)),
    h("td", { class: "n" }, ms(one.transfer_ms)),
    h("td", {}, one.why),
  );
}

/// Which decisions the person has opened or closed.
const opened = new Map();

function decision(one, index) {
  const id = `${one.node} ${one.content} ${one.candidates.length}`;
  const names = ["Candidate", "Zone", "Score", "Round trip", "CPU", "Waiting + running", "Wait", "Work", "Transfer", "Why"];
  const open = opened.get(id) ?? index === 0;
  return h(
    "details",
    { open, ontoggle: (event) => opened.set(id, event.target.open) },
    h(
      "summary",
      {},
      h("code", {}, one.content),
      ` ${one.profile ?? ""} → ${one.chosen ?? (one.over ? "no node" : "no node yet")} `,
      h("span", { class: "dim" }, `${one.policy}, at ${one.node}`),
    ),
    scroll(`Candidates for ${one.content}`, h("table", {}, head(...names), h("tbody", {}, one.candidates.map(candidate)))),
  );
}

/// A place for each of the newest ones.
const decisionPlaces = [];

export function* showDecisions(state) {
  const newest = [...state.decisions].reverse().slice(0, 10);
  if (newest.length === 0) {
    show(byId("decisions-body"), h("p", { class: "dim" }, "None yet: a decision is made for each upload whose result is not there."));
    return;
  }
  while (decisionPlaces.length < newest.length) decisionPlaces.push(h("div", {}));
  for (const [index, one] of newest.entries()) {
    show(decisionPlaces[index], decision(one, index));
    yield;
  }
  arrange(byId("decisions-body"), decisionPlaces.slice(0, newest.length));
}

/// One table: its title, and a name, a text and perhaps a sum for each column.
const TABLES = [
  ["CPU and memory", [
    ["CPU", (n) => percent(n.cpu)],
    ["Memory", (n) => percent(n.memory)],
    ["Of its process", (n, f) => bytes(f?.resident_bytes)],
    ["Disk free", (n, f) => bytes(f?.disk_free_bytes)],
  ]],
  ["Queue", [
    ["Waiting", (n) => number(n.queued)],
    ["Of", (n) => number(n.queue_capacity)],
    ["Running", (n) => number(n.running)],
    ["Accepted jobs waiting", (n, f) => number(f?.accepted_waiting)],
    ["Enqueued a minute", (n, f) => number(f?.enqueued_per_min, 1)],
    ["Dequeued a minute", (n, f) => number(f?.dequeued_per_min, 1)],
    ["Growth a minute", (n, f) => number(f?.growth_per_min, 1)],
  ]],
  ["Local processing", [
    ["Done where it came in", (n, f) => number(f?.local)],
    ["A minute", (n, f) => number(f?.local_per_min, 1)],
    ["Transcodes", (n, f) => number(f?.transcodes)],
    ["Without a result", (n, f) => number(f?.transcode_failures)],
  ]],
  ["Offloads", [
    ["Same region", (n, f) => number(f?.offloads_same)],
    ["Other region", (n, f) => number(f?.offloads_cross)],
    ["In vain", (n, f) => number(f?.offloads_failed)],
  ]],
  ["Responses to peers", [
    ["Same region", (n, f) => number(f?.responses_same)],
    ["Other region", (n, f) => number(f?.responses_cross)],
  ]],
  ["Cache", [
    ["Hits", (n, f) => number(f?.cache_hits)],
    ["Misses", (n, f) => number(f?.cache_misses)],
    ["Joined", (n, f) => number(f?.cache_joins)],
    ["Evicted", (n, f) => number(f?.evictions)],
    ["Results", (n, f) => number(f?.cached_results)],
    ["Bytes", (n, f) => bytes(f?.cache_bytes)],
  ]],
  ["Answers to clients", [
    ["With a result", (n, f) => number(f?.ok)],
    ["Refused", (n, f) => number(f?.refused)],
    ["Failed", (n, f) => number(f?.failed)],
    ["Median", (n, f) => seconds(f?.p50_s)],
    ["95th percentile", (n, f) => seconds(f?.p95_s)],
    ["99th percentile", (n, f) => seconds(f?.p99_s)],
  ]],
];
const ROWS_MAX = 60;

function paperTable([title, columns], nodes) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
    h(
      "table",
      { class: "paper" },
      h("caption", {}, title),
      head("Node", ...columns.map(([name]) => name)),
      h(
        "tbody",
        {},
        nodes.map((node) =>
          h("tr", {}, h("th", { scope: "row" }, nodeLink(node.name)), columns.map(([, of]) => h("td", { class: "n" }, of(node, node.figures)))),
        ),
      ),
    ),
  );
}

function clients(state) {
  const trend = (of, text) => [of.latest, of.max, of.mean].map((value) => h("td", { class: "n" }, text(value)));
  const names = ["Client", "Requests a second: latest", "highest", "mean", "Latency: latest", "highest", "mean", "With a result", "Of", "Reported"];
  const rate = (value) => number(value, 2);
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Client summary" },
    h(
      "table",
      { class: "paper" },
      h("caption", {}, "Client summary"),
      head(...names),
      h(
        "tbody",
        {},
        state.clients.map((client) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, client.name),
            trend(client.throughput, rate),
            trend(client.latency_s, seconds),
            h("td", { class: "n" }, number(client.success)),
            h("td", { class: "n" }, number(client.total)),
            h("td", { class: "n" }, `${time(client.age_ms)} ago`),
          ),
        ),
      ),
    ),
  );
}

/// A place for what is said about the tables, and one for each of them.
let tables = null;

export function* showTables(state) {
  if (!tables) {
    tables = { notes: h("div", {}), places: [...TABLES, "clients"].map(() => h("div", {})) };
    byId("tables-body").replaceChildren(tables.notes, h("div", { class: "tables" }, tables.places));
  }
  const nodes = state.nodes.filter((node) => node.state !== "left" && !node.observer);
  const first = nodes.slice(0, ROWS_MAX);
  const more = nodes.length - first.length;
  const own = state.source.kind === "node" && nodes.length > 1;
  show(
    tables.notes,
    own && h("p", { class: "dim" }, `This is ${state.source.name}’s own view: what the others count is on their own dashboards, and all of it on a monitor’s (starling monitor).`),
    more > 0 && h("p", { class: "dim" }, `The first ${ROWS_MAX} nodes; ${number(more)} more have pages of their own.`),
  );
  for (const [index, one] of TABLES.entries()) {
    show(tables.places[index], paperTable(one, first));
    yield;
  }
  show(tables.places.at(-1), state.clients.length > 0 && clients(state));
}
