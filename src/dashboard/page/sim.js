// How a simulated run is played: there where `starling sim --serve` has this page, and nowhere else.

import { byId, h, show } from "./dom.js";

const SPEEDS = [0.1, 0.5, 1, 2, 5, 10, 30, 100];

let built = null;
let playing = null;
let asked = 0;

async function ask(order) {
  const answer = await fetch("/sim", {
    method: order ? "POST" : "GET",
    headers: order ? { "Content-Type": "application/json" } : {},
    body: order ? JSON.stringify(order) : undefined,
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail ?? `${answer.status}`);
  return told;
}

async function act(order) {
  try {
    playing = await ask(order);
    built.said.textContent = "";
    draw();
  } catch (error) {
    built.said.textContent = error.message;
  }
}

const button = (text, order) => h("button", { type: "button", onclick: () => act(order()) }, text);

function build() {
  const speed = h("select", { id: "sim-speed", onchange: () => act({ do: "speed", speed: Number(speed.value) }) });
  speed.replaceChildren(...SPEEDS.map((one) => h("option", { value: String(one) }, `${one} ×`)));
  const node = h("input", { id: "sim-node", type: "number", min: "1", value: "1" });
  const until = h("input", { id: "sim-until", type: "number", min: "0", step: "0.1", placeholder: "seconds" });
  const hold = h("button", { type: "button", id: "sim-hold", onclick: () => act({ do: playing.paused ? "play" : "pause" }) }, "Pause");
  const at = h("p", { id: "sim-at" });
  const said = h("p", { role: "status", id: "sim-said" });
  const broken = h("ul", { id: "sim-broken" });
  const faults = h("ol", { id: "sim-faults", class: "timeline", tabindex: "0", "aria-label": "What goes wrong, the newest first" });
  byId("sim-body").replaceChildren(
    at,
    h(
      "div",
      { class: "lab" },
      h(
        "fieldset",
        {},
        h("legend", {}, "The run"),
        hold,
        button("Step", () => ({ do: "step" })),
        h("label", { for: "sim-speed" }, "Speed"),
        speed,
        button("From the beginning", () => ({ do: "again" })),
      ),
      h(
        "fieldset",
        {},
        h("legend", {}, "Where to look"),
        h("label", { for: "sim-node" }, "Seen by node"),
        node,
        button("Look", () => ({ do: "seen_by", node: Number(node.value) })),
        h("label", { for: "sim-until" }, "Go on until"),
        until,
        button("Go", () => ({ do: "until", at_s: Number(until.value) })),
      ),
    ),
    said,
    broken,
    faults,
  );
  return { speed, hold, at, said, broken, faults, node };
}

function draw() {
  const { at_s, seed, nodes, run, ended, paused, until_s, violations } = playing;
  const how = ended ? "over" : until_s !== null ? `on its way to ${until_s} s` : paused ? "paused" : "running";
  const text = `Seed ${seed}, ${nodes} nodes, run ${run}: ${at_s.toFixed(1)} s, ${how}.`;
  if (built.at.textContent !== text) built.at.textContent = text;
  built.hold.textContent = paused ? "Play" : "Pause";
  built.hold.disabled = ended;
  built.node.max = String(nodes);
  if (document.activeElement !== built.speed) built.speed.value = String(playing.speed);
  const broken = ended && violations.length === 0 ? ["No rule was broken."] : violations.map((one) => `Broken: ${one}`);
  show(built.broken, broken.map((one) => h("li", { class: violations.length ? "bad" : "ok" }, one)));
  show(
    built.faults,
    [...playing.faults].reverse().slice(0, 60).map((fault) => h("li", {}, h("time", {}, `${fault.at_s.toFixed(1)} s`), ` ${fault.what}`)),
  );
}

export function showSimulation(state) {
  if (state.source.kind !== "simulation") return;
  if (!built) {
    byId("sim").hidden = false;
    built = build();
  }
  // The states come each second; what is played is asked for with each.
  const mine = ++asked;
  ask().then(
    (told) => {
      if (mine !== asked) return;
      playing = told;
      draw();
    },
    (error) => {
      built.said.textContent = error.message;
    },
  );
}
