/** `deno task coordinator` as a person meets it: what it says when it cannot start, its exit codes, and what it leaves. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { isAlive, natsPidOf, until, withFolder } from "./coordinator_child.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

interface Coordinator {
  readonly process: Deno.ChildProcess;
  readonly dataFolder: string;
  /** Its output so far, on both streams. */
  text(): string;
  /** The exit code, once all of its output is read. */
  readonly ended: Promise<number>;
}

function start(folder: string, args: readonly string[], env: Record<string, string> = {}): Coordinator {
  const dataFolder = join(folder, "data");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-q",
      "--no-prompt",
      "-P=coordinator",
      join(root, "coordinator/main.ts"),
      "--data-folder",
      dataFolder,
      ...args,
    ],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) text += part;
  };
  const drained = Promise.all([read(child.stdout), read(child.stderr)]);
  const ended = drained.then(async () => (await child.status).code);
  return { process: child, dataFolder, text: () => text, ended };
}

async function assertEnded(pid: number): Promise<void> {
  await until(`the end of process ${pid}`, () => !isAlive(pid));
}

Deno.test("no nats-server: exit code 2, and the command that installs it", () =>
  withFolder(async (folder) => {
    const coordinator = start(folder, ["--port", "0"], { LORAFLEET_NATS_SERVER: "/no/nats-server" });
    assertEquals(await coordinator.ended, 2, coordinator.text());
    assertMatch(coordinator.text(), /^coordinator: .*"\/no\/nats-server".*"deno task setup"$/m);
  }));

Deno.test("a wrong option: exit code 2, its name, and where the others are listed", () =>
  withFolder(async (folder) => {
    const coordinator = start(folder, ["--port", "eighty"]);
    assertEquals(await coordinator.ended, 2, coordinator.text());
    assertStringIncludes(coordinator.text(), '--port is "eighty"; a whole number from 0 to 65535 is needed');
    assertStringIncludes(coordinator.text(), "--help lists all options");
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

Deno.test("a level of the log that there is not: exit code 2, the levels, and no stack", () =>
  withFolder(async (folder) => {
    const coordinator = start(folder, ["--port", "0"], { LORAFLEET_LOG_LEVEL: "loud" });
    assertEquals(await coordinator.ended, 2, coordinator.text());
    assertEquals(
      coordinator.text(),
      'LORAFLEET_LOG_LEVEL is "loud"; one of debug, info, warn, error is needed\n',
    );
  }));

Deno.test("a port that is taken: exit code 1, the port, and no broker left behind", () =>
  withFolder(async (folder) => {
    const squatter = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const coordinator = start(folder, ["--port", String(squatter.addr.port)]);
    assertEquals(await coordinator.ended, 1, coordinator.text());
    squatter.close();
    assertMatch(
      coordinator.text(),
      new RegExp(
        `^coordinator: cannot listen on 127\\.0\\.0\\.1:${squatter.addr.port}: the port is taken`,
        "m",
      ),
    );
    const pid = await natsPidOf(coordinator.dataFolder);
    if (pid !== null) await assertEnded(pid);
  }));

for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 0]] as const) {
  Deno.test(`${signal} ends the coordinator with ${exitCode}, and its broker`, () =>
    withFolder(async (folder) => {
      const coordinator = start(folder, ["--port", "0"]);
      await until("its line", () => coordinator.text().includes("--join"), coordinator.text);
      const pid = (await natsPidOf(coordinator.dataFolder))!;
      assertEquals(isAlive(pid), true);
      const [, api] = /API at (\S+)/.exec(coordinator.text())!;
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${api}/join-tokens`, { method: "POST", headers, body: "{" });
      assertEquals([response.status, (await response.json()).error.code], [400, "invalid_request"]);
      coordinator.process.kill(signal);
      assertEquals(await coordinator.ended, exitCode, coordinator.text());
      await assertEnded(pid);
      // The runtime's own advice to programmers is not for whoever runs a coordinator.
      assert(!coordinator.text().includes("Deno.serve"), coordinator.text());
      const unfinished = [...Deno.readDirSync(coordinator.dataFolder)].filter(({ name }) =>
        name.endsWith(".tmp")
      );
      assertEquals(unfinished, []);
    }));
}
