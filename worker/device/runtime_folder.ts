/**
 * A home for what the Vulkan loader's window libraries expect. Without it they write "XDG_RUNTIME_DIR is invalid or not set in
 * the environment" for every GPU that is opened, which looks like a failure and is none.
 */

/** Gives this process a private folder of its own where the machine has none; it goes with the process. */
export function provideRuntimeFolder(): void {
  if (Deno.build.os !== "linux" || isFolder(Deno.env.get("XDG_RUNTIME_DIR"))) return;
  // The specification asks for a folder that nobody else can read, and that is what this makes.
  const folder = Deno.makeTempDirSync({ prefix: "lorafleet-runtime-" });
  Deno.env.set("XDG_RUNTIME_DIR", folder);
  globalThis.addEventListener("unload", () => {
    try {
      Deno.removeSync(folder, { recursive: true });
    } catch {
      // Somebody has cleaned up before.
    }
  });
}

function isFolder(path: string | undefined): boolean {
  if (!path) return false;
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
