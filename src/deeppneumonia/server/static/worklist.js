// The worklist: sends what is dropped, keeps the list fresh, moves through it by keys.
import { studiesOf, filesOfDrop } from "./drop.js";

const rows = document.querySelector("#rows");
const uploads = document.querySelector("#uploads");
const news = document.querySelector("#news");
const drop = document.querySelector("#drop");

function line(title) {
  const item = document.createElement("li");
  const bar = document.createElement("progress");
  const word = document.createElement("span");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Sending ${title}`);
  word.textContent = "waits";
  item.append(document.createTextNode(title), bar, word);
  uploads.append(item);
  return { item, bar, word };
}

function send(study, shown) {
  return new Promise((resolve) => {
    const form = new FormData();
    form.append("label", study.title);
    form.append("source", "page");
    for (const { file, path } of study.files) form.append("files", file, path);
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/studies");
    request.upload.onprogress = (event) => {
      shown.bar.value = event.total ? event.loaded / event.total : 0;
      shown.word.textContent = `${Math.round(100 * shown.bar.value)}%`;
    };
    request.onloadend = () => {
      finish(request, study, shown);
      resolve();
    };
    request.send(form);
  });
}

function finish(request, study, shown) {
  shown.bar.remove();
  let answer = {};
  try {
    answer = JSON.parse(request.responseText);
  } catch { /* said below */ }
  if (request.status === 200 || request.status === 202) {
    const link = document.createElement("a");
    link.href = `/studies/${answer.id}`;
    link.textContent = request.status === 202 ? "sent" : "was sent before";
    shown.word.replaceChildren(link);
    news.textContent = `${study.title} was sent.`;
  } else {
    const said = typeof answer.detail === "string" ? answer.detail : "";
    shown.word.textContent = said || "The server did not take it: try again.";
    shown.word.className = "failed";
    shown.word.setAttribute("role", "alert");
  }
}

async function sendAll(files) {
  const waiting = studiesOf(files).map((study) => [study, line(study.title)]);
  for (const [study, shown] of waiting) {
    await send(study, shown); // one at a time: the line is the narrow place
    refresh();
  }
}

const query = () => {
  const asked = new URLSearchParams(location.search);
  asked.set("part", "true");
  return asked;
};

async function refresh() {
  const answer = await fetch(`/?${query()}`).catch(() => null);
  if (answer?.status === 401) location.reload(); // the session is over: to the log-in
  if (!answer || !answer.ok || answer.redirected) return;
  const text = await answer.text();
  const held = document.activeElement?.closest("#rows a")?.getAttribute("href");
  if (text === refresh.last) return;
  refresh.last = text;
  rows.innerHTML = text; // made and escaped by the server's template
  if (held) rows.querySelector(`a[href="${held}"]`)?.focus();
}

let rounds = 0;
setInterval(() => {
  const moving = rows.querySelector("[data-moving]")?.dataset.moving === "true";
  rounds += 1;
  // A list at rest is looked at less often: others, and the PACS, send studies too.
  if ((moving || rounds % 5 === 0) && !document.hidden) refresh();
}, 2000);

document.querySelector("#filters").addEventListener("change", (event) => {
  if (event.target.tagName === "SELECT") event.currentTarget.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("[name=search]").focus();
  }
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const links = [...rows.querySelectorAll("th a")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(Math.max(at + step, 0), links.length - 1)]?.focus();
});

if (drop) {
  for (const id of ["files", "folder"]) {
    const input = document.querySelector(`#${id}`);
    input.addEventListener("change", () => {
      sendAll([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
      input.value = "";
    });
  }
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    sendAll(await filesOfDrop(event.dataTransfer));
  });
}
