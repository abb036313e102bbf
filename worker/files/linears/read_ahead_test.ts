import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { subtractStart } from "../../../shared/checkpoint/low_rank.ts";
import { residualCheckpoint } from "../../../shared/checkpoint/merge/residual.ts";
import { quantizeNf4 } from "../../../shared/checkpoint/nf4/nf4_quantise.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { linearModules } from "../../../shared/model/model_tensors.ts";
import { brokenModel, changeTensor } from "../../../tests/golden/broken_model.ts";
import { loadLadderCase } from "../../../tests/golden/golden.ts";
import { linearThreads } from "./linear_threads.ts";
import { LinearReader } from "./read_ahead.ts";

const base = await openCheckpoint(loadLadderCase("gqa_tied").modelFolder);
const modules = linearModules(base.spec);
const read = ({ checkpoint }: LinearReader, { name, outFeatures, inFeatures }: typeof modules[number]) =>
  checkpoint.readLinear(name, outFeatures, inFeatures, { doubleQuantization: true });
const open = (threads: number, script?: URL) =>
  new LinearReader(base, { doubleQuantization: true, cache: null, threads, ...script && { script } });

Deno.test("any number of threads gives the weights of the base model, in any order, also twice", async () => {
  for (const threads of [1, 3]) {
    using reader = open(threads);
    for (const module of [...modules, modules[0]!, ...modules.toReversed()]) {
      const { name, outFeatures, inFeatures } = module;
      assertEquals(
        await read(reader, module),
        await base.readLinear(name, outFeatures, inFeatures, { doubleQuantization: true }),
        name,
      );
    }
    assertStringIncludes(reader.text!, threads === 1 ? "quantised, by one thread in" : "by 3 threads in");
    assertEquals(reader.warnings, []);
  }
});

Deno.test("what a PiSSA job trains on is quantised in threads, with the bits of the whole weight's residual", async () => {
  const rank = 2;
  const started = modules.filter((_, index) => index % 3 !== 0);
  const starts = new Map(started.map(({ name, outFeatures, inFeatures }, index) => {
    const floats = (count: number) =>
      Float32Array.from({ length: count }, (_, i) => 0.01 * Math.sin(i + index));
    return [name, {
      rank,
      scale: 2,
      a: floats(rank * inFeatures),
      b: floats(outFeatures * rank),
      inFeatures,
    }];
  }));
  for (const threads of [1, 3]) {
    // They become known only when somebody asks.
    const residuals = residualCheckpoint(base, (name) => Promise.resolve(starts.get(name)));
    using reader = new LinearReader(residuals, { doubleQuantization: true, cache: null, threads });
    for (const module of modules) {
      const { name, outFeatures: rows, inFeatures: columns } = module;
      const values = await base.readTensor(`${name}.weight`, [rows, columns]);
      const start = starts.get(name);
      if (start !== undefined) subtractStart(values, start);
      const expected = quantizeNf4(values, { rows, columns, doubleQuantization: true });
      assertEquals(await read(reader, module), expected, name);
    }
    assertStringIncludes(
      reader.text!,
      `${modules.length} quantised, by ${threads === 1 ? "one thread" : "3 threads"}`,
    );
  }
});

Deno.test("starts that cannot be computed fail the weights that need them", async () => {
  for (const threads of [1, 2]) {
    const failure = new LoraFleetError("does_not_fit", "no memory for the decomposition");
    const residuals = residualCheckpoint(base, () => Promise.reject(failure));
    using reader = new LinearReader(residuals, { doubleQuantization: true, cache: null, threads });
    await assertRejects(() => read(reader, modules[1]!), LoraFleetError, "no memory for the decomposition");
  }
});

Deno.test("tensors that are not linear, and linear ones in another form, are the base model's own", async () => {
  using reader = open(2);
  const norm = ["model.norm.weight", [base.spec.hiddenSize]] as const;
  assertEquals(await reader.checkpoint.readTensor(...norm), await base.readTensor(...norm));
  const { name, outFeatures, inFeatures } = modules[3]!;
  const other = await reader.checkpoint.readLinear(name, outFeatures, inFeatures, {
    doubleQuantization: false,
  });
  assertEquals(other.absmaxCodes, null);
  assertEquals(reader.text, null);
});

for (const threads of [1, 2]) {
  Deno.test(`${threads} threads: a weight that is not finite fails by its name and file, the others are read`, async () => {
    const broken = "model.layers.0.mlp.up_proj.weight";
    await using model = await brokenModel("gqa_tied", {
      tensors: changeTensor(broken, (tensor) => {
        const data = new Float32Array(tensor.data.slice().buffer);
        data[100] = NaN;
        return { ...tensor, data };
      }),
    });
    const checkpoint = await openCheckpoint(model.folder);
    using reader = new LinearReader(checkpoint, { doubleQuantization: true, cache: null, threads });
    for (const module of modules) {
      if (`${module.name}.weight` !== broken) await read(reader, module);
      else {
        const error = await assertRejects(() => read(reader, module), LoraFleetError, "is NaN");
        assertEquals([error.code, error.param], ["invalid_model", broken]);
        assertStringIncludes(error.message, model.folder);
      }
    }
  });
}

Deno.test("threads that cannot begin cost time, not the load", async () => {
  using reader = open(2, new URL("./there_is_none.ts", import.meta.url));
  for (const module of modules) assertEquals((await read(reader, module)).rows, module.outFeatures);
  assertEquals(reader.warnings.length, 1);
  assertStringIncludes(reader.warnings[0]!, "in one thread");
});

Deno.test("threads are bounded by processors, weights and free memory; one core and little work take none", () => {
  const weights = Array.from({ length: 9 }, () => ({ rows: 4096, columns: 4096 }));
  const gib = 2 ** 30;
  const on = (processors: number, availableBytes: number) =>
    linearThreads(weights, { processors, availableBytes });
  assertEquals([on(1, gib), on(2, 8 * gib), on(64, 8 * gib), on(8, gib / 2), on(8, 0)], [1, 2, 9, 3, 1]);
  assertEquals(linearThreads([{ rows: 4096, columns: 4096 }], { processors: 8, availableBytes: gib }), 1);
});
