// Buttons that break things: there where a lab serves this page, to whom it gave its token, and nowhere else.

import { byId, h, show } from "./dom.js";

const KEY = "lab-token";

/// The lab prints an address with the token in the part after the #, which no browser sends to anybody.
function token() {
  const given = /^#lab=([0-9a-f]+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem(KEY, given[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY);
}

const mine = token();
let built = null;
let lab = null;

async function ask(path, order) {
  const answer = await fetch(path, {
    method: order ? "POST" : "GET",
    headers: { "X-Lab-Token": mine, ...(order ? { "Content-Type": "application/json" } : {}) },
    body: order ? JSON.stringify(order) : undefined,
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail ?? `${answer.status}`);
  return told;
}

async function act(order, words) {
  built.said.textContent = `${words} …`;
  try {
    lab = await ask("/lab/do", order);
    built.said.textContent = `${words}: done.`;
    draw();
  } catch (error) {
    built.said.textContent = `${words}: ${error.message}`;
  }
}

const button = (text, order, words, dangerous = false) =>
  h("button", { type: "button", class: dangerous ? "danger" : null, onclick: () => act(order(), words()) }, text);

function build() {
  const node = h("select", { id: "lab-node" });
  const zone = h("select", { id: "lab-zone" });
  const link = h("select", { id: "lab-link" });
  const said = h("p", { role: "status", id: "lab-said" });
  const faults = h("div", {});
  const one = (name, verb) => [() => ({ do: name, node: node.value }), () => `${verb} ${node.value}`];
  byId("lab-body").replaceChildren(
    h(
      "div",
      { class: "lab" },
      h(
        "fieldset",
        {},
        h("legend", {}, "A node"),
        h("label", { for: "lab-node" }, "Node"),
        node,
        button("Kill", ...one("kill", "Kill"), true),
        button("Start again", ...one("restart", "Start")),
        button("Freeze", ...one("stop", "Freeze"), true),
        button("Let go on", ...one("continue", "Let go on")),
      ),
      h(
        "fieldset",
        {},
        h("legend", {}, "The network"),
        h("label", { for: "lab-zone" }, "Zone"),
        zone,
        button("Cut off", () => ({ do: "partition", groups: zone.value }), () => `Cut off ${zone.value}`, true),
        h("label", { for: "lab-link" }, "Link"),
        link,
        button("Lose 30 %", () => ({ do: "fault", links: link.value, loss_percent: 30 }), () => `Lose 30 % on ${link.value}`, true),
        button("Delay by 100 ms", () => ({ do: "fault", links: link.value, delay_ms: 100 }), () => `Delay ${link.value}`, true),
        button("Heal all", () => ({ do: "heal" }), () => "Heal all"),
      ),
    ),
    said,
    faults,
  );
  return { node, zone, link, said, faults };
}

/// The choices, which stay as they are while they are the same.
function choices(select, names) {
  const chosen = select.value;
  show(select, names.map((name) => h("option", { value: name }, name)));
  if (names.includes(chosen)) select.value = chosen;
}

function draw() {
  const nodes = lab.report?.nodes ?? [];
  const zones = [...new Set(nodes.map((node) => node.zone))].sort();
  choices(built.node, nodes.map((node) => node.name));
  choices(built.zone, zones);
  choices(built.link, zones.flatMap((from, index) => zones.slice(index + 1).map((to) => `${from}-${to}`)));
  const off = nodes.filter((node) => node.state !== "running").map((node) => `${node.name} is ${node.state === "down" ? "down" : "frozen"}`);
  show(
    built.faults,
    h("p", { class: "dim" }, [...off, ...lab.faults.map((fault) => `${fault.links}: ${fault.change}`)].join("; ") || "Nothing is broken."),
  );
}

export function showLab() {
  if (!mine || built) return;
  byId("lab").hidden = false;
  built = build();
  ask("/lab").then(
    (told) => {
      lab = told;
      draw();
    },
    (error) => {
      built.said.textContent = `The lab does not take orders: ${error.message}`;
    },
  );
}
