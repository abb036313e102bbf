import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { startEngineThread } from "./engine_client.ts";

/** A thread that runs `body` for each call; `call` and `answer(fields)` are in scope. */
function threadOf(body: string): URL {
  const code = `self.onmessage = ({ data: call }) => {
    const answer = (fields) => self.postMessage({ id: call.id, ...fields });
    ${body}
  };`;
  return new URL(`data:application/javascript,${encodeURIComponent(code)}`);
}

const ECHO = threadOf("answer({ ok: true, value: [call.method, ...call.args] });");

Deno.test("a call reaches the thread with its name and arguments, and the answer its caller", async () => {
  const engine = startEngineThread(ECHO);
  const calls: Promise<unknown>[] = [engine.writeAdapter("folder", "base"), engine.commit()];
  assertEquals(await Promise.all(calls), [["writeAdapter", "folder", "base"], ["commit"]]);
  await engine.close();
});

Deno.test("what the thread has to say beside its answers is told before the answer comes", async () => {
  const notes: string[] = [];
  const told = threadOf(
    `self.postMessage({ note: "less memory" }); answer({ ok: true, value: call.method });`,
  );
  const engine = startEngineThread(told, ({ note }) => notes.push(note));
  assertEquals<unknown>(await engine.commit(), "commit");
  assertEquals(notes, ["less memory"]);
  await engine.close();
});

Deno.test("how far the sums are is told to their reader alone, in the memory of the answer, before the answer comes", async () => {
  const engine = startEngineThread(threadOf(`
    if (call.method !== "readSums") return answer({ ok: true });
    const sums = new Int32Array(new SharedArrayBuffer(16)).fill(call.id);
    for (const count of [1, 3]) answer({ sums, count });
    answer({ ok: true, value: sums });`));
  const told: [number, number[]][] = [];
  const readerOf = (told: [number, number[]][]) => ({
    count: 0,
    reach: (sums: Int32Array, count: number) => told.push([count, [...sums]]),
  });
  assertEquals([...await engine.readSums(readerOf(told))], [0, 0, 0, 0]);
  assertEquals(told, [[1, [0, 0, 0, 0]], [3, [0, 0, 0, 0]]]);
  const toldLater: [number, number[]][] = [];
  const [silent, second] = [engine.readSums(), engine.readSums(readerOf(toldLater))];
  assertEquals([[...await silent], [...await second]], [[1, 1, 1, 1], [2, 2, 2, 2]]);
  assertEquals([told.length, toldLater.map(([count]) => count)], [2, [1, 3]]);
  await engine.close();
});

Deno.test("an error crosses with its code, message and param", async () => {
  const error = { code: "does_not_fit", message: "too large", param: "lora.r" };
  const engine = startEngineThread(threadOf(`
    if (call.method === "close") answer({ ok: true });
    else answer({ ok: false, error: ${JSON.stringify(error)} });`));
  const thrown = await assertRejects(() => engine.readSums(), LoraFleetError);
  assertEquals<unknown>({ code: thrown.code, message: thrown.message, param: thrown.param }, error);
  await engine.close();
});

Deno.test("when the thread dies, pending and later calls fail", async () => {
  const engine = startEngineThread(
    threadOf(`if (call.method === "commit") throw new Error("the driver is gone");`),
  );
  const waiting = engine.readSums();
  const deadly = engine.commit();
  for (const call of [() => waiting, () => deadly, () => engine.exportState()]) {
    const thrown = await assertRejects(call, LoraFleetError, "the driver is gone");
    assertEquals(thrown.code, "gpu_failure");
  }
  await engine.close();
});

Deno.test("a thread that cannot start fails its calls", async () => {
  const engine = startEngineThread(new URL("./no_such_thread.ts", import.meta.url));
  await assertRejects(() => engine.commit(), LoraFleetError, "The engine thread ended");
});

Deno.test("after close calls fail, and closing again does nothing", async () => {
  const engine = startEngineThread(ECHO);
  await engine.close();
  await engine.close();
  const thrown = await assertRejects(() => engine.commit(), LoraFleetError, "after it was closed");
  assertEquals(thrown.code, "conflict");
});

Deno.test("an array that was already transferred fails the call, not the engine", async () => {
  const engine = startEngineThread(ECHO);
  const part = () => new Float32Array(4);
  const state = { updateCount: 1, adapter: part(), firstMoment: part(), secondMoment: part() };
  await engine.importState(state);
  assertEquals(state.adapter.length, 0);
  const thrown = await assertRejects(() => engine.importState(state), LoraFleetError, "Handing importState");
  assertEquals(thrown.code, "conflict");
  await engine.commit();
  await engine.close();
});
