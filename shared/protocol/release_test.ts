import { assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { asksForVersion, servedVersions, VERSION, versionLine } from "./release.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

Deno.test("the version is deno.json's", async () => {
  assertEquals(VERSION, JSON.parse(await Deno.readTextFile(join(root, "deno.json"))).version);
  assertMatch(VERSION, /^\d+\.\d+\.\d+(-dev)?$/);
  assertEquals(versionLine(), `lorafleet ${VERSION} (protocol ${servedVersions()})`);
  assertEquals([["--port", "1"], ["--port", "1", "--version"]].map(asksForVersion), [false, true]);
});

Deno.test("coordinator and worker print their version, and do nothing else", async () => {
  for (const program of ["coordinator", "worker"]) {
    const args = ["run", "-q", "--no-prompt", `-P=${program}`, `${program}/main.ts`, "--version"];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: root }).output();
    const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals([code, out, errors], [0, `${versionLine()}\n`, ""], program);
  }
});
