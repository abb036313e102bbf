import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import type { Engine, EngineSpec } from "../engine/engine.ts";
import { weightsHash } from "../files/linears/weights_hash.ts";
import { JOB } from "../testing/test_job.ts";
import { createToyEngine } from "../testing/toy_engine.ts";
import { JobLoader } from "./load_job.ts";

Deno.test("the engine learns what its base model is and where NF4 is kept; its warnings are logged", async () => {
  const specs: EngineSpec[] = [];
  const logged: string[] = [];
  const clock = createFakeClock();
  const nf4Cache = { folder: "/cache/nf4", maxBytes: 7 };
  const newEngine = (): Engine => {
    const engine = createToyEngine({ clock });
    return {
      ...engine,
      async load(spec) {
        specs.push(spec);
        return { ...await engine.load(spec), warnings: ["NF4 cache: a file is damaged"] };
      },
    };
  };
  const loader = new JobLoader({
    ...{ clock, limits: LIMITS, newEngine },
    engineLimits: { allowCpu: true, memoryBudgetBytes: null, nf4Cache },
    findBaseModel: () => Promise.resolve("/models/base"),
    log: (level, message) => void logged.push(`${level} ${message}`),
  });
  await loader.load(JOB, new AbortController().signal);
  assertEquals(specs.map(({ nf4Cache, weightsHash }) => [nf4Cache, weightsHash]), [
    [nf4Cache, weightsHash(JOB.model)],
  ]);
  assertEquals(logged.filter((line) => line.startsWith("warn")), ["warn NF4 cache: a file is damaged"]);
  await loader.close();
});
