/**
 * Finds a Linux machine's GPUs without WebGPU, which silently offers Mesa's CPU driver if the GPU's Vulkan driver is missing.
 * Containers are the usual case: by default NVIDIA's runtime mounts only CUDA.
 */
import { LoraFleetError } from "./errors.ts";

type GpuVendor = "NVIDIA" | "AMD";

/** A GPU, or a sure sign of one. */
export interface GpuHardware {
  readonly vendor: GpuVendor;
  /** Shown to the user: "/dev/nvidia0", "NVIDIA Corporation AD102 (PCI 0000:01:00.0)". */
  readonly evidence: string;
}

/** The files of a machine; null, empty or false for what is missing or not readable. */
export interface MachineFiles {
  exists(path: string): boolean;
  list(folder: string): readonly string[];
  text(path: string): string | null;
}

/** Where NVIDIA's container runtime mounts libraries, by distribution. */
const LIBRARY_FOLDERS = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/nvidia/lib64",
  "/usr/lib/wsl/lib",
];

/** PCI vendor ids as sysfs writes them. */
const VENDORS: Readonly<Record<string, GpuVendor>> = { "0x10de": "NVIDIA", "0x1002": "AMD" };

/**
 * The first sign of each vendor. A process with narrow permissions sees no device files (Deno guards /dev, /proc and /sys),
 * but it sees the udev database and the driver's libraries.
 */
export function findGpuHardware(files: MachineFiles = thisMachine): readonly GpuHardware[] {
  const found = new Map<GpuVendor, string>();
  for (const [vendor, evidence] of signs(files)) if (!found.has(vendor)) found.set(vendor, evidence);
  return [...found].map(([vendor, evidence]) => ({ vendor, evidence }));
}

/** The version in the name of one of NVIDIA's libraries; null without its driver. */
export function nvidiaDriverVersion(files: MachineFiles = thisMachine): string | null {
  for (const folder of LIBRARY_FOLDERS) {
    for (const name of files.list(folder)) {
      const [, version] = /^libnvidia-(?:glcore|gpucomp|ml)\.so\.(\d+\.[\d.]+)$/.exec(name) ?? [];
      if (version !== undefined) return version;
    }
  }
  return null;
}

function* signs(files: MachineFiles): Generator<readonly [GpuVendor, string]> {
  for (const name of files.list("/dev")) {
    if (/^nvidia\d+$/.test(name)) yield ["NVIDIA", `/dev/${name}`];
  }
  for (const name of files.list("/sys/class/drm")) {
    if (!/^renderD\d+$/.test(name)) continue;
    const vendor = VENDORS[files.text(`/sys/class/drm/${name}/device/vendor`)?.trim() ?? ""];
    // Sysfs shows a container its host's devices; it can open only those in its own /dev.
    if (vendor !== undefined && files.exists(`/dev/dri/${name}`)) yield [vendor, `/dev/dri/${name}`];
  }
  for (const name of files.list("/run/udev/data")) {
    if (!name.startsWith("+pci:")) continue;
    const sign = signOfUdev(name, files.text(`/run/udev/data/${name}`) ?? "");
    if (sign !== null) yield sign;
  }
  for (const folder of LIBRARY_FOLDERS) {
    const path = `${folder}/libcuda.so.1`;
    if (files.exists(path)) yield ["NVIDIA", path];
  }
  if (files.exists("/opt/rocm/.info/version")) yield ["AMD", "/opt/rocm"];
}

/** A PCI device of the udev database, if it is a GPU. */
function signOfUdev(name: string, text: string): readonly [GpuVendor, string] | null {
  const field = (key: string) => new RegExp(`^E:${key}=(.*)$`, "m").exec(text)?.[1] ?? "";
  if (field("ID_PCI_CLASS_FROM_DATABASE") !== "Display controller") return null;
  const maker = field("ID_VENDOR_FROM_DATABASE");
  const isAmd = /Advanced Micro Devices|\bATI\b/i.test(maker);
  const vendor = /NVIDIA/i.test(maker) ? "NVIDIA" : isAmd ? "AMD" : null;
  if (vendor === null) return null;
  const model = `${maker} ${field("ID_MODEL_FROM_DATABASE")}`.trim();
  return [vendor, `${model} (PCI ${name.slice("+pci:".length)})`];
}

/** What the user has to change so that WebGPU sees the GPU. */
export function fixFor({ vendor }: GpuHardware, environment: (name: string) => string | undefined): string {
  if (vendor === "AMD") {
    return "install Mesa's Vulkan driver (Debian, Ubuntu: mesa-vulkan-drivers), give a container --device /dev/dri, and add the " +
      "user to the groups `render` and `video`";
  }
  const capabilities = environment("NVIDIA_DRIVER_CAPABILITIES");
  const hasGraphics = /(^|,)\s*(all|graphics)\s*(,|$)/.test(capabilities ?? "");
  if (isGpuContainer(environment) && !hasGraphics) {
    const now = capabilities || "unset, which means utility";
    return `start the container with NVIDIA_DRIVER_CAPABILITIES=all (it is ${now}): Vulkan comes with \`graphics\``;
  }
  return "install the Vulkan part of NVIDIA's driver (Debian: nvidia-vulkan-icd; Ubuntu: libnvidia-gl-<version of the driver>) and " +
    "libvulkan1, libegl1, libxext6; in a container also the file /usr/share/vulkan/icd.d/nvidia_icd.json";
}

/** Whether the worker's image runs, or another one for NVIDIA's container toolkit: they set one of its variables. */
export function isGpuContainer(environment: (name: string) => string | undefined): boolean {
  return environment("NVIDIA_VISIBLE_DEVICES") !== undefined ||
    environment("NVIDIA_DRIVER_CAPABILITIES") !== undefined;
}

/** How a container is given a GPU, or does without. */
export const CONTAINER_GPU_FIX =
  "start it with the host's GPU (docker: --gpus all, podman: --device nvidia.com/gpu=all, both with " +
  "NVIDIA's container toolkit on the host; AMD and Intel: --device /dev/dri), or with LORAFLEET_ALLOW_CPU=1 to compute on the CPU";

/** What is wrong in a container that sees no GPU at all. @param adapter as of `refuseIdleGpu` */
export function problemInContainer(adapter: string | null): string {
  return adapter === null
    ? "this container has no GPU and its image no Vulkan driver (Debian: libvulkan1, mesa-vulkan-drivers; the worker's image has them)"
    : `this container has no GPU, only the CPU ("${adapter}")`;
}

/**
 * Refuses to compute on the CPU beside a GPU that only lacks its driver: rented GPUs cost money while idle.
 * @param adapter name of the CPU adapter; null if WebGPU has no adapter at all
 * @throws LoraFleetError `no_gpu`
 */
export function refuseIdleGpu(
  adapter: string | null,
  hardware: readonly GpuHardware[],
  environment: (name: string) => string | undefined,
): void {
  const first = hardware[0];
  if (first === undefined) return;
  const instead = adapter === null ? "WebGPU offers no adapter" : `WebGPU offers only the CPU ("${adapter}")`;
  throw new LoraFleetError(
    "no_gpu",
    `Opening the GPU failed: this machine has an ${first.vendor} GPU (${first.evidence}), but ${instead}, so its Vulkan driver is ` +
      `missing. To use it, ${
        fixFor(first, environment)
      }. To compute on the CPU all the same, pass --ignore-gpu.`,
  );
}

const thisMachine: MachineFiles = {
  exists: (path) => orNull(() => Deno.statSync(path)) !== null,
  list: (folder) => orNull(() => [...Deno.readDirSync(folder)].map(({ name }) => name).sort()) ?? [],
  text: (path) => orNull(() => Deno.readTextFileSync(path)),
};

/** Null outside Linux, and for what this process must not read. */
function orNull<T>(read: () => T): T | null {
  if (Deno.build.os !== "linux") return null;
  try {
    return read();
  } catch {
    return null;
  }
}
