/** What the coordinator makes of a PiSSA job's result: both halves are checked, and the trained one goes on. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { assertAdapterMoved } from "../../coordinator/jobs/results/adapter_check.ts";
import { adapterLayout } from "../../coordinator/planning/adapter_layout.ts";
import { openInitialAdapter } from "../../coordinator/planning/initial_adapter.ts";
import { checkpointFault } from "../../coordinator/storage/checkpoint_check.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { modelModules } from "../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { pcg32 } from "../../shared/prng.ts";
import { pissaResult } from "../../worker/engine/pissa/pissa_result.ts";
import { writeAdapter } from "../../worker/files/adapter_file.ts";
import { digestOf } from "../../worker/optimizer/adamw_state.ts";
import { writeTrainingState } from "../../worker/optimizer/training_state_file.ts";

const config = await Deno.readTextFile(
  new URL("../golden/ladder/gqa_tied/model/config.json", import.meta.url),
);
const transformer = parseTransformerSpec(JSON.parse(config));
const lora = loraSchema.parse({ r: 5, init_lora_weights: "pissa", target_modules: ["q_proj", "down_proj"] });
const { layout } = planLora(transformer, lora);
const places = adapterLayout({ lora }, modelModules(transformer));

/** Random numbers in the places of tensors, and zeros between them. */
function drawn(seed: number): Float32Array {
  const random = pcg32(seed);
  const flat = new Float32Array(layout.elementCount);
  for (const { offset, shape: [rows, columns] } of layout.tensors) {
    for (let i = 0; i < rows * columns; i++) flat[offset + i] = random.normal();
  }
  flat[layout.tensors[1]!.offset] = 0; // whose sign must survive
  return flat;
}

const [trained, start] = [drawn(1), drawn(2)];
const sha256Of = (flat: Float32Array) =>
  createHash("sha256").update(new Uint8Array(flat.slice().buffer)).digest("hex");
const WEIGHTS = "adapter_model.safetensors";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const write = (folder: string, adapter: Float32Array, from: Float32Array) =>
  writeAdapter(folder, { ...pissaResult(layout, lora, adapter, from), baseModelName: "base" });

Deno.test("a PiSSA result is accepted if its halves are the committed state and the start that most workers have", () =>
  inFolder(async (folder) => {
    const moments = { firstMoment: trained.map((x) => x / 2), secondMoment: trained.map((x) => x * x) };
    await writeTrainingState(folder, { updateCount: 1, adapter: trained, ...moments });
    const faultOf = (startDigest: string | null) =>
      checkpointFault((name) => `${folder}/${name}`, {
        digest: digestOf({ adapter: trained, ...moments }),
        layout: places,
        pissa: { startDigest },
      });
    await write(folder, trained, start);
    assertEquals(await faultOf(sha256Of(start)), null);
    assertEquals(await faultOf(null), null);
    assertMatch(
      await faultOf("0".repeat(64)) ?? "",
      /the start in .* has the digest [0-9a-f]{64}, but most workers/,
    );
    for (const tensor of [0, 1, 3]) {
      const changed = trained.slice();
      changed[layout.tensors[tensor]!.offset + 7]! += 1;
      await write(folder, changed, start);
      assertMatch(
        await faultOf(sha256Of(start)) ?? "",
        /lora_[AB]\.weight in .* differs from the training state/,
      );
    }
    const other = start.slice();
    other[layout.tensors[2]!.offset] = 9;
    await write(folder, trained, other);
    assertMatch(await faultOf(sha256Of(start)) ?? "", /the start in .* has the digest/);
    await writeAdapter(folder, {
      tensors: layout.tensors.map(({ name, shape, offset }) => ({
        ...{ name, shape },
        data: trained.slice(offset, offset + shape[0] * shape[1]),
      })),
      ...{ lora: { ...lora, init_lora_weights: undefined }, baseModelName: "base" },
    });
    assertMatch(
      await faultOf(null) ?? "",
      /has no tensor .* of \[10, 96\], which a PiSSA job's adapter and its start/,
    );
  }));

Deno.test("training goes on from the trained half; a result that is still its start is refused", () =>
  inFolder(async (folder) => {
    const path = `${folder}/${WEIGHTS}`;
    await write(folder, trained, start);
    const sha256 = createHash("sha256").update(await Deno.readFile(path)).digest("hex");
    const initial = await openInitialAdapter(path, sha256, places, true);
    const words = await initial.readWords(0, 3 * layout.elementCount);
    assertEquals(new Float32Array(words.buffer).slice(0, layout.elementCount), trained);
    assertEquals(words.slice(layout.elementCount).every((word) => word === 0), true);
    const part = await initial.readWords(layout.tensors[1]!.offset + 3, 11);
    assertEquals(part, words.slice(layout.tensors[1]!.offset + 3, layout.tensors[1]!.offset + 14));
    await assertRejects(
      () => openInitialAdapter(path, sha256, places),
      LoraFleetError,
      "does not fit the base model",
    );

    await assertAdapterMoved(path, 3, places.tensors);
    await write(folder, start, start);
    const error = await assertRejects(() => assertAdapterMoved(path, 3, places.tensors), LoraFleetError);
    assertMatch(error.message, /^the adapter did not move: after 3 steps it is what PiSSA started from/);
    const nudged = start.slice();
    nudged[layout.tensors[0]!.offset] = 5;
    await write(folder, nudged, start);
    await assertAdapterMoved(path, 3, places.tensors);
  }));
