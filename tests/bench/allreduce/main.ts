/**
 * The all-reduce beside the bare pattern of its bytes, over a broker, with each worker in its own process.
 *
 *     deno task bench:allreduce                                       everything
 *     deno task bench:allreduce --workers 2,4 --mib 16 --rounds 3     a part
 *     deno task bench:allreduce --chunk-kib 2048                      chunks of a given size
 *     deno task bench:allreduce --codec int8                          beside the bare pattern of all four bytes
 *     deno task bench:allreduce --readback-ms 400                     sums that come from a GPU for so long: the all-reduce meanwhile,
 *                                                                     beside (as `first`) one that begins when all are there
 *
 * Rounds take turns (all-reduce, bare, all-reduce, …), so that a busy moment hits both: the ratio of their medians compares
 * within a run. Absolute times and the longest gap of the event loop depend on the machine and its load; CPU time
 * depends on them least.
 */
import { parseArgs } from "node:util";
import { fromFileUrl } from "@std/path";
import type { Bus } from "../../../shared/bus/bus.ts";
import { connectNatsBus } from "../../../shared/bus/nats_bus.ts";
import { startTestNatsServer } from "../../../shared/testing/test_nats_server.ts";
import type { GradientCodec } from "../../../worker/allreduce/codec/codecs.ts";
import { MAX_PAYLOAD_BYTES } from "../../../coordinator/broker/nats_server_config.ts";
import { type BenchOrder, type BenchOutcome, preciseNow } from "./worker.ts";
import { median } from "../statistics.ts";
import { exitWithHelp } from "../../documents/head_help.ts";

exitWithHelp(import.meta.url);

const MIB = 2 ** 20;
/** Enough for every worker to receive the order before the round starts. */
const START_IN_MS = 40;
const ASK_TIMEOUT_MS = 300_000;

interface Measured {
  /** Times of the whole round, by its slowest worker, in ms. */
  readonly times: number[];
  /** CPU time of all workers together, in ms. */
  readonly cpu: number[];
  maxGapMs: number;
  chunksRepeated: number;
}

interface Cell {
  readonly workers: number;
  readonly mib: number;
  readonly ours: Measured;
  readonly bare: Measured;
}

async function startWorkers(url: string, names: readonly string[]): Promise<Deno.ChildProcess[]> {
  const script = fromFileUrl(new URL("./worker.ts", import.meta.url));
  return await Promise.all(names.map((name, index) =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", script, url, name, String(index)],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn()
  ));
}

async function ask<T>(bus: Bus, worker: string, verb: string, argument: unknown): Promise<T> {
  const data = new TextEncoder().encode(JSON.stringify(argument));
  return JSON.parse(
    new TextDecoder().decode(await bus.request(`bench.${worker}.${verb}`, data, ASK_TIMEOUT_MS)),
  );
}

/** One round of all members, added to `measured` unless that is null. */
async function doRound(bus: Bus, order: BenchOrder, measured: Measured | null): Promise<void> {
  await Promise.all(order.members.map((member) => ask(bus, member, "prepare", order)));
  const startAt = preciseNow() + START_IN_MS;
  const outcomes = await Promise.all(
    order.members.map((member) => ask<BenchOutcome>(bus, member, "run", startAt)),
  );
  if (outcomes.some(({ isRight }) => !isRight)) {
    throw new Error("running a round failed: a worker's result is not the sum");
  }
  if (new Set(outcomes.map(({ checksum }) => checksum)).size > 1) {
    throw new Error("running a round failed: the results differ");
  }
  if (measured === null) return;
  measured.times.push(Math.max(...outcomes.map(({ endedAt }) => endedAt)) - startAt);
  measured.cpu.push(outcomes.reduce((sum, outcome) => sum + outcome.cpuMs, 0));
  measured.maxGapMs = Math.max(measured.maxGapMs, ...outcomes.map(({ maxGapMs }) => maxGapMs));
  measured.chunksRepeated += outcomes.reduce((sum, outcome) => sum + outcome.chunksRepeated, 0);
}

const spread = ({ times }: Measured) => `${Math.min(...times).toFixed(0)}–${Math.max(...times).toFixed(0)}`;
const rounded = (value: number) => value.toFixed(0);
/** Bytes that the broker receives and sends. */
const brokerBytes = ({ workers, mib }: Cell) => (3 * workers - 2) * mib * MIB;

const COLUMNS: readonly (readonly [title: string, width: number, textOf: (cell: Cell) => string])[] = [
  ["W", 2, ({ workers }) => String(workers)],
  ["MiB", 4, ({ mib }) => String(mib)],
  ["all-reduce ms", 14, ({ ours }) => rounded(median(ours.times))],
  ["min–max", 12, ({ ours }) => spread(ours)],
  ["bare ms", 9, ({ bare }) => rounded(median(bare.times))],
  ["min–max", 12, ({ bare }) => spread(bare)],
  ["ratio", 6, ({ ours, bare }) => (median(bare.times) / median(ours.times)).toFixed(2)],
  ["broker MB/s", 12, (cell) => rounded(brokerBytes(cell) / median(cell.ours.times) / 1000)],
  ["CPU ms", 7, ({ ours }) => rounded(median(ours.cpu))],
  ["bare", 6, ({ bare }) => rounded(median(bare.cpu))],
  ["gap ms", 7, ({ ours }) => rounded(ours.maxGapMs)],
  ["bare", 6, ({ bare }) => rounded(bare.maxGapMs)],
  ["repeated", 9, ({ ours }) => String(ours.chunksRepeated)],
];

const line = (cells: readonly string[]) => cells.map((cell, i) => cell.padStart(COLUMNS[i]![1])).join("");
const headerOf = ({ readbackMs }: Settings) =>
  line(COLUMNS.map(([title]) => readbackMs > 0 ? title.replace("bare", "first") : title));
const rowOf = (cell: Cell) => line(COLUMNS.map(([, , textOf]) => textOf(cell)));

/** How a round's time grows with the fleet, beside the growth of the broker's bytes. */
function growthOf(cells: readonly Cell[]): string[] {
  return [...new Set(cells.map(({ mib }) => mib))].map((mib) => {
    const ofSize = cells.filter((cell) => cell.mib === mib);
    const first = ofSize[0]!;
    const growth = ofSize.map(({ workers, ours }) => {
      const times = median(ours.times) / median(first.ours.times);
      const broker = (3 * workers - 2) / (3 * first.workers - 2);
      return `W=${workers} × ${times.toFixed(1)} (broker's bytes × ${broker.toFixed(1)})`;
    });
    return `${String(mib).padStart(5)} MiB: ${growth.join(", ")}`;
  });
}

/** The measurement of each cell. */
interface Settings {
  readonly rounds: number;
  readonly chunkBytes: number | null;
  readonly codec: GradientCodec;
  readonly readbackMs: number;
}

/** Measures with fresh workers: idle ones of a larger fleet would still receive every broadcast. */
async function measure(
  bus: Bus,
  url: string,
  { workers, mib }: Pick<Cell, "workers" | "mib">,
  { rounds, chunkBytes, codec, readbackMs }: Settings,
): Promise<Cell> {
  const members = Array.from({ length: workers }, (_, index) => `w-${workers}-${mib}-${index}`);
  const children = await startWorkers(url, members);
  const none = (): Measured => ({ times: [], cpu: [], maxGapMs: 0, chunksRepeated: 0 });
  const cell: Cell = { workers, mib, ours: none(), bare: none() };
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const pattern of ["all-reduce", readbackMs > 0 ? "read-first" : "bare"] as const) {
        const number = 1 + 2 * round + (pattern === "read-first" ? 1 : 0);
        const elementCount = mib * MIB / 4;
        const order = { pattern, number, members, elementCount, chunkBytes, codec, readbackMs };
        // The first round of each compiles, connects and allocates.
        await doRound(bus, order, round === 0 ? null : pattern === "all-reduce" ? cell.ours : cell.bare);
      }
    }
    return cell;
  } finally {
    for (const child of children) child.kill("SIGTERM");
    await Promise.all(children.map((child) => child.status));
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      workers: { type: "string", default: "2,4,8" },
      mib: { type: "string", default: "16,64,134" },
      rounds: { type: "string", default: "5" },
      "chunk-kib": { type: "string" },
      codec: { type: "string", default: "exact" },
      "readback-ms": { type: "string", default: "0" },
    },
  });
  const numbers = (text: string) => text.split(",").map(Number);
  const settings: Settings = {
    rounds: Number(values.rounds),
    chunkBytes: values["chunk-kib"] === undefined ? null : 1024 * Number(values["chunk-kib"]),
    codec: values.codec === "int8" ? "int8" : "exact",
    readbackMs: Number(values["readback-ms"]),
  };
  await using server = await startTestNatsServer({
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    configuration: `max_pending: ${256 * MIB}`,
  });
  const bus = await connectNatsBus({
    servers: server.url,
    name: "bench",
    onError: (message, thrown) => console.error(message, thrown),
  });
  const load = Deno.loadavg()[0]!.toFixed(1);
  console.log(
    `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load ${load}, ${settings.codec}\n${
      headerOf(settings)
    }`,
  );
  const cells: Cell[] = [];
  for (const mib of numbers(values.mib)) {
    for (const workers of numbers(values.workers)) {
      const cell = await measure(bus, server.url, { workers, mib }, settings);
      console.log(rowOf(cell));
      cells.push(cell);
    }
  }
  console.log(["", "a round's time as the fleet grows", ...growthOf(cells)].join("\n"));
  await bus.close();
}

if (import.meta.main) await main();
