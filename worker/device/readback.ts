/** Copies tensors back to main memory through a buffer that both sides can see. */
import type { Clock } from "../../shared/clock.ts";
import type { ErrorScopes } from "./error_scopes.ts";
import type { Submits } from "./submits/submits.ts";
import type { GpuTensor } from "./tensor.ts";

export interface ReadbackParts {
  readonly device: GPUDevice;
  /** Learns from what was measured of the submits before. */
  readonly submits: Pick<Submits, "busyMs" | "measuredBytes" | "resolve" | "learn" | "forget">;
  readonly errors: Pick<ErrorScopes, "isLost">;
  /** Throws if a command failed, naming the attempt. */
  readonly check: (attempt: string) => Promise<void>;
  /** What becomes of what WebGPU itself threw during the attempt. */
  readonly failureOf: (thrown: unknown, attempt: string) => Promise<Error>;
  /** Null: the device cannot be lost. */
  readonly watch: Clock | null;
}

/** How often a lost device is looked for. */
const LOOK_MS = 20;

/** Hands `use` the bytes of all tensors, one after the other; they are valid until it returns. */
export async function withMapped<T>(
  { device, submits, errors, check, failureOf, watch }: ReadbackParts,
  tensors: readonly GpuTensor[],
  use: (bytes: Uint8Array<ArrayBuffer>) => T,
): Promise<T> {
  const labels = tensors.map(({ label }) => label).join(", ");
  const byteLength = tensors.reduce((total, { byteLength }) => total + byteLength, 0);
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
  const size = byteLength + submits.measuredBytes;
  const staging = device.createBuffer({ label: `staging for ${labels}`, size, usage });
  try {
    const encoder = device.createCommandEncoder();
    let at = 0;
    for (const { buffer, byteOffset, byteLength } of tensors) {
      encoder.copyBufferToBuffer(buffer, byteOffset, staging, at, byteLength);
      at += byteLength;
    }
    submits.resolve(encoder, staging, byteLength);
    device.queue.submit([encoder.finish()]);
    const attempt = `Computing "${labels}"`;
    if (watch !== null) await watchFor(submits.busyMs, device, errors, watch);
    await check(attempt);
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (thrown) {
      throw await failureOf(thrown, attempt);
    }
    const mapped = staging.getMappedRange();
    submits.learn(mapped.slice(byteLength), byteLength);
    return use(new Uint8Array(mapped, 0, byteLength));
  } catch (thrown) {
    submits.forget();
    throw thrown;
  } finally {
    staging.destroy();
  }
}

/**
 * Lets time pass while the GPU computes, and looks for its loss. If a device is lost while `mapAsync` waits for it, Deno ends the
 * process (`device_poll(…).unwrap()` in its ext/webgpu/buffer.rs); an empty submit merely fails.
 */
async function watchFor(
  milliseconds: number,
  { queue }: GPUDevice,
  errors: Pick<ErrorScopes, "isLost">,
  time: Clock,
): Promise<void> {
  const end = time.now() + milliseconds;
  while (!errors.isLost && time.now() + LOOK_MS <= end) {
    await time.sleep(LOOK_MS);
    queue.submit([]);
  }
}

/** Cuts tensors into pieces, in their order, and groups the pieces so that each group has at most `maxBytes`, a multiple of 256. */
export function* inPieces(tensors: readonly GpuTensor[], maxBytes: number): Generator<GpuTensor[]> {
  let group: GpuTensor[] = [];
  let room = maxBytes;
  for (const tensor of tensors) {
    for (let at = 0; at < tensor.byteLength;) {
      const byteLength = Math.min(room, tensor.byteLength - at);
      group.push({ ...tensor, byteOffset: tensor.byteOffset + at, byteLength });
      at += byteLength;
      room -= byteLength;
      if (room > 0) continue;
      yield group;
      [group, room] = [[], maxBytes];
    }
  }
  if (group.length > 0) yield group;
}
