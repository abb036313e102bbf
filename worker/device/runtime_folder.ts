/**
 * A runtime folder for the Vulkan loader's window libraries. Without one they print "XDG_RUNTIME_DIR is invalid or not set in
 * the environment" for every GPU that is opened, a harmless line that looks like a failure.
 */

/** Gives this process a private folder if the machine has none, and removes it when the process ends. */
export function provideRuntimeFolder(): void {
  if (Deno.build.os !== "linux" || isFolder(Deno.env.get("XDG_RUNTIME_DIR"))) return;
  // The specification requires a folder that only its owner can read, which this is.
  const folder = Deno.makeTempDirSync({ prefix: "lorafleet-runtime-" });
  Deno.env.set("XDG_RUNTIME_DIR", folder);
  globalThis.addEventListener("unload", () => {
    try {
      Deno.removeSync(folder, { recursive: true });
    } catch {
      // Already removed.
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
