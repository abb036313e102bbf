/**
 * A substitute for XDG_RUNTIME_DIR. Without one the Vulkan loader's window libraries print "XDG_RUNTIME_DIR is invalid or not
 * set in the environment" for every opened GPU, which looks like a failure and is none.
 */

/**
 * Variables to add to a child's environment; none if this process has such a folder.
 * @param own this process's XDG_RUNTIME_DIR
 * @param folder created if needed; the caller removes it
 */
export async function runtimeFolderVariables(
  own: string | undefined,
  folder: string,
  os: typeof Deno.build.os = Deno.build.os,
): Promise<Record<string, string>> {
  if (os !== "linux" || await isFolder(own)) return {};
  // The specification requires a folder that only its owner can access.
  await Deno.mkdir(folder, { mode: 0o700, recursive: true });
  return { XDG_RUNTIME_DIR: folder };
}

async function isFolder(path: string | undefined): Promise<boolean> {
  if (!path) return false;
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}
