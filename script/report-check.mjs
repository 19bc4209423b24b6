// Opens every page of a folder in headless Chromium; see script/report-check.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const axe = createRequire(import.meta.url).resolve("axe-core");
const folder = resolve(process.argv[2]);
const widths = { desktop: 1280, phone: 390 };
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  protocolTimeout: 900_000, // of one call: axe-core takes minutes on a large page and a busy machine
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
let failures = 0;

for (const file of readdirSync(folder).filter((name) => name.endsWith(".html")).sort()) {
  const name = file.replace(/\.html$/, "");
  const page = await browser.newPage();
  const outside = [];
  const errors = [];
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("data:") && !url.endsWith(file)) outside.push(url);
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const found = new Set();
  let overflow = "";
  const started = Date.now();
  for (const [device, width] of Object.entries(widths)) {
    await page.setViewport({ width, height: 900, deviceScaleFactor: 1 });
    await page.goto(pathToFileURL(resolve(folder, file)).href, { waitUntil: "load" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (wide > 0) overflow += ` ${device} ${wide} px`;
    await page.screenshot({ path: `${folder}/${name}-${device}.png`, fullPage: true, captureBeyondViewport: true });
    await page.setBypassCSP(true);
    await page.addScriptTag({ path: axe });
    const result = await page.evaluate(() => window.axe.run());
    for (const violation of result.violations) {
      found.add(`${device}: ${violation.id} (${violation.impact}) ${violation.nodes[0].target} ${violation.nodes[0].failureSummary}`);
    }
  }
  await page.pdf({ path: `${folder}/${name}.pdf`, preferCSSPageSize: true, printBackground: true });
  const bad = [...outside.map((url) => `asks for ${url}`), ...errors, ...found, ...(overflow ? [`wider than the window:${overflow}`] : [])];
  console.log(`${bad.length ? "FAILED" : "ok"} ${name} (${Date.now() - started} ms)`);
  bad.forEach((line) => console.log(`  ${line}`));
  failures += bad.length;
  await page.close();
}
await browser.close();
process.exit(failures ? 1 : 0);
