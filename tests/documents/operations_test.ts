/** docs/operations.md says of every alert what to do, of every check of /readyz, and names files and operations that there are. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { parse } from "@std/yaml";
import { withWorld } from "../../coordinator/testing/app_fixture.ts";
import { root } from "./named_tests.ts";

const page = await Deno.readTextFile(join(root, "docs/operations.md"));

/** The first cells of the table below a heading. */
function firstCells(heading: string): readonly string[] {
  const [, section] = page.split(`\n## ${heading}\n`);
  const rows = section!.split("\n## ")[0]!.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((line) => line.split("|")[1]!.trim().replaceAll("`", ""));
}

Deno.test("every alert of alerts.yml is explained in docs/operations.md, and no other", async () => {
  const rules = parse(await Deno.readTextFile(join(root, "deploy/observe/alerts.yml"))) as {
    readonly groups: readonly { readonly rules: readonly { readonly alert: string }[] }[];
  };
  const alerts = rules.groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
  assert(alerts.length > 5);
  assertEquals(firstCells("Alerts"), alerts);
});

Deno.test("every operation that docs/operations.md names is one of the API", () =>
  withWorld({}, async ({ app }) => {
    const document = await (await app.request("/openapi.json")).json();
    const known = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, "<>")}`)
    );
    const named = [...page.matchAll(/`(GET|POST|DELETE) (\/[\w/<>.-]*)(?:\?[^`]*)?`/g)]
      .map(([, method, path]) => `${method} ${path!.replaceAll(/<\w+>/g, "<>")}`);
    assert(named.length > 8, named.join());
    // Outside OpenAI's interface, and not described there.
    const others = ["GET /metrics"];
    assertEquals(named.filter((name) => !known.includes(name) && !others.includes(name)), []);
  }));
