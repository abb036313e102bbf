import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loraSchema } from "../../../shared/job/job_spec_schema.ts";
import { lensCard } from "../../lens/cards.ts";
import { modelNamed } from "../../lens/models.ts";
import { recordStep } from "../../lens/step.ts";
import { summarize } from "../../lens/summary.ts";
import { NO_REGULARISATION } from "../../../worker/model/regularisation.ts";
import { ROOT } from "./parts.ts";
import type { StepMeasured } from "./step.ts";

Deno.test("bench:gpu --tiny: a part that fails does not stop the next, and a step is timed by kernel", async () => {
  const out = await Deno.makeTempDir();
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--cached-only", "--no-check", "tests/bench/gpu/main.ts", "--tiny", "--out", out],
        ...["--parts", "peers_tiny,step_tiny", "--python", `${out}/no-python`],
        ...["--report", `${out}/report`],
      ],
      cwd: ROOT,
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    const read = (name: string) => Deno.readTextFile(`${out}/${name}`);
    const summary = await read("summary.md");
    assertStringIncludes(summary, "| done |");
    assertStringIncludes(summary, "| failed: Failed to spawn");
    assertStringIncludes(summary, "## tiny");
    assertStringIncludes(await read("peers_tiny.txt"), "no-python");
    assertStringIncludes(await read("step_tiny.txt"), "tokens/s");
    // Two files have it all.
    assertEquals(await read("report/summary.md"), summary);
    const raw = await read("report/raw.txt");
    for (
      const text of [
        "==== step_tiny: done",
        "kernels were compiled in",
        '"kinds":[',
        "==== peers_tiny: failed",
      ]
    ) {
      assertStringIncludes(raw, text);
    }

    const measured: StepMeasured = JSON.parse(await read("step_tiny.json"));
    // Zeros would have ln of the vocabulary's size, exactly.
    const { vocabSize } = modelNamed(measured.model);
    assert(Math.abs(measured.lossPerLabel - Math.log(vocabSize)) > 0.01, `loss ${measured.lossPerLabel}`);
    assert(measured.compileSeconds > 0 && measured.kernelCount > 10 && measured.microBatches === 1);
    assert(measured.lossPerLabel > 0 && measured.allocatedBytes > 0 && measured.tokensPerSecond > 0);
    // Another set of kernels than on a GPU, but the same work.
    const card = lensCard("h200");
    const record = await recordStep(modelNamed(measured.model), card, {
      ...{ tokens: measured.tokens, documents: 1, labelShare: 1, microBatches: 1, memoryBytes: 2 ** 30 },
      ...{ lora: loraSchema.parse({ r: measured.loraR, lora_dropout: 0.1, target_modules: "all-linear" }) },
      ...{
        doubleQuantization: true,
        gradientCheckpointing: "where needed",
        regularisation: NO_REGULARISATION,
      },
    });
    assertEquals(measured.flops, summarize(record, card).flops);
    for (const { kind, seconds, predictedSeconds } of measured.kinds ?? []) {
      assert(seconds >= 0 && seconds < 60 && predictedSeconds! > 0, kind);
    }
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
