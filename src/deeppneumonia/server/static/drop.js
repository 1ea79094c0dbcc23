// From dropped files to studies: a zip or a volume is one study, and so is a folder of slices.

const WHOLE = /\.(zip|nii|nii\.gz|mha|nrrd)$/i;
const HIDDEN = /(^|\/)(\.|__MACOSX|Thumbs\.db|DICOMDIR$)/i;

export function studiesOf(files) {
  const studies = [];
  const folders = new Map();
  for (const one of files.filter(({ path }) => !HIDDEN.test(path))) {
    if (WHOLE.test(one.path)) {
      studies.push({ title: one.file.name, files: [one] });
      continue;
    }
    // Series lie in folders of their study: what was dropped decides, not how deep it is.
    const top = one.path.includes("/") ? one.path.split("/")[0] : "";
    if (!folders.has(top)) folders.set(top, []);
    folders.get(top).push(one);
  }
  for (const [top, held] of folders) {
    held.sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true }));
    studies.push({ title: top || named(held), files: held });
  }
  return studies;
}

const named = (held) => held.length === 1 ? held[0].file.name : `${held.length} files`;

export async function filesOfDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(walk))).flat();
}
