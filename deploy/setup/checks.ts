/** What is installed already: a nats-server binary, and a GPU that WebGPU can use. */
import { dirname, fromFileUrl, join } from "@std/path";
import { z } from "zod";

/** Debian installs nats-server into /usr/sbin, which is not on every PATH. */
const extraFolders = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/**
 * The first nats-server in the folders of `path` and in those that packages install into; null if there is none.
 * @param path the PATH variable
 */
export function findNatsServer(
  path: string,
  isFile: (path: string) => boolean = isExistingFile,
): string | null {
  const windows = Deno.build.os === "windows";
  const folders = path.split(windows ? ";" : ":").filter((folder) => folder !== "");
  for (const folder of windows ? folders : [...folders, ...extraFolders]) {
    const candidate = join(folder, windows ? "nats-server.exe" : "nats-server");
    if (isFile(candidate)) return candidate;
  }
  return null;
}

function isExistingFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

const probeSchema = z.object({
  found: z.boolean(),
  name: z.string(),
  isCpu: z.boolean(),
  limits: z.object({
    maxBufferSize: z.number(),
    maxStorageBufferBindingSize: z.number(),
    maxStorageBuffersPerShaderStage: z.number(),
    maxComputeWorkgroupStorageSize: z.number(),
    maxComputeInvocationsPerWorkgroup: z.number(),
    maxComputeWorkgroupSizeX: z.number(),
  }),
});

/** The adapter that WebGPU returns. */
export type ProbedGpu = Omit<z.output<typeof probeSchema>, "found">;

/** The GPU that WebGPU returns; null if it returns none or the attempt crashes. */
export async function probeGpu(timeoutMs = 30_000): Promise<ProbedGpu | null> {
  const script = join(dirname(fromFileUrl(import.meta.url)), "probe_gpu.ts");
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-config", "--no-lock", "--no-check", "-A", "--unstable-webgpu", script],
    ...{ stdin: "null", stdout: "piped", stderr: "null" } as const,
    // Linux may also offer an OpenGL adapter, whose limits are too small for training.
    env: Deno.build.os === "linux" && !Deno.env.has("DENO_WEBGPU_BACKEND")
      ? { DENO_WEBGPU_BACKEND: "vulkan" }
      : {},
    signal: AbortSignal.timeout(timeoutMs),
  }).output();
  return parseProbe(output.success, new TextDecoder().decode(output.stdout));
}

/** Reads the output of probe_gpu.ts; null for a crash, noise or no adapter. */
export function parseProbe(success: boolean, stdout: string): ProbedGpu | null {
  if (!success) return null;
  for (const line of stdout.split("\n").reverse()) {
    if (!line.startsWith("{")) continue;
    try {
      const { found, ...gpu } = probeSchema.parse(JSON.parse(line));
      return found ? gpu : null;
    } catch {
      return null;
    }
  }
  return null;
}
