/**
 * A gradient's integer sums from the GPU into the shared array, and the adapter's way back: as a worker does it, and as it did before
 * (a new buffer for each 256 MiB, mapped as a whole; 64 MiB written between two submits), in turns in one process.
 *
 *     deno run -A --unstable-webgpu tests/bench/gap/readback.ts [--millions 33.6,159.9] [--rounds 7]
 */
import { parseArgs } from "node:util";
import { exitWithHelp } from "../../documents/head_help.ts";
import { Gpu } from "../../../worker/device/gpu.ts";
import { openDevice } from "../../../worker/device/open_device.ts";
import type { GpuTensor } from "../../../worker/device/tensor.ts";
import { median } from "../statistics.ts";

exitWithHelp(import.meta.url);

/** Of a piece, before. */
const READ_BYTES = 256 * 2 ** 20;
const WRITTEN_BYTES = 64 * 2 ** 20;
const MIB = 2 ** 20;

/** Of this process, its threads included. */
function cpuMs(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** One buffer for each tensor's bytes, as the parts of an adapter have. */
async function beforeOf(sizes: readonly number[]) {
  const { device } = await openDevice({ allowCpu: true });
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST | GPUBufferUsage.STORAGE;
  const buffers = sizes.map((size) => device.createBuffer({ size, usage }));
  const copyOut = async (buffer: GPUBuffer, from: number, size: number, use: (bytes: Uint8Array) => void) => {
    const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, from, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    use(new Uint8Array(staging.getMappedRange()));
    staging.destroy();
  };
  const read = async (target: Uint8Array) => {
    let at = 0;
    for (const buffer of buffers) {
      for (let from = 0; from < buffer.size; from += READ_BYTES) {
        const size = Math.min(READ_BYTES, buffer.size - from);
        await copyOut(buffer, from, size, (bytes) => target.set(bytes, at));
        at += size;
      }
    }
  };
  const write = async (source: Uint8Array<ArrayBuffer>) => {
    let at = 0;
    for (const buffer of buffers) {
      for (let to = 0; to < buffer.size; to += WRITTEN_BYTES) {
        const size = Math.min(WRITTEN_BYTES, buffer.size - to);
        device.queue.writeBuffer(buffer, to, source, at, size);
        device.queue.submit([]);
        at += size;
      }
    }
    await copyOut(buffers.at(-1)!, 0, 256, () => {});
  };
  return { read, write };
}

async function compare(millions: number, rounds: number): Promise<void> {
  const gpu = await Gpu.open({ allowCpu: true });
  const total = Math.round(millions * 1e6 / 64) * 256;
  const sizes: number[] = [];
  for (let left = total; left > 0; left -= gpu.maxTensorBytes) sizes.push(Math.min(left, gpu.maxTensorBytes));
  const tensors: GpuTensor[] = sizes.map((size) => gpu.allocate("sums", size));
  const before = await beforeOf(sizes);
  const target = new Uint8Array(new SharedArrayBuffer(total) as unknown as ArrayBuffer).fill(1);
  const sides: Record<string, () => Promise<void>> = {
    "readback before": () => before.read(target),
    "readback now": () => gpu.readInto(tensors, target),
    "upload before": () => before.write(target),
    "upload now": async () => {
      let at = 0;
      for (const tensor of tensors) gpu.write(tensor, target.subarray(at, at += tensor.byteLength));
      gpu.submit();
      await gpu.read(tensors.at(-1)!, 256);
    },
    "a copy of as many bytes": () =>
      Promise.resolve(target.copyWithin(total / 2, 0, total / 2)).then(() => {}),
  };
  const times = new Map(
    Object.keys(sides).map((name) => [name, { wall: [] as number[], cpu: [] as number[] }]),
  );
  for (let round = 0; round <= rounds; round++) {
    for (const [name, run] of Object.entries(sides)) {
      const [wall, cpu] = [performance.now(), cpuMs()];
      await run();
      // The first round touches memory for the first time.
      if (round === 0) continue;
      times.get(name)!.wall.push(performance.now() - wall);
      times.get(name)!.cpu.push(cpuMs() - cpu);
    }
  }
  console.log(
    `\n${millions} M numbers, ${(total / MIB).toFixed(0)} MiB, ${gpu.description}, ${rounds} rounds`,
  );
  console.log(`${"ms".padEnd(28)}    median     least    CPU (mean)`);
  for (const [name, { wall, cpu }] of times) {
    const mean = cpu.reduce((sum, ms) => sum + ms, 0) / cpu.length;
    const cells = [median(wall), Math.min(...wall), mean].map((ms) => ms.toFixed(0).padStart(10));
    console.log(name.padEnd(28) + cells.join(""));
  }
  gpu.close();
}

const { values } = parseArgs({
  options: { millions: { type: "string", default: "33.6,159.9" }, rounds: { type: "string", default: "7" } },
});
console.log(
  `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load ${Deno.loadavg()[0]!.toFixed(1)}`,
);
for (const millions of values.millions.split(",").map(Number)) await compare(millions, Number(values.rounds));
Deno.exit(0);
