// Key slices: the layers over them, and the way from them into the viewer.
import "./progress.js";

const opacity = document.querySelector("#heat-opacity");
const heat = document.querySelector("#show-heat");
const boxes = document.querySelector("#show-boxes");

for (const stack of document.querySelectorAll(".stack")) {
  stack.style.aspectRatio = stack.dataset.aspect;
}

function layer() {
  for (const one of document.querySelectorAll("#keys .heat")) {
    one.hidden = !heat.checked;
    one.style.opacity = opacity.value / 100;
  }
  for (const one of document.querySelectorAll("#keys .boxes")) {
    one.style.visibility = boxes.checked ? "visible" : "hidden";
  }
}

for (const control of [opacity, heat, boxes]) control?.addEventListener("input", layer);

document.querySelector("#keys")?.addEventListener("click", (event) => {
  const button = event.target.closest("[data-slice]");
  if (!button) return;
  const planes = document.querySelector("#volume[aria-pressed=true]");
  if (planes) planes.click(); // back to the slices
  const slider = document.querySelector("#slice");
  slider.value = button.dataset.slice;
  slider.dispatchEvent(new Event("input"));
  document.querySelector("#stage").scrollIntoView({ block: "center" });
  document.querySelector("#stage").focus();
});
