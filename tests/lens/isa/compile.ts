/** Compiles recorded kernels for a GPU that is not here: WGSL → SPIR-V by naga → ISA by RADV, Mesa's driver for AMD. */
import { fromFileUrl, join } from "@std/path";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import { loopTrips } from "./loop_trips.ts";
import { parseShader, type ShaderReport } from "./parse_isa.ts";

/** RDNA 2: the newest generation that Debian's Mesa compiles for without a card. */
const DEFAULT_FAMILY = "navi21";
const DRIVER_FOLDERS = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

export interface CompiledKernel {
  readonly dispatch: RecordedDispatch;
  readonly report: ShaderReport;
}

export interface Compilation {
  /** As the driver calls it. */
  readonly device: string;
  readonly kernels: readonly CompiledKernel[];
}

/** @throws LoraFleetError `no_gpu` that says what to install */
export async function compileKernels(dispatches: readonly RecordedDispatch[]): Promise<Compilation> {
  const driver = findDriver();
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-isa-" });
  try {
    const files = [];
    for (const [index, { program }] of dispatches.entries()) {
      files.push(await toSpirv(folder, index, program.wgsl));
    }
    const output = await runDriver(
      driver,
      files.flatMap((file, i) => [file, `${dispatches[i]!.program.bindings.length}`]),
    );
    const [head, ...shaders] = output.split(/^@@@ .*$/m);
    const device = /^@device (.*)$/m.exec(head!)?.[1] ?? "an unknown device";
    const kernels = dispatches.map((dispatch, i) => ({
      dispatch,
      report: parseShader(shaders[i]!, loopTrips(dispatch)),
    }));
    return { device, kernels };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function missing(what: string, remedy: string): LoraFleetError {
  return new LoraFleetError("no_gpu", `Compiling kernels failed: ${what}. ${remedy}`);
}

function findDriver(): string {
  for (const folder of DRIVER_FOLDERS) {
    try {
      for (const { name } of Deno.readDirSync(folder)) {
        if (/^radeon_icd.*\.json$/.test(name)) return join(folder, name);
      }
    } catch {
      // The other folder may be there.
    }
  }
  throw missing(
    `there is no radeon_icd….json in ${DRIVER_FOLDERS.join(" or ")}`,
    "Install Mesa's Vulkan drivers: apt-get install mesa-vulkan-drivers libvulkan1.",
  );
}

/** Bounds as wgpu asks for them: indices are clamped, buffers are left to the driver's robustness. */
async function toSpirv(folder: string, index: number, wgsl: string): Promise<string> {
  const [source, target] = [join(folder, `${index}.wgsl`), join(folder, `${index}.spv`)];
  await Deno.writeTextFile(source, wgsl);
  const args = [
    "--index-bounds-check-policy",
    "Restrict",
    "--buffer-bounds-check-policy",
    "Unchecked",
    source,
    target,
  ];
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command("naga", { args, stderr: "piped", stdout: "null" }).output();
  } catch {
    throw missing(
      "there is no naga on the PATH",
      "Install the translator that wgpu uses: cargo install naga-cli.",
    );
  }
  if (!output.success) {
    throw new RangeError(`naga refuses kernel ${index}: ${new TextDecoder().decode(output.stderr)}`);
  }
  return target;
}

async function runDriver(driver: string, args: readonly string[]): Promise<string> {
  const child = fromFileUrl(new URL("compile_child.ts", import.meta.url));
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--allow-ffi", "--allow-read", child, ...args],
    env: {
      VK_DRIVER_FILES: driver,
      VK_ICD_FILENAMES: driver,
      RADV_FORCE_FAMILY: Deno.env.get("RADV_FORCE_FAMILY") || DEFAULT_FAMILY,
      // What is in the cache is not compiled, and not reported.
      RADV_DEBUG: "shaders,shaderstats,nocache",
      MESA_SHADER_CACHE_DISABLE: "true",
      NO_COLOR: "1",
    },
    stdout: "null",
    stderr: "piped",
  }).output();
  const output = new TextDecoder().decode(stderr);
  if (success) return output;
  throw missing(
    `the driver's process ended: ${output.trim().split("\n").slice(-3).join(" ")}`,
    "Install a Vulkan loader and Mesa's drivers: apt-get install libvulkan1 mesa-vulkan-drivers.",
  );
}
