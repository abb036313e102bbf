/** Every family's kernels have a formula, whose bytes lie within what is bound, and whose FLOPs the kernels state alike. */
import { existsSync } from "node:fs";
import { basename, dirname } from "@std/path";
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { encodeAttention, encodeAttentionBackward } from "../../worker/kernels/attention/attention.ts";
import { encodeMatmul } from "../../worker/kernels/matmul/matmul.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { goldenPath } from "../golden/golden.ts";
import { hardwareOf, lensCard } from "./cards.ts";
import { costOf } from "./costs/command_cost.ts";
import { openFakeGpu } from "./fake_gpu/open_fake_gpu.ts";
import type { RecordedCommand } from "./fake_gpu/recorded.ts";
import { modelNamed } from "./models.ts";
import { recordStep } from "./step.ts";

const card = lensCard("rtx4090");

/** Of the ladder's models, one for each family and trait. */
const folders = [...Deno.readDirSync(goldenPath("ladder"))].map(({ name }) =>
  `${goldenPath("ladder")}/${name}/model`
)
  .filter((folder) => existsSync(`${folder}/config.json`));

for (const folder of folders) {
  const name = basename(dirname(folder));
  Deno.test(`${name}: a step of two documents with all regularisation is counted, within what its dispatches bind`, async () => {
    const record = await recordStep(modelNamed(folder), card, {
      lora: loraSchema.parse({ r: 4, lora_dropout: 0.1, target_modules: "all-linear" }),
      ...{ tokens: 60, documents: 2, labelShare: 0.5, microBatches: 1, doubleQuantization: false },
      gradientCheckpointing: true,
      memoryBytes: 2 ** 30,
      regularisation: { noiseAlpha: 5, labelSmoothing: 0.1 },
    });
    for (const { command, cost: { reads, writes } } of record.submits.flat()) {
      if (command.kind !== "dispatch") continue;
      const { bindings, kernel } = command;
      for (const [binding, bytes] of [...Object.entries(reads), ...Object.entries(writes)]) {
        assert(
          bytes >= 0 && bytes <= (bindings[binding]?.byteLength ?? -1),
          `${kernel}.${binding}: ${bytes}`,
        );
      }
      for (const binding of Object.keys(writes)) assertEquals(bindings[binding]!.access, "read_write");
    }
  });
}

Deno.test("the work that kernels state for the length of submits is the lens's", async () => {
  const { gpu, device } = await openFakeGpu(hardwareOf(card));
  const stated: number[] = [];
  const add = gpu.pass.submits.add.bind(gpu.pass.submits);
  Object.assign(gpu.pass.submits, {
    add(kernel: string, flops: number) {
      stated.push(flops);
      add(kernel, flops);
    },
  });
  const recorded: RecordedCommand[] = [];
  device.onSubmit = (commands) => recorded.push(...commands);
  const [T, heads, headDim] = [1024, 4, 128];
  const tensor = (label: string) => gpu.allocate(label, 4 * T * heads * headDim);
  const [a, b, out] = [tensor("a"), tensor("b"), tensor("out")];
  encodeMatmul(gpu.pass, { a, b, out, m: 96, n: 40, k: 128, layout: "nt" });
  const keyStarts = gpu.upload("keyStarts", new Uint32Array(T));
  const keyEnds = gpu.upload("keyEnds", Uint32Array.from({ length: T }, (_, t) => t + 1));
  const queryEnds = gpu.upload("queryEnds", new Uint32Array(T).fill(T));
  const sizes = { headCount: heads, kvHeadCount: 2, headDim, scale: 0.1 };
  const [q, k, v, lse, dOut, delta] = ["q", "k", "v", "lse", "dOut", "delta"].map(tensor) as [
    typeof a,
    ...typeof a[],
  ];
  const inputs = { q: q!, k: k!, v: v!, lse: lse! };
  encodeAttention(gpu.pass, { ...inputs, out, keyStarts, keyEnds, queryCount: T, ...sizes });
  const gradients = { dOut: dOut!, delta: delta!, dq: tensor("dq"), dk: tensor("dk"), dv: tensor("dv") };
  encodeAttentionBackward(gpu.pass, {
    ...inputs,
    out,
    ...gradients,
    keyStarts,
    queryEnds,
    tokenCount: T,
    ...sizes,
  });
  gpu.submit();
  const counted = recorded.map((command) => costOf(command).flops);
  assertEquals([stated.length, counted.length], [4, 4]);
  // Kernels do not know the documents: causal attention over one is T(T + 1)/2 pairs, stated as T²/2.
  counted.forEach((flops, i) => assertAlmostEquals(stated[i]! / flops, 1, i === 0 ? 0 : 1.5 / T));
  gpu.close();
});
