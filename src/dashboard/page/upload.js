// A video sent to the node, its progress, and what came of it.

import { byId, bytes, h, show, time } from "./dom.js";

/// Uploads that one drop may begin, and results that are kept to be looked at.
const FILES_MAX = 8;
const RESULTS_MAX = 12;

let built = null;

async function profiles() {
  const answer = await fetch("/profiles");
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

function build() {
  const select = h("select", { id: "profile" });
  const input = h("input", { id: "file", type: "file", accept: "video/*,audio/*,image/gif", multiple: true });
  const zone = h(
    "div",
    { class: "drop", id: "drop" },
    h("p", {}, "Drop videos here, or ", h("label", { for: "file" }, "choose files"), " ", input),
    h("p", {}, h("label", { for: "profile" }, "Make "), select),
  );
  const results = h("ol", { class: "results", "aria-label": "Uploads, the newest first" });
  byId("upload-body").replaceChildren(zone, results);
  profiles().then(
    (known) => {
      for (const one of known.profiles) {
        select.append(h("option", { value: one.name, selected: one.name === known.default, disabled: !one.available }, one.name));
      }
    },
    () => select.append(h("option", { value: "" }, "the default")),
  );
  const take = (files) => [...files].slice(0, FILES_MAX).forEach((file) => send(file, select.value, results));
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  // Anywhere on the page: nobody aims at a box, and a file that misses it would replace the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer?.files ?? []);
  });
  return { results };
}

function send(file, profile, results) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
  const words = h("span", { role: "status" }, "sending");
  const request = new XMLHttpRequest();
  const stop = h("button", { type: "button", onclick: () => request.abort() }, "Stop");
  const item = h("li", {}, h("div", { class: "line" }, h("strong", {}, file.name), ` ${bytes(file.size)} `, bar, " ", words, " ", stop));
  results.prepend(item);
  while (results.children.length > RESULTS_MAX) {
    URL.revokeObjectURL(results.lastChild.dataset.url ?? "");
    results.lastChild.remove();
  }
  const begun = performance.now();
  const over = (text, level) => {
    bar.remove();
    stop.remove();
    words.textContent = text;
    item.className = level;
  };
  request.open("POST", `/upload${profile ? `?profile=${encodeURIComponent(profile)}` : ""}`);
  request.responseType = "blob";
  // Names have more letters than headers.
  request.setRequestHeader("X-Filename", file.name.replace(/[^\x20-\x7e]/g, "_"));
  request.upload.addEventListener("progress", (event) => {
    bar.value = event.lengthComputable ? event.loaded / event.total : 0;
    words.textContent = `sent ${bytes(event.loaded)}`;
  });
  request.upload.addEventListener("load", () => {
    bar.removeAttribute("value");
    words.textContent = "being made";
  });
  request.addEventListener("abort", () => over("stopped", "gone"));
  request.addEventListener("error", () => over("the node could not be reached, or the connection broke", "bad"));
  request.addEventListener("load", async () => {
    if (request.status === 200) {
      over(`done in ${time(performance.now() - begun)}`, "ok");
      item.append(result(request, file, item));
    } else {
      over(await problem(request), "bad");
    }
  });
  request.send(file);
}

async function problem(request) {
  try {
    const told = JSON.parse(await request.response.text());
    return `${told.title ?? request.status}: ${told.detail ?? ""}`;
  } catch {
    return `the node answered ${request.status}`;
  }
}

function result(request, file, item) {
  const blob = request.response;
  const url = URL.createObjectURL(blob);
  item.dataset.url = url;
  const said = (name) => request.getResponseHeader(name) ?? "";
  const kind = blob.type.split("/")[0];
  const saved = /filename="?([^";]+)"?/.exec(said("content-disposition"))?.[1] ?? file.name;
  const name = `result of ${file.name}`;
  const shown = {
    video: () => h("video", { src: url, controls: true, preload: "metadata", playsinline: true, "aria-label": name }),
    audio: () => h("audio", { src: url, controls: true, preload: "metadata", "aria-label": name }),
    image: () => h("img", { src: url, alt: name }),
  }[kind];
  return h(
    "div",
    { class: "result" },
    h("p", { class: "dim" }, `${bytes(blob.size)}, by ${said("x-served-by")}, ${said("x-route")}, cache: ${said("x-cache")} `, h("a", { href: url, download: saved }, "Save")),
    shown ? shown() : h("p", {}, "This is a set of files: save it, and unpack it."),
  );
}

export function showUpload(state) {
  const here = state.source.kind === "node";
  byId("upload").hidden = !here;
  if (here) built ??= build();
}
