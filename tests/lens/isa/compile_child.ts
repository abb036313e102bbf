/**
 * Compiles SPIR-V with the first Vulkan device: a process of its own, since the driver is chosen by its environment and reports
 * to its standard error. Arguments: pairs of a file and its number of storage buffers. Each report follows a line "@@@ FILE".
 */
import { arrayOf, embedded, nothing, pointerTo, struct, text, u32, u64 } from "./vulkan_structs.ts";

const VULKAN = {
  vkCreateInstance: { parameters: ["buffer", "pointer", "buffer"], result: "i32" },
  vkEnumeratePhysicalDevices: { parameters: ["u64", "buffer", "buffer"], result: "i32" },
  vkGetPhysicalDeviceProperties: { parameters: ["u64", "buffer"], result: "void" },
  vkCreateDevice: { parameters: ["u64", "buffer", "pointer", "buffer"], result: "i32" },
  vkCreateDescriptorSetLayout: { parameters: ["u64", "buffer", "pointer", "buffer"], result: "i32" },
  vkCreatePipelineLayout: { parameters: ["u64", "buffer", "pointer", "buffer"], result: "i32" },
  vkCreateShaderModule: { parameters: ["u64", "buffer", "pointer", "buffer"], result: "i32" },
  vkCreateComputePipelines: {
    parameters: ["u64", "u64", "u32", "buffer", "pointer", "buffer"],
    result: "i32",
  },
} as const;

/** Values of VkStructureType, VkDescriptorType and VkShaderStageFlagBits. */
const TYPE = {
  application: 0,
  instance: 1,
  queue: 2,
  device: 3,
  module: 16,
  stage: 18,
  pipeline: 29,
  layout: 30,
  set: 32,
};
const [STORAGE_BUFFER, UNIFORM_BUFFER_DYNAMIC, COMPUTE_STAGE] = [7, 8, 0x20];
const API_1_3 = (1 << 22) | (3 << 12);

const { symbols: vk } = Deno.dlopen("libvulkan.so.1", VULKAN);

/** Calls a function that writes a handle and returns a VkResult. */
function handleFrom(name: string, call: (out: BigUint64Array<ArrayBuffer>) => number): bigint {
  const out = new BigUint64Array(1);
  const result = call(out);
  if (result !== 0) throw new Error(`${name} returned ${result}`);
  return out[0]!;
}

function openDevice(): bigint {
  const application = struct(u32(TYPE.application), nothing, nothing, u32(0), nothing, u32(0), u32(API_1_3));
  const info = struct(
    u32(TYPE.instance),
    nothing,
    u32(0),
    pointerTo(application),
    u32(0),
    nothing,
    u32(0),
    nothing,
  );
  const instance = handleFrom("vkCreateInstance", (out) => vk.vkCreateInstance(info, null, out));
  const physical = handleFrom("vkEnumeratePhysicalDevices", (out) => {
    const result = vk.vkEnumeratePhysicalDevices(instance, new Uint32Array([1]), out);
    return result === 5 ? 0 : result; // VK_INCOMPLETE: there are more devices
  });
  const properties = new Uint8Array(1024);
  vk.vkGetPhysicalDeviceProperties(physical, properties);
  console.error(`@device ${new TextDecoder().decode(properties.subarray(20, properties.indexOf(0, 20)))}`);
  const priority = new Uint8Array(new Float32Array([1]).buffer);
  const queue = struct(u32(TYPE.queue), nothing, u32(0), u32(0), u32(1), pointerTo(priority));
  // VkPhysicalDeviceFeatures: 55 booleans, the first of which is robustBufferAccess. wgpu asks for it, too.
  const features = new Uint8Array(new Uint32Array(55).fill(1, 0, 1).buffer);
  const none = [u32(0), nothing, u32(0), nothing];
  const device = struct(
    u32(TYPE.device),
    nothing,
    u32(0),
    u32(1),
    pointerTo(queue),
    ...none,
    pointerTo(features),
  );
  return handleFrom("vkCreateDevice", (out) => vk.vkCreateDevice(physical, device, null, out));
}

/** A layout of as many buffers of one type. */
function setLayout(device: bigint, type: number, count: number): bigint {
  const bindings = Array.from(
    { length: count },
    (_, binding) => struct(u32(binding), u32(type), u32(1), u32(COMPUTE_STAGE), nothing),
  );
  const info = struct(u32(TYPE.set), nothing, u32(0), u32(count), pointerTo(arrayOf(bindings)));
  return handleFrom(
    "vkCreateDescriptorSetLayout",
    (out) => vk.vkCreateDescriptorSetLayout(device, info, null, out),
  );
}

function compile(device: bigint, code: Uint8Array<ArrayBuffer>, bindings: number): void {
  const sets = new Uint8Array(
    BigUint64Array.of(
      setLayout(device, UNIFORM_BUFFER_DYNAMIC, 1),
      setLayout(device, STORAGE_BUFFER, bindings),
    ).buffer,
  );
  const layoutInfo = struct(u32(TYPE.layout), nothing, u32(0), u32(2), pointerTo(sets), u32(0), nothing);
  const layout = handleFrom(
    "vkCreatePipelineLayout",
    (out) => vk.vkCreatePipelineLayout(device, layoutInfo, null, out),
  );
  const moduleInfo = struct(u32(TYPE.module), nothing, u32(0), u64(BigInt(code.length)), pointerTo(code));
  const module = handleFrom(
    "vkCreateShaderModule",
    (out) => vk.vkCreateShaderModule(device, moduleInfo, null, out),
  );
  const stage = struct(
    u32(TYPE.stage),
    nothing,
    u32(0),
    u32(COMPUTE_STAGE),
    u64(module),
    text("main"),
    nothing,
  );
  const pipeline = struct(u32(TYPE.pipeline), nothing, u32(0), embedded(stage), u64(layout), u64(0n), u32(0));
  handleFrom(
    "vkCreateComputePipelines",
    (out) => vk.vkCreateComputePipelines(device, 0n, 1, pipeline, null, out),
  );
}

const device = openDevice();
for (let i = 0; i < Deno.args.length; i += 2) {
  console.error(`@@@ ${Deno.args[i]}`);
  compile(device, await Deno.readFile(Deno.args[i]!), Number(Deno.args[i + 1]));
}
