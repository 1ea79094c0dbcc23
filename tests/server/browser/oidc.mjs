// Logging in at a provider on another site, in a real browser; prints what was seen as JSON.
//
//     node oidc.mjs PLAYWRIGHT CHROMIUM ADDRESS SCREENSHOTS
import { pathToFileURL } from "node:url";

const [playwright, executablePath, address, folder] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(playwright));
const seen = { violations: [] };
const browser = await chromium.launch({
  executablePath,
  timeout: 120_000,
  args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 844 } });
page.setDefaultTimeout(120_000);
page.on("console", (message) => {
  if (message.text().includes("Content Security Policy")) seen.violations.push(message.text());
});
await page.goto(address); // sends on to the log-in page
await page.screenshot({ path: `${folder}/login-oidc.png`, fullPage: true });
await page.getByRole("link", { name: "Log in with the hospital" }).click();
await page.locator("#list-title").waitFor();
seen.url = page.url();
seen.who = await page.locator(".who").innerText();
await page.getByRole("button", { name: "Log out" }).click();
await page.locator("[name=password]").waitFor();
seen.after = page.url();
console.log(JSON.stringify(seen));
await browser.close();
