/** The GPU and its driver, as WebGPU sees them. */
import {
  CONTAINER_GPU_FIX,
  type GpuHardware,
  isGpuContainer,
  problemInContainer,
} from "../../shared/gpu_hardware.ts";
import type { ProbedGpu } from "../setup/checks.ts";
import { manualCommands } from "../setup/platform.ts";
import { type Finding, note, ok, problem } from "./finding.ts";
import type { World } from "./world.ts";

/** Kernels bind this many buffers and compute in workgroups of this size and memory (worker/kernels). */
const NEEDED: readonly (readonly [limit: keyof ProbedGpu["limits"], least: number])[] = [
  ["maxStorageBuffersPerShaderStage", 8],
  ["maxComputeInvocationsPerWorkgroup", 256],
  ["maxComputeWorkgroupSizeX", 256],
  ["maxComputeWorkgroupStorageSize", 16384],
];
/** WebGPU's default. */
const NEEDED_BUFFER = 2 ** 27;

export async function checkGpu(world: World): Promise<readonly Finding[]> {
  const hardware = world.hardware();
  const gpu = await world.gpu();
  if (hardware.length === 0) {
    const finding = withoutHardware(world, gpu);
    if (finding !== null) return [finding, ...gpu === null ? [] : limitFindings(gpu)];
  }
  const seen = hardware.map(({ vendor, evidence }) => `${vendor} (${evidence})`).join(", ");
  if (gpu === null) {
    const commands = manualCommands(world.platform, ["vulkan"]).join("; ");
    const found = hardware.length === 0 ? "none" : `${seen}, but WebGPU offers no adapter`;
    return [problem("GPU", found, `install its Vulkan driver: ${commands || "from the vendor"}`)];
  }
  return [adapterFinding(gpu, hardware, seen), ...limitFindings(gpu)];
}

/** In a container, whose user cannot install a driver; null elsewhere, and for a GPU that WebGPU has found all the same. */
function withoutHardware(world: World, gpu: ProbedGpu | null): Finding | null {
  if (gpu?.isCpu === false) return null;
  const name = gpu?.name ?? null;
  if (isGpuContainer((variable) => world.env(variable) ?? undefined)) {
    if (gpu !== null && world.env("LORAFLEET_ALLOW_CPU") !== null) {
      return note("GPU", `none; ${name} computes on the CPU, as LORAFLEET_ALLOW_CPU says`);
    }
    return problem("GPU", problemInContainer(name), CONTAINER_GPU_FIX);
  }
  const isCoordinator = world.env("LORAFLEET_DATA_FOLDER") !== null && world.env("LORAFLEET_JOIN") === null;
  return gpu === null && isCoordinator ? note("GPU", "none, and a coordinator needs none") : null;
}

function adapterFinding(gpu: ProbedGpu, hardware: readonly GpuHardware[], seen: string): Finding {
  if (!gpu.isCpu) return ok("GPU", gpu.name);
  if (hardware.length > 0) {
    const advice =
      "its Vulkan driver is missing; in a container NVIDIA_DRIVER_CAPABILITIES=all and libEGL are needed";
    return problem("GPU", `${seen}, but WebGPU offers only ${gpu.name}`, advice);
  }
  return note(
    "GPU",
    `none; ${gpu.name} computes on the CPU`,
    "a worker starts with --allow-cpu, and is slow",
  );
}

function limitFindings({ limits, name }: ProbedGpu): readonly Finding[] {
  const short = NEEDED.filter(([limit, least]) => limits[limit] < least)
    .map(([limit, least]) => `${limit} is ${limits[limit]}, ${least} are needed`);
  if (limits.maxStorageBufferBindingSize < NEEDED_BUFFER) {
    short.push(
      `maxStorageBufferBindingSize is ${limits.maxStorageBufferBindingSize}, ${NEEDED_BUFFER} are needed`,
    );
  }
  if (short.length > 0) {
    return [problem("WebGPU", short.join("; "), `a newer driver for ${name} may offer more`)];
  }
  const mib = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const { maxBufferSize, maxStorageBufferBindingSize } = limits;
  return [
    ok("WebGPU", `buffers of up to ${mib(maxBufferSize)}, bindings of ${mib(maxStorageBufferBindingSize)}`),
  ];
}
