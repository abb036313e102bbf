import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { Children } from "./children.ts";

const env = { PATH: Deno.env.get("PATH")! };

async function withChildren(
  test: (children: Children, folder: string) => Promise<void>,
  clock = systemClock,
) {
  const folder = await Deno.makeTempDir();
  const children = new Children(folder, clock);
  try {
    await test(children, folder);
  } finally {
    await children.stopAll();
    await Deno.remove(folder, { recursive: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    // A process that has ended and waits to be reaped is no longer alive.
    return !/^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

Deno.test("a child's line is matched whether printed before or after the call", async () => {
  await withChildren(async (children) => {
    const script = "echo one; printf '\\033[32mjoin http://x/y\\033[0m\\n'; sleep 30";
    const child = children.startCommand("shell", "bash", ["-c", script], env);
    assertEquals((await child.match(/join (\S+)$/, 5000))[1], "http://x/y");
    assertEquals((await child.match(/^one/, 5000))[0], "one");
    assertEquals(child.lastLine(), "join http://x/y");
    assertEquals((await Deno.readTextFile(child.logPath)).startsWith("one\n"), true);
  });
});

Deno.test("waiting for a line ends when the child does, with its last line", async () => {
  await withChildren(async (children) => {
    const child = children.startCommand("shell", "bash", [
      "-c",
      "printf 'no port\\n    at x.ts:1\\n\\n   0: <unknown>\\n' >&2; exit 3",
    ], env);
    await assertRejects(() => child.match(/join/, 5000), LoraFleetError, "shell has ended: no port");
    assertEquals(await child.ended, 3);
  });
});

Deno.test("waiting for a line times out", async () => {
  await withChildren(async (children) => {
    const child = children.startCommand("shell", "sleep", ["30"], env);
    await assertRejects(() => child.match(/join/, 20), LoraFleetError, "did not print");
  });
});

Deno.test("stopping ends all children, and nothing starts after it", async () => {
  await withChildren(async (children) => {
    const one = children.startCommand("one", "sleep", ["30"], env);
    const two = children.startCommand("two", "bash", [
      "-c",
      "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
    ], env);
    await two.match(/up/, 5000);
    await children.close();
    assertEquals([await one.ended, await two.ended], [143, 7]);
    assertThrows(() => children.startCommand("three", "true", [], env), LoraFleetError, "being stopped");
  });
});

Deno.test({
  name: "a child that ignores SIGTERM is killed together with its own children [ignored off Linux: no /proc]",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const impatient: Clock = {
      now: () => 0,
      sleep: (milliseconds, signal) => systemClock.sleep(Math.min(milliseconds, 50), signal),
    };
    const folder = await Deno.makeTempDir();
    const children = new Children(folder, impatient);
    const script = "trap '' TERM; sleep 30 & echo child $!; wait; sleep 30";
    const child = children.startCommand("stubborn", "bash", ["-c", script], env);
    while (!/child \d+/.test(child.lastLine())) await systemClock.sleep(5);
    const grandchild = Number(child.lastLine().split(" ")[1]);
    assertEquals(isAlive(grandchild), true);
    await children.stopAll();
    assertEquals(await child.ended, 137);
    // The kernel takes its time for a killed process on a busy machine.
    for (let i = 0; i < 1000 && isAlive(grandchild); i++) await systemClock.sleep(5);
    assertEquals(isAlive(grandchild), false);
    await Deno.remove(folder, { recursive: true });
  },
});
