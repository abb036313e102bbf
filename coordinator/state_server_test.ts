import { assertEquals } from "@std/assert";
import { createFakeClock } from "../shared/bus/fake_clock.ts";
import { createMemoryBroker } from "../shared/bus/memory_bus.ts";
import { encodeMessage, recoverRequestSchema } from "../shared/messages.ts";
import { decodeStateFrame } from "../shared/state_frame.ts";
import { recoverSubject } from "../shared/subjects.ts";
import { readWords, serveStoredState } from "./state_server.ts";
import { COORDINATOR_HOLDER } from "./step_state.ts";

const committed = { step: 3, digest: "a".repeat(64) };
const start = { jobId: "ftjob-a", startId: "s-1" };

/** A file whose data are the words 0, 1, 2, … behind a header of odd length. */
async function withStateFile(work: (path: string) => Promise<void>) {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  const header = new TextEncoder().encode('{"x":{}}  ');
  const bytes = new Uint8Array(8 + header.length + 4 * 300);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(new Uint8Array(Int32Array.from({ length: 300 }, (_, i) => i).buffer), 8 + header.length);
  await Deno.writeFile(path, bytes);
  try {
    await work(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("words are read from behind the header, and no more than there are", () =>
  withStateFile(async (path) => {
    assertEquals([...await readWords(path, 0, 3)], [0, 1, 2]);
    assertEquals([...await readWords(path, 297, 10)], [297, 298, 299]);
    assertEquals([...await readWords(path, 1000, 10)], []);
  }));

Deno.test("a stored state is given to whom asks for its commit, and nothing to others", () =>
  withStateFile(async (path) => {
    const broker = createMemoryBroker({ clock: createFakeClock() });
    const defects: string[] = [];
    let served: { committed: typeof committed; path: string } | null = { committed, path };
    const server = serveStoredState({
      bus: broker.connect("coordinator"),
      ...start,
      served: () => served,
      onDefect: (message, thrown) => defects.push(`${message}: ${thrown}`),
    });
    const bus = broker.connect("w-a");
    const ask = async (
      change: Partial<Parameters<typeof encodeMessage<typeof recoverRequestSchema>>[1]> = {},
    ) => {
      const request = { startId: "s-1", committed, offset: 10, count: 5, ...change };
      const bytes = encodeMessage(recoverRequestSchema, request);
      const answer = await bus.request(recoverSubject("ftjob-a", COORDINATOR_HOLDER), bytes, 1000);
      return [...decodeStateFrame(start, 3, 10, answer)];
    };
    assertEquals(await ask(), [10, 11, 12, 13, 14]);
    assertEquals(await ask({ startId: "s-2" }), []);
    assertEquals(await ask({ committed: { ...committed, digest: "b".repeat(64) } }), []);
    assertEquals(await ask({ count: 2 ** 24 }), []);
    served = null;
    assertEquals(await ask(), []);
    assertEquals(defects, []);
    server.close();
  }));
