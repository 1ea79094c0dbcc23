// The viewer of slices: pictures made by the server, scrolled, windowed and zoomed here.

const LATE_MS = 200; // a picture that takes longer leaves the stage empty meanwhile
const root = document.querySelector("#viewer");
if (root) start(root);

function start(root) {
  const study = JSON.parse(root.dataset.viewer);
  const find = (id) => root.querySelector(`#${id}`);
  const stage = find("stage");
  const slide = find("slide");
  const slider = find("slice");
  const held = new Map(); // pictures that came already, so that scrolling back asks for nothing
  const view = { center: -600, width: 1500, zoom: 1, x: 0, y: 0 };

  const address = (index) => `${study.slice_urls}${index}.png?center=${view.center}&width=${view.width}`;

  function picture(index) {
    const source = address(index);
    if (!held.has(source)) {
      const image = new Image();
      image.alt = "";
      image.draggable = false;
      image.src = source;
      image.addEventListener("error", () => held.delete(source));
      held.set(source, image);
      if (held.size > 150) held.delete(held.keys().next().value);
    }
    return held.get(source);
  }

  async function show() {
    const index = Number(slider.value);
    const asked = address(index);
    const image = picture(index);
    const says = caption(index);
    // The words beside a picture are those of the picture: a slow server must not have another
    // slice's number beside what is still shown.
    const late = setTimeout(() => blank(`${says}: loading`), LATE_MS);
    const came = await image.decode().then(() => true, () => false);
    clearTimeout(late);
    if (address(Number(slider.value)) !== asked) return; // overtaken
    if (!came) {
      blank(`${says}: the picture did not come`);
      return;
    }
    slide.replaceChildren(image, ...heatOf(index), ...boxesOf(index));
    find("where").textContent = says;
    for (const next of [index + 1, index - 1]) {
      if (next >= 0 && next < study.slices) picture(next);
    }
  }

  function blank(words) {
    slide.replaceChildren();
    find("where").textContent = words;
  }

  function caption(index) {
    const height = study.sides ? `, ${Math.round(index * study.slice_mm)} mm up` : "";
    const key = study.keys.includes(index) ? ", key slice" : "";
    slider.setAttribute("aria-valuetext", `slice ${index}${key}`);
    return `Slice ${index} of 0 to ${study.slices - 1}${height}${key}`;
  }

  function heatOf(index) {
    if (!find("viewer-heat").checked || !study.heat[index]) return [];
    const image = new Image();
    image.className = "heat";
    image.alt = "";
    image.src = study.heat[index];
    return [image];
  }

  function boxesOf(index) {
    if (!find("viewer-boxes").checked || !study.boxes[index]) return [];
    const name = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(name, "svg");
    drawing.setAttribute("class", "boxes");
    drawing.setAttribute("viewBox", `0 0 ${study.columns} ${study.rows}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    for (const [x0, y0, x1, y1] of study.boxes[index]) {
      const box = document.createElementNS(name, "rect");
      const sides = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
      for (const [key, value] of Object.entries(sides)) box.setAttribute(key, value);
      drawing.append(box);
    }
    return [drawing];
  }

  function lay() {
    const width = study.columns * study.column_mm;
    const height = study.rows * study.row_mm;
    const fit = Math.min(stage.clientWidth / width, stage.clientHeight / height) * view.zoom;
    slide.style.width = `${width * fit}px`;
    slide.style.height = `${height * fit}px`;
    slide.style.transform = `translate(calc(-50% + ${view.x}px), calc(-50% + ${view.y}px))`;
  }

  function zoom(factor) {
    view.zoom = factor ? Math.min(Math.max(view.zoom * factor, 0.5), 12) : 1;
    if (!factor) view.x = view.y = 0;
    stage.style.touchAction = view.zoom > 1 ? "none" : "";
    lay();
  }

  function scroll(steps) {
    slider.value = Number(slider.value) + steps;
    slider.dispatchEvent(new Event("input"));
  }

  // Within the limits of its field, as the server has them; what is no number stays as it was.
  function allowed(id, typed) {
    const { min, max } = find(id);
    const number = typed === "" ? NaN : Number(typed);
    return Number.isFinite(number) ? Math.min(Math.max(number, min), max) : view[id];
  }

  function setWindow(typedCenter, typedWidth) {
    const center = allowed("center", typedCenter);
    const width = allowed("width", typedWidth);
    Object.assign(view, { center, width });
    find("center").value = center;
    find("width").value = width;
    for (const button of root.querySelectorAll("[data-window]")) {
      button.setAttribute("aria-pressed", String(button.dataset.window === `${center},${width}`));
    }
    show();
    root.dispatchEvent(new CustomEvent("window", { detail: view }));
  }

  const preset = (button) => button && setWindow(...button.dataset.window.split(",").map(Number));
  const flip = (id) => find(id).click();
  const KEYS = {
    ArrowUp: () => scroll(1), ArrowRight: () => scroll(1),
    ArrowDown: () => scroll(-1), ArrowLeft: () => scroll(-1),
    PageUp: () => scroll(10), PageDown: () => scroll(-10),
    Home: () => scroll(-study.slices), End: () => scroll(study.slices),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: () => zoom(0),
    l: () => preset(root.querySelectorAll("[data-window]")[0]),
    m: () => preset(root.querySelectorAll("[data-window]")[1]),
    h: () => flip("viewer-heat"), b: () => flip("viewer-boxes"),
  };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) zoom(event.deltaY < 0 ? 1.1 : 0.9);
    else scroll(event.deltaY < 0 ? 1 : -1);
  }, { passive: false });

  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    grip = { x: event.clientX - view.x, y: event.clientY - view.y };
    if (view.zoom > 1) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!grip || view.zoom <= 1) return;
    Object.assign(view, { x: event.clientX - grip.x, y: event.clientY - grip.y });
    lay();
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { grip = null; });

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.window) preset(button);
    if (button?.dataset.zoom) zoom(Number(button.dataset.zoom));
  });
  for (const id of ["center", "width"]) {
    find(id)?.addEventListener("change", () => {
      setWindow(find("center").value, find("width").value);
    });
  }
  for (const id of ["viewer-heat", "viewer-boxes"]) find(id).addEventListener("change", show);
  slider.addEventListener("input", show);
  new ResizeObserver(lay).observe(stage);
  show();
  if (root.dataset.niivue === "true") {
    import("./planes.js").then(({ offer }) => offer(root, study, view)).catch(() => {});
  }
}
