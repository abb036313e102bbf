/** Two coordinators: one leads, the other waits for its end, whatever that is, and takes over. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { startTestNatsServer } from "../../shared/testing/test_nats_server.ts";
import { systemClock } from "../../shared/clock.ts";
import {
  jobOf,
  natsPidOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";

const standsBy = /another coordinator holds .*: standing by to take over when it ends/;

Deno.test("on one data folder the second one stands by, and takes over when the first one is killed", () =>
  withFolder(async (folder) => {
    await using first = startCoordinatorChild(`${folder}/data`);
    const before = await (await fetch(await first.joinUrl())).json();
    const id = await submitJob(first.api(), { max_steps: 2 });
    await using second = startCoordinatorChild(`${folder}/data`);
    await until("the word of the second", () => standsBy.test(second.stderr()), second.stderr);
    await using third = startCoordinatorChild(`${folder}/data`, ["--no-standby"]);
    assertEquals((await third.ended).code, 1);
    assertMatch(
      third.stderr(),
      /^coordinator: cannot open ".*coordinator\.sqlite": another coordinator uses it/m,
    );
    await systemClock.sleep(1000);
    assertEquals([second.stdout(), second.stderr().match(/standing by/g)?.length], ["", 1]);

    const killedAt = systemClock.now();
    first.kill("SIGKILL");
    const after = await (await fetch(await second.joinUrl())).json();
    // The lease of the dead one would be waited for longer.
    assertLess(systemClock.now() - killedAt, 9000);
    assertEquals({ ...after, httpUrl: "" }, { ...before, httpUrl: "" });
    await until("the job", async () => (await jobOf(second.api(), id)).status === "running");
    assertMatch(second.stderr(), /the other coordinator has ended: taking over the data folder/);
    second.kill("SIGTERM");
    assertEquals((await second.ended).code, 0, second.stderr());
  }));

Deno.test("one that stands by ends with Ctrl-C, and the other one leads on", () =>
  withFolder(async (folder) => {
    await using first = startCoordinatorChild(`${folder}/data`);
    await first.joinUrl();
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 0]] as const) {
      await using second = startCoordinatorChild(`${folder}/data`);
      await until("the word of the second", () => standsBy.test(second.stderr()), second.stderr);
      second.kill(signal);
      assertEquals([(await second.ended).code, second.stdout()], [code, ""]);
    }
    assertEquals((await fetch(first.api().replace("/v1", "/readyz"))).status, 200);
  }));

Deno.test("at one broker one leads; one that sleeps too long is succeeded, and ends when it wakes", () =>
  withFolder(async (folder) => {
    await using server = await startTestNatsServer();
    const args = ["--nats-url", server.url];
    await using first = startCoordinatorChild(`${folder}/first`, args);
    await first.joinUrl();
    await using second = startCoordinatorChild(`${folder}/second`, args);
    await until("the word of the second", () => standsBy.test(second.stderr()), second.stderr);
    await using third = startCoordinatorChild(`${folder}/third`, [...args, "--no-standby"]);
    assertEquals((await third.ended).code, 1);
    assertMatch(third.stderr(), /^coordinator: another coordinator leads at the broker nats:\S+: stop it/m);

    first.kill("SIGSTOP");
    assertEquals(second.stdout(), "");
    await second.joinUrl();
    first.kill("SIGCONT");
    assertEquals((await first.ended).code, 1);
    assertMatch(first.stderr(), /another coordinator leads at the broker .* its lease lasts, and ends/);

    // In good order it need not be waited for.
    await using again = startCoordinatorChild(`${folder}/first`, args);
    await until("its word", () => standsBy.test(again.stderr()), again.stderr);
    second.kill("SIGTERM");
    assertEquals((await second.ended).code, 0);
    const endedAt = systemClock.now();
    await again.joinUrl();
    assertLess(systemClock.now() - endedAt, 8000);
  }));

Deno.test("a broker whose guard was killed with the coordinator is ended by the next one", {
  // Where process tables are files.
  ignore: Deno.build.os !== "linux",
}, () =>
  withFolder(async (folder) => {
    await using first = startCoordinatorChild(`${folder}/data`);
    await first.joinUrl();
    const broker = (await natsPidOf(first.dataFolder))!;
    // The shells between the two, as a supervisor that kills a whole group would.
    const guards = (await brokerProcesses(folder)).filter((pid) => pid !== broker);
    assert(guards.length > 0);
    for (const pid of guards) Deno.kill(pid, "SIGKILL");
    first.kill("SIGKILL");
    await first.ended;
    await until("the guards' end", async () => (await brokerProcesses(folder)).length === 1);
    assertEquals(await brokerProcesses(folder), [broker]);
    await using second = startCoordinatorChild(`${folder}/data`);
    await second.joinUrl();
    assert(!(await brokerProcesses(folder)).includes(broker));
  }));

/** Processes that were started with the broker's configuration. */
async function brokerProcesses(folder: string): Promise<number[]> {
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    const commandLine = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (/^\d+$/.test(name) && commandLine.includes(`${folder}/data/nats/nats-server.conf`)) {
      found.push(Number(name));
    }
  }
  return found;
}
