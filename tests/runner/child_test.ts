import process from "node:process";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type ChildRequest, runChild } from "./child.ts";

function request(script: string, changes: Partial<ChildRequest> = {}): ChildRequest {
  const args = ["eval", "--no-lock", script];
  const signal = new AbortController().signal;
  return { args, folder: Deno.cwd(), env: { NO_COLOR: "1" }, deadlineMs: 60_000, signal, ...changes };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Starts a process that outlives its parent unless it is killed, prints its pid, and continues with `then`. */
const withGrandchild = (then: string) => `
  const child = new Deno.Command("sleep", { args: ["600"], stdin: "null" }).spawn();
  child.unref();
  console.log("pid", child.pid);
  ${then}`;

const pidIn = (output: string) => Number(/pid (\d+)/.exec(output)![1]);

Deno.test("both streams of a child and its exit code come back", async () => {
  const outcome = await runChild(request('console.log("a"); console.error("b"); Deno.exit(3)'));
  assertEquals([outcome.succeeded, outcome.isLate, outcome.exitCode], [false, false, 3]);
  assertEquals(outcome.output.split("\n").toSorted(), ["", "a", "b"]);
  assertEquals((await runChild(request(""))).succeeded, true);
});

Deno.test("a child that hangs is ended at its deadline, with all that it started", async () => {
  const script = withGrandchild("await new Promise((resolve) => setTimeout(resolve, 600_000));");
  const outcome = await runChild(request(script, { deadlineMs: 1500 }));
  assertEquals([outcome.succeeded, outcome.isLate, outcome.exitCode], [false, true, null]);
  assertEquals(isAlive(pidIn(outcome.output)), false);
});

Deno.test("what a child leaves behind is ended, and its pipes hold nothing up", async () => {
  const outcome = await runChild(request(withGrandchild("Deno.exit(0);")));
  assertEquals(outcome.succeeded, true);
  assertEquals(isAlive(pidIn(outcome.output)), false);
});

Deno.test("an interruption ends the child and is what runChild rejects with", async () => {
  const stopper = new AbortController();
  const running = runChild(
    request(withGrandchild("setTimeout(() => {}, 600_000);"), { signal: stopper.signal }),
  );
  setTimeout(() => stopper.abort(new Error("Ctrl-C")), 500);
  const error = await assertRejects(() => running, Error);
  assertStringIncludes(error.message, "Ctrl-C");
  const before = Date.now();
  await assertRejects(() => runChild(request("", { signal: stopper.signal })), Error, "Ctrl-C");
  assert(Date.now() - before < 500, "an aborted run starts nothing");
});
