import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../../shared/testing/memory_bus.ts";
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { recoverRequestSchema } from "../../../shared/protocol/messages_worker.ts";
import { decodeStateFrame } from "../../../shared/protocol/state/state_frame.ts";
import { recoverSubject } from "../../../shared/protocol/subjects.ts";
import { type ServedState, serveStoredState } from "./state_server.ts";
import { COORDINATOR_HOLDER } from "../../training/state/announcement.ts";

const committed = { step: 3, digest: "a".repeat(64) };
const start = { jobId: "ftjob-a", startId: "s-1" };

Deno.test("a stored state is served to requests for its commit only", async () => {
  const broker = createMemoryBroker({ clock: createFakeClock() });
  const defects: string[] = [];
  const readWords = (offset: number, count: number) =>
    Promise.resolve(Int32Array.from({ length: count }, (_, i) => offset + i));
  let served: ServedState | null = { committed, state: { readWords } };
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
});
