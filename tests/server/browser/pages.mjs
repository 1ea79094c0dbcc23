// A person's way from a dropped study to its report, in a real browser; prints what was seen as JSON.
//
//     node pages.mjs PLAYWRIGHT CHROMIUM ADDRESS STUDY.zip SCREENSHOTS
import { pathToFileURL } from "node:url";

const [playwright, executablePath, address, study, folder] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(playwright));
const SLOW = 300_000; // a study is read meanwhile, on a machine that may be busy
const seen = { violations: [], problems: [], foreign: [] };

const browser = await chromium.launch({
  executablePath,
  timeout: SLOW,
  args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
page.setDefaultTimeout(SLOW);
page.on("pageerror", (error) => seen.problems.push(error.message));
page.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(address) && !url.startsWith("data:")) seen.foreign.push(url);
});
await page.exposeFunction("violated", (what) => seen.violations.push(what));
await page.addInitScript(() => {
  document.addEventListener("securitypolicyviolation", (event) => {
    window.violated(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
  });
});

await page.goto(address);
await page.setInputFiles("#files", study);
await page.locator("#uploads a").waitFor();
seen.sent = await page.locator("#uploads li").innerText();
await looks("worklist");
await page.locator("#uploads a").click();
await page.locator("#progress").first().waitFor();
await shoot("progress");
await page.locator("#headline").waitFor(); // the page reloads itself when the answer is there
seen.headline = await page.locator("#headline").innerText();
seen.status = await page.locator(".status").innerText();
seen.rows = await page.locator(".impression .bars tbody tr").count();
seen.downloads = await page.locator(".files a").count();

await page.locator("#slide img").first().waitFor();
const at = () => page.locator("#slide img").first().evaluate((one) => ({ src: one.getAttribute("src"), width: one.naturalWidth }));
seen.first = await at();
await page.locator("#stage").focus();
await page.keyboard.press("ArrowUp");
await page.keyboard.press("m");
await page.waitForFunction((before) => document.querySelector("#slide img").getAttribute("src") !== before
  && document.querySelector("#slide img").getAttribute("src").includes("center=40"), seen.first.src);
seen.second = await at();
const wide = () => page.locator("#slide").evaluate((one) => one.clientWidth);
const before = await wide();
await page.keyboard.press("+");
seen.zoomed = (await wide()) / before;
await page.keyboard.press("0");
await page.keyboard.press("l");
await shoot("study");

// The words beside the picture are the picture's: of one that is late, and of one that fails.
const where = () => page.locator("#where").innerText();
const shown = () => page.locator("#slide img").count();
let gone = false;
await page.route("**/slices/*", async (route) => {
  await page.waitForTimeout(1500);
  await (gone ? route.abort() : route.continue()).catch(() => {});
});
await page.locator("#slice").fill("0");
await page.waitForFunction(() => document.querySelector("#where").textContent.includes("loading"));
seen.late = { words: await where(), pictures: await shown() };
await page.locator("#slide img[src*='/0.png']").waitFor();
seen.came = await where();
gone = true;
await page.locator("#slice").fill("11");
await page.waitForFunction(() => document.querySelector("#where").textContent.includes("did not come"));
seen.gone = { words: await where(), pictures: await shown() };
await page.waitForTimeout(2000);
await page.unroute("**/slices/*");
await page.locator("#width").fill("99999");
await page.locator("#width").press("Enter");
await page.locator("#slide img[src*='/11.png']").waitFor();
seen.widest = { typed: await page.locator("#width").inputValue(), ...await at() };
await page.locator("#center").fill("");
await page.locator("#center").press("Enter");
seen.centre = await page.locator("#center").inputValue();
await page.locator("#stage").focus();
await page.keyboard.press("l");

if (await page.locator(".go").count()) await page.locator(".go").first().click();
if (await page.locator("#volume").isVisible().catch(() => false)) {
  await page.locator("#volume").click();
  await page.waitForFunction(() => document.querySelector("#viewer").dataset.planes === "shown"
    || document.querySelector("#volume").hidden);
  seen.planes = await page.locator("#viewer").getAttribute("data-planes");
  await page.waitForTimeout(1000);
  seen.greys = await page.locator("#planes").screenshot().then((png) => png.length);
  seen.help = await page.locator("#viewer > p:visible").allInnerTexts();
  await page.locator("#viewer").screenshot({ path: `${folder}/planes.png` });
  await page.locator("#volume").click();
}

await page.locator("[name=agrees][value=false]").check();
await page.locator("[name=label]").selectOption({ index: 2 });
await page.locator("[name=comment]").fill("Lobar, I would say.");
await page.getByRole("button", { name: "Send" }).click();
await page.getByText("Lobar, I would say.").waitFor();
seen.feedback = await page.locator("#feedback ul").innerText();

await looks("study");
page.on("dialog", (dialog) => dialog.accept());
await page.route("**/api/v1/studies/*", (route) => route.abort());
await page.locator("[data-do=delete]").click();
await page.waitForFunction(() => document.querySelector("#problem").textContent);
seen.away = await page.locator("#problem").innerText();
await page.unroute("**/api/v1/studies/*");

await page.goto(address);
await page.waitForFunction(() => document.querySelector("[data-moving=false]")); // nothing is read
const rows = await page.locator("#rows th a").count();
await page.request.post(`${address}api/v1/studies`, {
  headers: { "Content-Type": "application/zip" }, data: Buffer.from("by somebody else"),
});
await page.waitForFunction((before) => document.querySelectorAll("#rows th a").length > before, rows);
seen.came_by_itself = (await page.locator("#rows th a").count()) - rows;
await page.goto(`${address}?answer=healthy&search=nothing-like-this`);
seen.empty = await page.locator(".empty").innerText();
await page.goto(`${address}login`);
await looks("login");
await page.goto(`${address}studies/${"0".repeat(32)}`);
seen.problem = await page.locator("main p").first().innerText();
await looks("problem");
console.log(JSON.stringify(seen));
await browser.close();

async function looks(name) {
  for (const [form, width, colorScheme] of [["desk-light", 1280, "light"], ["desk-dark", 1280, "dark"],
    ["phone-light", 390, "light"], ["phone-dark", 390, "dark"]]) {
    await page.setViewportSize({ width, height: 844 });
    await page.emulateMedia({ colorScheme });
    await shoot(`${name}-${form}`);
    seen[`overflow-${name}-${form}`] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}

async function shoot(name) {
  await page.evaluate(async () => {
    for (const one of document.images) one.loading = "eager";
    await Promise.all([...document.images].map((one) => one.decode().catch(() => {})));
  });
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
