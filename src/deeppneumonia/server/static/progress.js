// A study on its way: state, place and time stay fresh; buttons cancel, repeat and delete.

const box = document.querySelector("#progress");
const problem = document.querySelector("#problem");
const address = `/api/v1/studies/${box?.dataset.study}`;
const WORDS = { queued: "waiting", running: "being read" };

function duration(seconds) {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (!minutes) return `${whole} s`;
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

async function look() {
  const answer = await fetch(address).catch(() => null);
  if (answer?.status === 401 || answer?.status === 404) location.reload(); // the page says why
  if (!answer?.ok) return;
  const study = await answer.json();
  if (!(study.state in WORDS)) location.reload();
  const state = document.querySelector("#state");
  if (state.textContent !== WORDS[study.state]) state.textContent = WORDS[study.state];
  document.querySelector("#place").textContent = study.place ?? "–";
  document.querySelector("#elapsed").textContent = duration(study.elapsed_s);
  document.querySelector("#reason").textContent = study.reason ?? "–";
}

async function change(button) {
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  const verb = button.dataset.do;
  const asked = verb === "delete"
    ? fetch(address, { method: "DELETE" })
    : fetch(`${address}/${verb}`, { method: "POST" });
  const answer = await asked.catch(() => null);
  if (answer?.ok) {
    if (verb === "delete") location.assign("/");
    else location.reload();
  } else {
    const said = await answer?.json().catch(() => null);
    problem.textContent = said?.detail ?? "The server does not answer: try again.";
  }
}

box?.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) change(button);
});
if (box?.dataset.moving === "true") setInterval(look, 1000);
