/// <reference lib="deno.worker" />
/** A thread that measures one merge: waiting for a GPU blocks its thread, and the worker's own has to stay a member of the fleet. */
import { systemClock } from "../../shared/clock.ts";
import { failureOf } from "../../shared/protocol/failure.ts";
import { Gpu } from "../device/gpu.ts";
import { type MeasureInput, measureMerge } from "./measure.ts";
import type { MeasureAnswer } from "./measure_client.ts";

self.onmessage = async ({ data }: MessageEvent<MeasureInput>) => {
  const outside = {
    openGpu: (options: { readonly allowCpu: boolean }) => Gpu.open(options),
    now: () => systemClock.now(),
  };
  const answer: MeasureAnswer = await measureMerge(data, outside).then(
    (drift) => ({ drift, failure: null }),
    (thrown) => ({ drift: null, failure: failureOf(thrown) }),
  );
  self.postMessage(answer);
};
