// Three planes of the whole volume in NiiVue, where this server was built with it and the browser
// has WebGL2; loaded when it is asked for.

// As on the slices: inferno without its black, the lung visible beneath it; boxes in sky blue.
const HEAT = {
  R: [86, 188, 249, 252], G: [15, 55, 142, 255], B: [109, 84, 9, 164], A: [0, 255, 255, 255],
  I: [0, 128, 200, 255],
};
// NiiVue paints every layer above the first as strong as it is, whatever A says, so that a trace of
// heat would look like much of it. Below cal_min this type lets it fade with the square of the
// heat; with cal_min at the most that there is, all of it does.
const FADING = 1;
const BOX = { R: [86, 86], G: [180, 180], B: [233, 233], A: [0, 255], I: [0, 255] };
const HAS_WEBGL2 = document.createElement("canvas").getContext("webgl2") !== null;

export function offer(root, study, view) {
  const button = root.querySelector("#volume");
  if (!HAS_WEBGL2 || !button) return;
  button.hidden = false;
  let planes = null;
  button.addEventListener("click", async () => {
    const wanted = button.getAttribute("aria-pressed") !== "true";
    button.disabled = true;
    try {
      if (wanted) {
        swap(root, true); // a canvas that is not laid out has no size to draw into
        planes ??= await open(root, study);
        planes.window(view);
        planes.layers();
        planes.go(Number(root.querySelector("#slice").value));
      } else {
        swap(root, false);
      }
      root.dataset.planes = wanted ? "shown" : "";
    } catch {
      swap(root, false);
      button.hidden = true; // the slices stay; the volume cannot be shown here
    }
    button.disabled = false;
    button.setAttribute("aria-pressed", String(wanted && !button.hidden));
  });
  root.addEventListener("window", () => planes?.window(view));
  for (const id of ["viewer-heat", "viewer-boxes"]) {
    root.querySelector(`#${id}`).addEventListener("change", () => planes?.layers());
  }
}

function swap(root, isVolume) {
  root.querySelector("#stage").hidden = isVolume;
  root.querySelector("#planes").hidden = !isVolume;
  root.querySelector("#viewer-help").hidden = isVolume;
  root.querySelector("#planes-help").hidden = !isVolume;
  root.querySelector("#slice").closest(".tools").hidden = isVolume;
  root.querySelector("#zoom").hidden = isVolume; // of the slices alone
}

async function open(root, study) {
  const { Niivue } = await import("./niivue.js");
  const viewer = new Niivue({
    backColor: [0, 0, 0, 1],
    multiplanarShowRender: 0, // never: a surface of a chest shows nothing that is meant here
    crosshairWidth: 0.5,
    isRadiologicalConvention: true, // the patient's right at the left, as everywhere here
    sagittalNoseLeft: true, // and the front of a sagittal plane, too
    dragAndDropEnabled: false,
    logLevel: "error",
  });
  await viewer.attachToCanvas(root.querySelector("#planes canvas"));
  viewer.addColormap("heat", HEAT);
  viewer.addColormap("box", BOX);
  const layers = [{ url: study.volume_url, name: "volume.nii.gz", colormap: "gray" }];
  const kinds = [];
  if (study.heat_url) {
    layers.push({
      url: study.heat_url, name: "heat.nii.gz", colormap: "heat", cal_min: 254, cal_max: 255,
    });
    kinds.push("heat");
  }
  if (study.boxes_url) {
    layers.push({ url: study.boxes_url, name: "boxes.nii.gz", colormap: "box", cal_min: 100, cal_max: 255 });
    kinds.push("boxes");
  }
  await viewer.loadVolumes(layers);
  if (study.heat_url) viewer.volumes[1].colormapType = FADING; // not taken from the options above
  return {
    go(index) {
      viewer.scene.crosshairPos = [0.5, 0.5, (index + 0.5) / study.slices];
      viewer.drawScene();
    },
    window({ center, width }) {
      if (study.unit !== "HU") return;
      viewer.volumes[0].cal_min = center - width / 2;
      viewer.volumes[0].cal_max = center + width / 2;
      viewer.updateGLVolume();
    },
    layers() {
      kinds.forEach((kind, place) => {
        const isShown = root.querySelector(`#viewer-${kind}`).checked;
        viewer.setOpacity(place + 1, isShown ? { heat: 0.8, boxes: 1 }[kind] : 0);
      });
    },
  };
}
