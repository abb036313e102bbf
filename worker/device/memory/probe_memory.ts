/**
 * How much memory a GPU has for one program. WebGPU does not tell; it only fails when there is none left. So buffers are allocated
 * and filled, in steps, until one fails, and all are freed at once. The device is the probe's own, because a driver that runs
 * out of memory may lose it.
 *
 * Some drivers never fail: they move buffers to the machine's memory. Then filling slows down to the speed of the bus, or the
 * machine's free memory falls by as much as was filled.
 */
import type { Clock } from "../../../shared/clock.ts";

export interface ProbedMemory {
  readonly bytes: number;
  /** The GPU computes in the machine's own memory: `bytes` is what was seen before the probe ended, not a limit. */
  readonly isSystemMemory: boolean;
  /** The device was lost: because memory ran out, which some drivers say that way, or for a reason of its own. */
  readonly isLost: boolean;
}

export interface ProbeOptions {
  readonly device: GPUDevice;
  readonly clock: Pick<Clock, "now">;
  /** Free bytes of the machine. */
  readonly systemAvailable: () => number;
}

const MIB = 2 ** 20;
const FIRST_STEP = 256 * MIB;
/** Below the 2 GiB at which some drivers fail. */
const LARGEST_STEP = 1024 * MIB;
/** The last steps: what is left is not worth another one. */
const SMALLEST_STEP = 64 * MIB;
/** Below this a change of the machine's free memory may be anybody's. */
const TELLING_BYTES = 2 * LARGEST_STEP;
/** Share of what was filled that the machine's free memory falls by, if it is that memory. */
const SYSTEM_SHARE = 0.75;
/** A step that takes so many times longer by the byte than the fastest one went over the bus. */
const SLOW_FACTOR = 4;
/** Deno waits in steps of 10 ms. */
const SLOW_MS = 60;

/** Allocates all of the memory and frees it. */
export async function probeMemory({ device, clock, systemAvailable }: ProbeOptions): Promise<ProbedMemory> {
  const buffers: GPUBuffer[] = [];
  let isLost = false;
  device.lost.then(() => isLost = true);
  const before = systemAvailable();
  const largest = Math.min(LARGEST_STEP, device.limits.maxBufferSize);
  let [bytes, step, isFull, fastest] = [0, Math.min(FIRST_STEP, largest), false, Infinity];
  try {
    while (step >= SMALLEST_STEP && !isLost) {
      const isSlow = (milliseconds: number) =>
        milliseconds > SLOW_MS && milliseconds / step > SLOW_FACTOR * fastest;
      let { buffer, milliseconds } = await timedFill(device, step, clock);
      if (isSlow(milliseconds)) {
        // Once may be a machine that had other work, and what is found is remembered for a week: the bus is slow twice.
        buffer?.destroy();
        ({ buffer, milliseconds } = await timedFill(device, step, clock));
      }
      if (buffer === null || isSlow(milliseconds)) {
        buffer?.destroy();
        if (isSlow(milliseconds)) break;
        isFull = true;
        step /= 2;
        continue;
      }
      buffers.push(buffer);
      bytes += step;
      fastest = Math.min(fastest, milliseconds / step);
      if (bytes >= TELLING_BYTES && before - systemAvailable() > SYSTEM_SHARE * bytes) {
        return { bytes, isSystemMemory: true, isLost };
      }
      if (!isFull) step = Math.min(largest, 2 * step);
    }
    return { bytes, isSystemMemory: false, isLost };
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

async function timedFill(device: GPUDevice, size: number, clock: Pick<Clock, "now">) {
  const startedAt = clock.now();
  const buffer = await fill(device, size);
  return { buffer, milliseconds: clock.now() - startedAt };
}

/** A buffer whose memory is there, because it was written; null if there is none. */
async function fill(device: GPUDevice, size: number): Promise<GPUBuffer | null> {
  for (const filter of FILTERS) device.pushErrorScope(filter);
  let buffer: GPUBuffer | null = null;
  try {
    buffer = device.createBuffer({ label: "probe", size, usage: GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.clearBuffer(buffer);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  } catch {
    buffer?.destroy(); // a lost device throws
    buffer = null;
  }
  const failures = await Promise.all(FILTERS.map(() => device.popErrorScope().catch(() => LOST)));
  if (failures.every((failure) => failure === null)) return buffer;
  buffer?.destroy();
  return null;
}

const FILTERS = ["out-of-memory", "validation", "internal"] as const;
const LOST = "lost";
