/** What a worker writes as a checkpoint, and what the coordinator holds it against. */
import { systemClock } from "../../shared/clock.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { type AdapterLayout, adapterLayout } from "../../coordinator/planning/adapter_layout.ts";
import { createArtifactStore } from "../../coordinator/storage/artifact_store.ts";
import { sha256Of } from "../../coordinator/storage/streamed_file.ts";
import { parseJobRequest } from "../../coordinator/job_request/parse.ts";
import { modelModules } from "../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { writeAdapter } from "../../worker/files/adapter_file.ts";
import { writeTrainingState } from "../../worker/optimizer/training_state_file.ts";
import { formerDigestOf } from "../../shared/protocol/state/state_digest.ts";
import { digestOf } from "../../worker/optimizer/adamw_state.ts";

const FILES = ["adapter_config.json", "adapter_model.safetensors", "training_state.safetensors"];

Deno.test("an adapter and a state that are not what was committed are not accepted", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const name = (side: string) => `base_model.model.model.layers.0.self_attn.q_proj.lora_${side}.weight`;
    const adapter = Float32Array.from({ length: 128 }, (_, i) => i);
    const state = {
      adapter,
      firstMoment: adapter.map((x) => x / 2),
      secondMoment: adapter.map((x) => x * x),
    };
    const layout: AdapterLayout = {
      ...{ tensorCount: 2, elementCount: 128, parameterCount: 120 },
      tensors: [
        { name: name("A"), offset: 0, size: 60, shape: [3, 20] },
        { name: name("B"), offset: 64, size: 60, shape: [20, 3] },
      ],
    };
    const write = async (to: string, change: (tensor: Float32Array) => Float32Array) => {
      const tensors = layout.tensors.map(({ name, offset, size }, index) => ({
        name,
        shape: (index === 0 ? [4, 15] : [15, 4]) as [number, number],
        data: change(adapter.slice(offset, offset + size)),
      }));
      const lora = {
        ...{ r: 4, lora_alpha: 8, lora_dropout: 0, use_rslora: false },
        ...{ bias: "none" as const, task_type: "CAUSAL_LM" as const },
      };
      await writeAdapter(to, {
        tensors,
        lora: { ...lora, target_modules: ["q_proj"] },
        baseModelName: "base",
      });
      await writeTrainingState(to, { updateCount: 1, ...state });
    };
    const upload = async (from: string, digest: string) => {
      const store = createArtifactStore(`${folder}/artifacts`, systemClock);
      const files = await Promise.all(FILES.map(async (name) => {
        const data = await Deno.readFile(`${from}/${name}`);
        const upload = { step: 1, writer: "w-a", name, sha256: sha256Of(data), maxBytes: 10_000 };
        return await store.put("j", upload, ReadableStream.from([data]));
      }));
      const accepted = await store.accept("j", 1, "w-a", files, { digest, layout });
      return "fault" in accepted ? accepted.fault : "accepted";
    };
    await write(`${folder}/right`, (tensor) => tensor);
    await write(`${folder}/wrong`, (tensor) => tensor.with(59, 7));
    assertEquals(await upload(`${folder}/right`, digestOf(state)), "accepted");
    // As releases before protocol version 7 recorded it: a job may go on from such a state.
    const former = formerDigestOf([state.adapter, state.firstMoment, state.secondMoment]);
    assertEquals(await upload(`${folder}/right`, former), "accepted");
    assertMatch(
      await upload(`${folder}/wrong`, digestOf(state)),
      /lora_A\.weight in .* differs from/,
    );
    assertMatch(
      await upload(`${folder}/right`, "0".repeat(64)),
      /the training state has the digest [0-9a-f]{64}/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the coordinator knows how an adapter lies in memory as workers lay it out", async () => {
  const config = await Deno.readTextFile(
    new URL("../golden/ladder/gqa_tied/model/config.json", import.meta.url),
  );
  const transformer = parseTransformerSpec(JSON.parse(config));
  const modules = modelModules(transformer);
  for (
    const target_modules of ["all-linear", ["q_proj", "down_proj"], ["layers.1.self_attn.k_proj"]] as const
  ) {
    for (const r of [1, 3, 8]) {
      const lora = {
        r,
        target_modules: target_modules === "all-linear" ? target_modules : [...target_modules],
      };
      const { spec } = parseJobRequest({ model: "m", training_file: "f", lora });
      const { tensors, ...layout } = planLora(transformer, spec.lora).layout;
      assertEquals(adapterLayout(spec, modules), {
        ...{ ...layout, tensorCount: tensors.length },
        tensors: tensors.map(({ name, offset, shape }) => ({
          name,
          offset,
          shape,
          size: shape[0] * shape[1],
        })),
      });
    }
  }
});
