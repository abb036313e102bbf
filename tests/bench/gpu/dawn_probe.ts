/**
 * What Dawn, another implementation of WebGPU, offers on this machine: matrix units from WGSL (subgroup matrices), and whether a
 * kernel of them compiles. A part of bench:gpu, in a process of its own: a driver may end it.
 *
 *     deno run -A --no-config --no-lock tests/bench/gpu/dawn_probe.ts [--backend null]
 *
 * `--backend null` computes nothing and needs no GPU. The package npm:webgpu has to be in Deno's cache where no registry can be reached:
 * `deno cache --no-lock npm:webgpu@0.6.2`.
 */

/** Not in deno.json: nothing else needs it. A name that is not written at the import is not looked for by `deno check`. */
const PACKAGE = "npm:webgpu@0.6.2";
const FEATURES = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as const;

/**
 * Two tiles of 16 by 16 are multiplied.
 * @param size of the workgroup: a multiple of the largest subgroup
 */
const kernelOf = (size: number) => `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read> left: array<f16>;
@group(0) @binding(1) var<storage, read> right: array<f16>;
@group(0) @binding(2) var<storage, read_write> product: array<f32>;
@compute @workgroup_size(${size}) fn main() {
  let a = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&left, 0u, 16u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&right, 0u, 16u);
  var c: subgroup_matrix_result<f32, 16, 16>;
  c = subgroupMatrixMultiplyAccumulate(a, b, c);
  subgroupMatrixStore<row_major>(&product, 0u, c, 16u);
}`;

interface Dawn {
  create(flags: readonly string[]): GPU;
  readonly globals: object;
}

async function main(backend: string | null): Promise<void> {
  const { create, globals }: Dawn = await import(PACKAGE);
  Object.assign(globalThis, globals);
  const flags = [
    // NVIDIA's driver has f16, which Dawn hides there unless it is asked.
    "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia",
    ...backend === null ? [] : [`backend=${backend}`],
  ];
  // The process ends if it is collected.
  const gpu = (globalThis as unknown as { dawn: GPU }).dawn = create(flags);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) throw new Error(`Dawn finds no adapter (${flags.join(" ")})`);
  const info = adapter.info as GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<object> };
  console.log(`adapter: ${info.vendor} ${info.architecture} ${info.device} ${info.description}`.trimEnd());
  const missing = FEATURES.filter((name) => !(adapter.features as unknown as ReadonlySet<string>).has(name));
  console.log(
    `features: ${FEATURES.filter((name) => !missing.includes(name)).join(", ") || "none of those needed"}`,
  );
  if (missing.length > 0) console.log(`missing: ${missing.join(", ")}`);
  const configs = [...info.subgroupMatrixConfigs ?? []];
  console.log(`subgroup matrix configurations: ${configs.length}`);
  for (const config of configs) console.log(`  ${JSON.stringify(config)}`);
  if (missing.length > 0) return;
  const device = await adapter.requestDevice({
    requiredFeatures: [...FEATURES] as string[] as GPUFeatureName[],
  });
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: kernelOf(info.subgroupMaxSize || 128) });
  for (const { type, message, lineNum } of (await module.getCompilationInfo()).messages) {
    console.log(`${type}, line ${lineNum}: ${message}`);
  }
  device.createComputePipeline({ layout: "auto", compute: { module } });
  const error = await device.popErrorScope();
  console.log(
    error === null ? "a kernel of subgroup matrices compiles" : `it does not compile: ${error.message}`,
  );
}

const at = Deno.args.indexOf("--backend");
try {
  await main(at === -1 ? null : Deno.args[at + 1] ?? null);
} catch (thrown) {
  console.error(thrown instanceof Error ? thrown.message : String(thrown));
  Deno.exit(1);
}
// Dawn's threads would keep the process.
Deno.exit(0);
