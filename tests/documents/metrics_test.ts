/** docs/metrics.md lists the metrics that there are, and dashboard and alerts ask for no others. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { withWorld } from "../../coordinator/testing/app_fixture.ts";
import { addProcessMetrics } from "../../coordinator/metrics/process_metrics.ts";
import { systemClock } from "../../shared/clock.ts";
import { root } from "./named_tests.ts";

interface Described {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

const observe = join(root, "deploy/observe");

async function describedMetrics(): Promise<readonly Described[]> {
  let text = "";
  await withWorld({}, async ({ services: { metrics, readiness }, app, jobs: _ }) => {
    const stopping = new AbortController();
    const parts = { clock: systemClock, dataFolder: root, version: "0.1.0", readiness };
    addProcessMetrics(metrics, { ...parts, signal: stopping.signal });
    await app.request("/healthz");
    text = await (await app.request("/metrics")).text();
    stopping.abort();
  });
  return [...text.matchAll(/^# HELP (\w+) (.+)\n# TYPE \w+ (\w+)$/gm)].map(([, name, help, type]) => {
    const series = text.split("\n").find((line) => new RegExp(`^${name}(_bucket)?\\{`).test(line)) ?? "";
    const labels = [...series.matchAll(/(\w+)="/g)].map(([, label]) => label!).filter((label) =>
      label !== "le"
    );
    return { name: name!, type: type!, help: help!, labels };
  });
}

/** Names in expressions, a histogram's series by the histogram's name. */
function namesIn(text: string): readonly string[] {
  const names = [...text.matchAll(/\blorafleet_\w+/g)].map(([name]) => name);
  return [...new Set(names.map((name) => name.replace(/_(bucket|count|sum)$/, "")))]
    .filter((name) => name !== "lorafleet_api_key");
}

Deno.test("dashboard and alerts ask for metrics that there are", async () => {
  const known = (await describedMetrics()).map(({ name }) => name);
  for (const file of ["dashboard.json", "alerts.yml", "alerts_test.yml"]) {
    const names = namesIn(await Deno.readTextFile(join(observe, file)));
    assert(names.length > 3, `${file} asks for nothing`);
    assertEquals(names.filter((name) => !known.includes(name)), [], file);
  }
});

Deno.test("docs/metrics.md lists all metrics with their labels (deno task metrics writes it)", async () => {
  const page = await Deno.readTextFile(join(root, "docs/metrics.md"));
  const start = page.indexOf("| metric");
  const rows = (await describedMetrics()).toSorted((a, b) => a.name < b.name ? -1 : 1)
    .map((
      { name, type, labels, help },
    ) => [`\`${name}\``, type, labels.map((label) => `\`${label}\``).join(", "), help]);
  const cellsOf = (line: string) => line.split("|").slice(1, -1).map((cell) => cell.trim());
  if (Deno.args.includes("--write")) {
    const header = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"];
    const lines = [...header, ...rows.map((cells) => `| ${cells.join(" | ")} |`)];
    await Deno.writeTextFile(join(root, "docs/metrics.md"), `${page.slice(0, start)}${lines.join("\n")}\n`);
  } else {
    assertEquals(page.slice(start).trim().split("\n").slice(2).map(cellsOf), rows);
  }
});
