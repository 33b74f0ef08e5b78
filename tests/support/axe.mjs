// axe-core on pages in Chromium: `node tests/support/axe.mjs FOLDER...`, as `make axe` calls it.
//
// Every *.html below the folders is opened at two widths in light and in dark colours. A line for
// each serious or critical violation, and for a page that is wider than a phone; then exit code 1.
// Both packages are in the folder MODULES, Chromium is CHROMIUM or what the PATH has.
import { execFileSync } from "node:child_process";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const packages = createRequire(join(resolve(process.env.MODULES), "x.js"));
const puppeteer = packages("puppeteer-core");
const axe = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [1280, 390];
const COLOURS = ["light", "dark"];
const WRONG = ["serious", "critical"];
// A mouse, as the computers have whose keyboards scroll: with it, the site's theme makes long code
// focusable. (Of machines like a server Chromium says that they have none.)
const MOUSE = ["primary", "available"].flatMap((which) => [
  `${which}HoverType${which === "primary" ? "" : "s"}=2`,
  `${which}PointerType${which === "primary" ? "" : "s"}=4`,
]);

function isPage(file) {
  return file.endsWith(".html") && !file.endsWith("404.html"); // whose style only a server finds
}

function pagesBelow(place) {
  if (!lstatSync(place).isDirectory()) return isPage(place) ? [place] : []; // nor through links
  return readdirSync(place).sort().flatMap((name) => pagesBelow(join(place, name)));
}

function chromium() {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8", stdio: "pipe" }).trim();
    } catch {
      // the next one
    }
  }
  console.error("error: no Chromium on the PATH; expected one, or CHROMIUM=/its/path");
  process.exit(2);
}

const places = process.argv.slice(2);
const pages = places.flatMap((place) => pagesBelow(resolve(place)));
if (!pages.length) {
  console.error(`error: no *.html in ${places.join(", ")}; expected pages`);
  process.exit(2);
}
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || chromium(),
  args: ["--no-sandbox", `--blink-settings=${MOUSE.join(",")}`],
});
let checks = 0;
let wrong = 0;
function say(file, how, text) {
  wrong += 1;
  console.log(`${relative(".", file)} (${how}): ${text}`);
}
for (const colours of COLOURS) {
  for (const width of WIDTHS) {
    for (const file of pages) {
      const context = await browser.createBrowserContext(); // the site keeps the colours it had
      const page = await context.newPage();
      await page.setBypassCSP(true);
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: colours }]);
      await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
      await new Promise((done) => setTimeout(done, 200)); // what scripts draw, and transitions
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
      const how = `${colours}, ${width} px`;
      for (const { id, impact, nodes } of found.violations) {
        if (!WRONG.includes(impact)) continue;
        const [first] = nodes;
        const why = (first.any[0] ?? first.all[0] ?? first.none[0])?.message ?? "";
        say(file, how, `${impact}: ${id}, ${nodes.length} times, as ${first.target}: ${why}`);
      }
      const content = await page.evaluate(() => document.documentElement.scrollWidth);
      if (content > width) say(file, how, `${content} px wide; expected at most ${width}`);
      checks += 1;
      await context.close();
    }
  }
}
await browser.close();
console.log(`axe-core: ${pages.length} pages, ${checks} checks, ${wrong} violations`);
process.exit(wrong ? 1 : 0);
