import { assert, assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { systemClock } from "../../shared/clock.ts";
import { awaitPort, awaitPredecessor, measureDue } from "./nats_predecessor.ts";

/** A process with `configPath` on its command line, whose pid is in `pidPath`. */
async function withProcess(
  script: string,
  body: (paths: { pidPath: string; configPath: string }, process: Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const configPath = `${folder}/nats-server.conf`;
  const process = new Deno.Command("sh", {
    args: ["-c", script, "sh", configPath],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const pidPath = `${folder}/nats-server.pid`;
  await Deno.writeTextFile(pidPath, String(process.pid));
  try {
    const output = process.stdout.getReader();
    await output.read();
    await output.cancel();
    await body({ pidPath, configPath }, process);
  } finally {
    // Closing its standard input ends what is left of it.
    await process.stdin.close().catch(() => {});
    await process.status;
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("each measure is due once and in order, even if time jumps", () => {
  assertEquals(measureDue(0, 50), "wait");
  assertEquals(measureDue(1950, 2000), "SIGTERM");
  assertEquals(measureDue(2000, 2050), "wait");
  assertEquals(measureDue(11_990, 12_010), "SIGKILL");
  assertEquals(measureDue(2100, 60_000), "give up");
});

Deno.test("a predecessor that ends by itself is awaited; one that does not is killed", async () => {
  await withProcess('echo up; trap "" TERM; sleep 0.3; true', async ({ pidPath, configPath }, process) => {
    const begunAt = systemClock.now();
    const status = process.status;
    await awaitPredecessor(pidPath, configPath, systemClock);
    assert(systemClock.now() - begunAt >= 200);
    assertEquals((await status).signal, null);
  });
  await withProcess("echo up; read line", async ({ pidPath, configPath }, process) => {
    const status = process.status;
    await awaitPredecessor(pidPath, configPath, systemClock);
    assertEquals((await status).signal, "SIGTERM");
  });
});

Deno.test("a process that reuses the pid is left alone; so is a folder without a pid file", () =>
  withProcess("echo up; read line", async ({ pidPath, configPath }, process) => {
    await awaitPredecessor(pidPath, `${configPath}.other`, systemClock);
    await awaitPredecessor(`${pidPath}.none`, configPath, systemClock);
    // Throws where it has ended.
    process.kill("SIGCONT");
  }));

Deno.test("a port that becomes free is awaited, port 0 is not, and a port that stays taken only for a while", async () => {
  const squatter = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = squatter.addr;
  const clock = createFakeClock();
  let isOver = false;
  const waited = awaitPort("127.0.0.1", port, clock).then(() => isOver = true);
  await clock.advance(2900);
  assertEquals(isOver, false);
  await clock.advance(200);
  await waited;
  const freed = awaitPort("127.0.0.1", port, clock);
  squatter.close();
  await clock.advance(100);
  await freed;
  await awaitPort("127.0.0.1", 0, clock);
});
