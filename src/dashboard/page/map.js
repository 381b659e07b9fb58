// The zones as a map: where each stands is worked out from the round trips, so that what is far is drawn far.

import { byId, h, ms, number, percent, s, show } from "./dom.js";

const WIDTH = 640;
const HEIGHT = 340;
const MARGIN = 62;
/// With more zones than these, a list says more.
const ZONES_MAX = 12;

const key = (a, b) => (a < b ? `${a}\n${b}` : `${b}\n${a}`);

/// A place for each zone: first on a circle, then pulled and pushed until distances are like the round trips.
function places(zones, links) {
  const wanted = new Map();
  for (const link of links) if (link.from !== link.to && link.rtt_ms) wanted.set(key(link.from, link.to), Math.sqrt(link.rtt_ms));
  const longest = Math.max(1, ...wanted.values());
  const at = zones.map((_, index) => {
    const angle = (index / zones.length) * 2 * Math.PI - Math.PI / 2;
    return { x: Math.cos(angle), y: Math.sin(angle) };
  });
  for (let round = 0; round < 200; round += 1) {
    for (let i = 0; i < zones.length; i += 1) {
      for (let j = i + 1; j < zones.length; j += 1) {
        const want = ((wanted.get(key(zones[i].name, zones[j].name)) ?? longest) / longest) * 1.2 + 0.8;
        const [dx, dy] = [at[j].x - at[i].x, at[j].y - at[i].y];
        const have = Math.hypot(dx, dy) || 0.01;
        const move = ((have - want) / have) * 0.1;
        at[i].x += dx * move;
        at[i].y += dy * move;
        at[j].x -= dx * move;
        at[j].y -= dy * move;
      }
    }
  }
  return scaled(at);
}

function scaled(at) {
  const [xs, ys] = [at.map((place) => place.x), at.map((place) => place.y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const fit = (value, low, high, size) => (high - low < 0.01 ? size / 2 : MARGIN + ((value - low) / (high - low)) * (size - 2 * MARGIN));
  return at.map((place) => ({ x: fit(place.x, left, right, WIDTH), y: fit(place.y, top, bottom, HEIGHT) }));
}

/// Where zones stand changes only with the zones: a map that wobbles is not read.
let kept = { names: "", known: 0, at: [] };

function stay(zones, links) {
  const names = zones.map((zone) => zone.name).join("\n");
  const known = links.filter((link) => link.rtt_ms).length;
  if (names !== kept.names || known > kept.known) kept = { names, known, at: places(zones, links) };
  return kept.at;
}

function level(zone) {
  if (zone.alive === 0 && zone.suspect === 0) return "bad";
  return zone.alive < zone.members ? "warn" : "ok";
}

function words(link) {
  if (link.cut) return "cut";
  // On a machine that is busy they are late: it is shown, and not judged.
  const loss = link.loss >= 0.05 ? `, ${percent(link.loss)} late or lost` : "";
  return `${ms(link.rtt_ms)}${loss}`;
}

function drawLink(link, from, to) {
  const [x, y] = [(from.x + to.x) / 2, (from.y + to.y) / 2];
  const kind = link.cut ? "cut" : link.loss > 0.2 ? "lossy" : link.rtt_ms === null ? "unknown" : "well";
  const line = s("line", { class: `link ${kind}`, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
  if (kind === "unknown") return [line];
  const label = words(link);
  const wide = 12 + label.length * 7.6;
  const scissors = link.cut
    ? s("g", { class: "scissors", transform: `translate(${x} ${y - 24})` }, s("path", { d: "M-8 -8 L8 8 M-8 8 L8 -8" }))
    : null;
  return [
    line,
    s("rect", { class: "label-back", x: x - wide / 2, y: y - 12, width: wide, height: 24, rx: 6 }),
    s("text", { class: `label ${kind}`, x, y: y + 5 }, label),
    scissors,
  ].filter(Boolean);
}

function drawZone(zone, place, within) {
  const size = 26 + Math.min(16, Math.sqrt(zone.members) * 4);
  return s(
    "g",
    { class: `zone ${level(zone)}`, transform: `translate(${place.x} ${place.y})` },
    s("circle", { r: size }),
    s("text", { class: "zone-name", y: -2 }, zone.name.length > 9 ? `${zone.name.slice(0, 8)}…` : zone.name),
    s("text", { class: "zone-count", y: 14 }, `${zone.alive}/${zone.members}`),
    s("text", { class: "zone-within", y: size + 16 }, within?.rtt_ms ? `${ms(within.rtt_ms)} within` : ""),
  );
}

function said(state) {
  const between = state.links.filter((link) => link.from !== link.to && (link.cut || link.rtt_ms !== null));
  return between.map((link) => `${link.from} to ${link.to}: ${words(link)}`).join("; ") || "no links are known";
}

function list(state) {
  const cut = state.links.filter((link) => link.cut);
  return h(
    "div",
    {},
    h(
      "ul",
      { class: "chips" },
      state.zones.map((zone) => h("li", { class: level(zone) }, `${zone.name} ${zone.alive}/${zone.members}`)),
    ),
    cut.length > 0 && h("p", { class: "bad" }, `Cut: ${cut.slice(0, 20).map((link) => `${link.from}–${link.to}`).join(", ")}`),
  );
}

function table(state) {
  const between = state.links.filter((link) => link.cut || link.rtt_ms !== null);
  const title = between.length === 1 ? "The link as a table" : `All ${number(between.length)} links as a table, within zones and between them`;
  return h(
    "details",
    {},
    h("summary", {}, title),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["From", "To", "Round trip", "Lost", "State"].map((name) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        between.slice(0, 300).map((link) =>
          h(
            "tr",
            {},
            h("td", {}, link.from),
            h("td", {}, link.to),
            h("td", { class: "n" }, ms(link.rtt_ms)),
            h("td", { class: "n" }, percent(link.loss)),
            h("td", {}, link.cut ? "cut" : "open"),
          ),
        ),
      ),
    ),
  );
}

let body = null;

export function showMap(state) {
  body ??= { picture: h("div", { class: "picture" }), table: h("div", {}) };
  const place = byId("map-body");
  if (place.firstChild !== body.picture) place.replaceChildren(body.picture, body.table);
  if (state.zones.length > ZONES_MAX) {
    show(body.picture, list(state));
  } else if (state.zones.length > 0) {
    const at = stay(state.zones, state.links);
    const where = new Map(state.zones.map((zone, index) => [zone.name, at[index]]));
    const within = new Map(state.links.filter((link) => link.from === link.to).map((link) => [link.from, link]));
    const lines = state.links.filter((link) => link.from !== link.to && where.has(link.from) && where.has(link.to));
    show(
      body.picture,
      s(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Map of the zones. ${said(state)}` },
        lines.map((link) => drawLink(link, where.get(link.from), where.get(link.to))),
        state.zones.map((zone, index) => drawZone(zone, at[index], within.get(zone.name))),
      ),
    );
  }
  // What is open stays open: the table is replaced within.
  const made = table(state);
  const have = body.table.firstChild;
  if (have) {
    made.open = have.open;
    show(have, ...made.childNodes);
  } else body.table.append(made);
}
