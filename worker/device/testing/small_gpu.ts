import { Gpu } from "../gpu.ts";
import { openDevice, type OpenedDevice } from "../open_device.ts";

/** The memory of a GPU that has less than this machine, and whose owner lets it shrink. */
export interface SmallMemory {
  limitBytes: number;
  usedBytes: number;
}

/** A GPU of its own that runs out of memory as a driver does: the buffer is there, and the error comes with the scope. */
export async function smallGpu(limitBytes: number): Promise<{ gpu: Gpu; memory: SmallMemory }> {
  const memory: SmallMemory = { limitBytes, usedBytes: 0 };
  const gpu = await Gpu.open(
    { allowCpu: true },
    async (options) => limited(await openDevice(options), memory),
  );
  return { gpu, memory };
}

/**
 * A device whose buffers count against `memory`.
 * @param realBytes the most that a buffer has in truth: larger ones must not be used but as wholes
 */
export function limited(opened: OpenedDevice, memory: SmallMemory, realBytes = Infinity): OpenedDevice {
  const { device } = opened;
  const create = device.createBuffer.bind(device);
  const push = device.pushErrorScope.bind(device);
  const pop = device.popErrorScope.bind(device);
  const scopes: GPUErrorFilter[] = [];
  let failure: GPUError | null = null;
  const createBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    const buffer = create({ ...descriptor, size: Math.min(descriptor.size, realBytes) });
    const destroy = buffer.destroy.bind(buffer);
    memory.usedBytes += descriptor.size;
    const free = () => {
      memory.usedBytes -= descriptor.size;
      Object.assign(buffer, { destroy });
      destroy();
    };
    Object.assign(buffer, { destroy: free });
    if (memory.usedBytes > memory.limitBytes) failure ??= new GPUOutOfMemoryError("Out of memory");
    return buffer;
  };
  const pushErrorScope = (filter: GPUErrorFilter) => {
    scopes.push(filter);
    push(filter);
  };
  const popErrorScope = async () => {
    const filter = scopes.pop();
    const injected = filter === "out-of-memory" ? failure : null;
    if (injected !== null) failure = null;
    return await pop() ?? injected;
  };
  Object.assign(device, { createBuffer, pushErrorScope, popErrorScope });
  return opened;
}
