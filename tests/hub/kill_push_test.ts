import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { until, withFolder } from "../integration/coordinator_child.ts";
import { bytesOf } from "./content.ts";
import { startHub, WRITER_TOKEN } from "./hub.ts";

const PUT = /^PUT \/cdn\//;

Deno.test("kill a push: the next one sends only what had not arrived", () =>
  withFolder(async (folder) => {
    const files = ["a", "b", "c", "d", "e", "f"].map((name, at) => (
      { name: `${name}.safetensors`, bytes: new Uint8Array(400_000).fill(at) }
    ));
    for (const { name, bytes } of files) await Deno.writeFile(`${folder}/${name}`, bytes);
    await using hub = await startHub();
    // Some objects arrive, the rest is on its way when the process ends.
    hub.faults.add({ on: PUT, after: 2, times: 99, kind: "slow", pauseMs: 400 });
    const start = () =>
      new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "-q",
          "--no-check",
          fromFileUrl(new URL("push_child.ts", import.meta.url)),
          hub.endpoint,
        ]
          .concat([WRITER_TOKEN, folder, "org/tuned"]),
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    const first = start();
    const output = first.output();
    await until("two objects", () => hub.state.objects.size === 2);
    first.kill("SIGKILL");
    await output;
    const repo = hub.repo("model", "org/tuned");
    assertEquals([repo.commits.size, hub.state.objects.size], [1, 2], "nothing is half pushed");
    hub.faults.clear();
    hub.requests.length = 0;
    const { code, stdout, stderr } = await start().output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    assertEquals(new TextDecoder().decode(stdout).trim(), repo.resolve("main"));
    assertEquals(hub.asked(PUT).length, 4);
    for (const { name, bytes } of files) {
      assertEquals(await bytesOf(repo.tree().get(name)!.content), bytes);
    }
  }));
