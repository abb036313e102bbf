/** What `deno task sim` takes, with the defaults of the scale mode. */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import { MIX_AT_SCALE } from "./fault_plan.ts";
import type { ScaleOptions } from "./model/scale_run.ts";

/** From so many workers on the limits of a large fleet hold. */
const LARGE = 200;

/**
 * A large fleet speaks less often: the coordinator needs some 40 µs for a heartbeat, so that ten thousand
 * workers, four times a second, would be more than one core's work. A worker is lost after 6 s instead of 2:
 * two heartbeats of one second are lost one after the other too often in bad weather.
 */
const LARGE_FLEET_LIMITS: Limits = {
  ...LIMITS,
  heartbeatIntervalMs: 1000,
  lostAfterMissedHeartbeats: 6,
  pullTimeoutMs: 5000,
};

/** Faults are spread over so many milliseconds each, in the fleet's time. */
const FAULT_MS_EACH = { deep: 500, scale: 250 };

const text = { type: "string" } as const;
const OPTIONS = {
  seed: text,
  workers: text,
  faults: text,
  steps: text,
  "micro-batches": text,
  "compute-ms": text,
  parameters: text,
  codec: text,
  "link-mbit": text,
  "latency-ms": text,
  "broker-gbit": text,
  "heartbeat-ms": text,
  trace: text,
  deep: { type: "boolean" },
} as const;
type Name = Exclude<keyof typeof OPTIONS, "deep">;

export interface SimOptions {
  /** Real agents and the real all-reduce, in place of model workers. */
  readonly isDeep: boolean;
  /** Where every line of the history is to be written; null for nowhere. */
  readonly tracePath: string | null;
  readonly scale: ScaleOptions;
}

/** Throws a `LoraFleetError` with code `usage`. */
export function parseOptions(args: string[]): SimOptions {
  let values: Partial<Record<Name, string>> & { deep?: boolean };
  try {
    values = parseArgs({ args, options: OPTIONS }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
  const fail = (name: Name, wanted: string): never => {
    throw new LoraFleetError("usage", `--${name} is ${quote(values[name])}; ${wanted} is needed`);
  };
  const whole = (name: Name, otherwise: number, least: number): number => {
    const given = values[name];
    if (given === undefined) return otherwise;
    if (/^\d+$/.test(given) && Number(given) >= least && Number(given) < 2 ** 32) return Number(given);
    return fail(name, `a whole number from ${least} on`);
  };
  const range = (name: Name, otherwise: readonly [number, number]): readonly [number, number] => {
    const given = values[name];
    if (given === undefined) return otherwise;
    const [least = NaN, most = least] = given.split("-").map((part) => part === "" ? NaN : Number(part));
    if (least >= 0 && most >= least && given.split("-").length <= 2) return [least, most];
    return fail(name, "a number, or two as in 5-20,");
  };
  const isDeep = values.deep === true;
  const workerCount = whole("workers", 20, 1);
  const faultCount = whole("faults", 100, 0);
  const codec = values.codec ?? "exact";
  if (codec !== "exact" && codec !== "int8") fail("codec", '"exact" or "int8"');
  const brokerGbit = range("broker-gbit", [100, 100])[0];
  const brokerBytesPerSecond = brokerGbit === 0 ? Infinity : brokerGbit * 1e9 / 8;
  const perMbit = ([least, most]: readonly [number, number]) => [least * 125_000, most * 125_000] as const;
  const faultMsEach = isDeep ? FAULT_MS_EACH.deep : FAULT_MS_EACH.scale;
  const base = workerCount >= LARGE ? LARGE_FLEET_LIMITS : LIMITS;
  const heartbeatIntervalMs = whole("heartbeat-ms", base.heartbeatIntervalMs, 10);
  const lostAfterMs = base.heartbeatIntervalMs * base.lostAfterMissedHeartbeats;
  return {
    isDeep,
    tracePath: values.trace ?? null,
    scale: {
      seed: whole("seed", 1, 0),
      workerCount,
      faultCount,
      faultMix: MIX_AT_SCALE,
      faultsWithinMs: Math.max(1, faultCount * faultMsEach),
      startWithinMs: 5000,
      withinMs: 24 * 3_600_000,
      totalSteps: whole("steps", isDeep ? 20 : 27, 1),
      microBatchesPerStep: whole("micro-batches", 2 * workerCount, 1),
      checkpointEvery: 5,
      computeMs: range("compute-ms", isDeep ? [500, 3000] : [200, 1200]),
      parameterCount: whole("parameters", 1_000_000, 1),
      wireShare: codec === "int8" ? 260 / 1024 : 1,
      linkBytesPerSecond: perMbit(range("link-mbit", [500, 1000])),
      latencyMs: range("latency-ms", [1, 20]),
      broker: { outBytesPerSecond: brokerBytesPerSecond, inBytesPerSecond: brokerBytesPerSecond },
      limits: {
        ...base,
        heartbeatIntervalMs,
        lostAfterMissedHeartbeats: Math.max(2, Math.round(lostAfterMs / heartbeatIntervalMs)),
      },
    },
  };
}
