/**
 * One load in a process of its own, so that time and memory are its alone:
 *
 *     one_load.ts <folder> <before | now> <linears | all> <threads, or 0> <cache folder, or ->
 *
 * "before" reads and quantises in one thread of JavaScript, as versions before the WebAssembly kernel did. "all" also reads the
 * tables and uploads everything to the first GPU, which may be a CPU's.
 */
import { type Checkpoint, openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { linearModules } from "../../../shared/model/model_tensors.ts";
import { Gpu } from "../../../worker/device/gpu.ts";
import { openLinears } from "../../../worker/files/linears/open_linears.ts";
import { LinearReader } from "../../../worker/files/linears/read_ahead.ts";
import { loadBaseWeights } from "../../../worker/model/weights.ts";
import { quantizeNf4 } from "./nf4_before.ts";

export interface OneLoad {
  readonly wallS: number;
  readonly cpuS: number;
  /** Of the whole process, in bytes. */
  readonly peakBytes: number;
  readonly text: string;
  /** Of all codes and absmax values, added up: the same for the same bits. */
  readonly checksum: number;
}

const OPTIONS = { doubleQuantization: true };
const [folder, version, what, threads, cacheFolder] = Deno.args as [string, string, string, string, string];

function before(checkpoint: Checkpoint): Checkpoint {
  return {
    ...checkpoint,
    async readLinear(name, rows, columns, options) {
      const values = await checkpoint.readTensor(`${name}.weight`, [rows, columns]);
      return quantizeNf4(values, { rows, columns, ...options });
    },
  };
}

const sumOf = (bytes: Uint8Array | Float32Array | null) => {
  if (bytes === null) return 0;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  let sum = 0;
  for (let i = 0; i < words.length; i += 101) sum = (sum + words[i]!) % 2 ** 32;
  return sum;
};

async function run(checkpoint: Checkpoint): Promise<number> {
  if (what === "all") {
    const gpu = await Gpu.open({ allowCpu: true });
    await loadBaseWeights(gpu, checkpoint, { ...OPTIONS, slabRows: 8192 });
    return 0;
  }
  let checksum = 0;
  for (const { name, outFeatures, inFeatures } of linearModules(checkpoint.spec)) {
    const { codes, absmaxCodes, nestedAbsmax } = await checkpoint.readLinear(
      ...[name, outFeatures, inFeatures, OPTIONS] as const,
    );
    checksum += [codes, absmaxCodes, nestedAbsmax].reduce((sum, array) => sum + sumOf(array), 0);
  }
  return checksum;
}

/** Of this process and all of its threads, user and system. */
function cpuSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const stored = await openCheckpoint(folder);
const nf4Cache = cacheFolder === "-" ? null : { folder: cacheFolder, maxBytes: 2 ** 40 };
const [wall, cpu] = [performance.now(), cpuSeconds()];
using reader = nf4Cache === null
  ? new LinearReader(stored, { ...OPTIONS, cache: null, ...threads !== "0" && { threads: Number(threads) } })
  : await openLinears(stored, { ...OPTIONS, nf4Cache, weightsHash: "b".repeat(64) });
const checksum = await run(version === "before" ? before(stored) : reader.checkpoint);
const [wallS, cpuS] = [(performance.now() - wall) / 1000, cpuSeconds() - cpu];
const [, peakKib] = /VmHWM:\s+(\d+)/.exec(await Deno.readTextFile("/proc/self/status"))!;
const text = version === "before" ? "" : reader.text!;
console.log(
  JSON.stringify({ wallS, cpuS, peakBytes: 1024 * Number(peakKib), text, checksum } satisfies OneLoad),
);
Deno.exit(0);
