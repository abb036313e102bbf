import { assert, assertEquals, assertMatch } from "@std/assert";
import type { CheckpointAssignment } from "./upload_decision.ts";
import { decideUpload, type UploadAttempt } from "./upload_decision.ts";

const ASSIGNMENT: CheckpointAssignment = {
  ...{ step: 6, writer: "w-a", savesState: true },
  layout: { tensorCount: 2, elementCount: 128, parameterCount: 120 },
};
const GOOD: UploadAttempt = { worker: "w-a", step: 6, name: "adapter_config.json", contentLength: 700 };

const refusals: [string, CheckpointAssignment | null, Partial<UploadAttempt>, number, RegExp][] = [
  ["no checkpoint is being written", null, {}, 409, /step 6 is taken: none is being written now/],
  ["a step far behind the last one", ASSIGNMENT, { step: 999_999 }, 409, /that of step 6 is being written/],
  [
    "the last step, before its writer",
    { ...ASSIGNMENT, step: 4 },
    {},
    409,
    /that of step 4 is being written/,
  ],
  [
    "a worker that was not asked",
    ASSIGNMENT,
    { worker: "w-b" },
    403,
    /w-b may not write the checkpoint of step 6/,
  ],
  ["no step", ASSIGNMENT, { step: 0 }, 400, /0 is not a step/],
  ["no number", ASSIGNMENT, { step: "1e3" }, 400, /"1e3" is not a step/],
  [
    "a different file",
    ASSIGNMENT,
    { name: "optimizer.bin" },
    400,
    /these are adapter_config.json, adapter_model/,
  ],
  [
    "a state of a job that keeps none",
    { ...ASSIGNMENT, savesState: false },
    { name: "training_state.safetensors" },
    400,
    /is not a file of this checkpoint/,
  ],
  [
    "a huge adapter",
    ASSIGNMENT,
    { name: "adapter_model.safetensors", contentLength: 2 ** 34 },
    413,
    /480 to \d+/,
  ],
  [
    "an adapter of too few bytes",
    ASSIGNMENT,
    { name: "adapter_model.safetensors", contentLength: 479 },
    413,
    /480/,
  ],
  [
    "a state of too few bytes",
    ASSIGNMENT,
    { name: "training_state.safetensors", contentLength: 1535 },
    413,
    /1536/,
  ],
  ["a huge configuration", ASSIGNMENT, { contentLength: 2 ** 20 + 1 }, 413, /2 to 1048576/],
];
for (const [what, assignment, change, status, reason] of refusals) {
  Deno.test(`an upload is refused: ${what}`, () => {
    const decision = decideUpload(assignment, { ...GOOD, ...change });
    assert(!decision.isAllowed);
    assertEquals(decision.status, status);
    assertMatch(decision.reason, reason);
  });
}

Deno.test("the writer's files are taken, within the size that the layout gives them, announced or not", () => {
  const sizes = ["adapter_config.json", "adapter_model.safetensors", "training_state.safetensors"].map(
    (name) => {
      const decision = decideUpload(ASSIGNMENT, { ...GOOD, name, contentLength: null });
      assert(decision.isAllowed);
      return [decision.minBytes, decision.maxBytes];
    },
  );
  assertEquals(sizes, [[2, 2 ** 20], [480, 480 + 4096 + 1024], [1536, 1536 + 4096 + 1536]]);
});
