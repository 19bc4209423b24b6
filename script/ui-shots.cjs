// Opens the pages of the Prefect UI that users of this project see, and takes a picture of each.
const { chromium } = require("playwright-core");

const [api, folder] = process.argv.slice(2);
const ui = api.replace(/\/api\/?$/, "");
const auth = process.env.PREFECT_API_AUTH_STRING;
const headers = { "Content-Type": "application/json" };
if (auth) headers.Authorization = "Basic " + Buffer.from(auth).toString("base64");

async function ask(path, body) {
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const answer = await fetch(`${api}/${path}`, options);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function newestRun(type) {
  const runs = await ask("flow_runs/filter", {
    flow_runs: { tags: { all_: ["vacal"] }, state: { type: { any_: [type] } } },
    flows: { name: { any_: ["calibrate", "calibrate-national"] } },
    sort: "START_TIME_DESC",
    limit: 1,
  });
  return runs[0];
}

async function pages() {
  const deployment = await ask("deployments/name/calibrate/calibrate");
  const [finished, running] = [await newestRun("COMPLETED"), await newestRun("RUNNING")];
  const wanted = {
    "ui-deployments": "/deployments",
    "ui-form": `/deployments/deployment/${deployment.id}/run`,
    "ui-automations": "/automations",
    "ui-runs": "/runs",
  };

  if (running) wanted["ui-running"] = `/runs/flow-run/${running.id}#Artifacts`;
  if (finished) {
    wanted["ui-finished"] = `/runs/flow-run/${finished.id}`;
    wanted["ui-tasks"] = `/runs/flow-run/${finished.id}#Task Runs`;
    wanted["ui-artifacts"] = `/runs/flow-run/${finished.id}#Artifacts`;
    const artifacts = await ask("artifacts/filter", {
      artifacts: { flow_run_id: { any_: [finished.id] }, key: { any_: ["results", "summary"] } },
    });
    for (const { id, key } of artifacts) wanted[`ui-${key}`] = `/artifacts/artifact/${id}`;
  }
  return wanted;
}

async function main() {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  if (auth) await page.addInitScript((value) => localStorage.setItem("prefect-password", value), btoa(auth));
  for (const [name, path] of Object.entries(await pages())) {
    const [address, tab] = path.split("#");
    await page.goto(ui + address, { waitUntil: "domcontentloaded" });
    await page.waitForTimeout(8000); // the pages fill themselves by and by, and tell nobody when they are done
    if (tab) {
      await page.getByText(tab, { exact: true }).first().click();
      await page.waitForTimeout(3000);
    }
    await page.screenshot({ path: `${folder}/${name}.png` });
    console.log(`${folder}/${name}.png  ${path}`);
  }
  await browser.close();
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
