/**
 * A home for what the Vulkan loader's window libraries expect. Without it they write "XDG_RUNTIME_DIR is invalid or not
 * set in the environment" for every GPU that is opened, which looks like a failure and is none.
 */

/**
 * The variables to add to a child's environment; none where the machine has such a folder.
 * @param own the value of XDG_RUNTIME_DIR here
 * @param folder is made where it is needed; the caller removes it
 */
export async function runtimeFolderVariables(
  own: string | undefined,
  folder: string,
  os: typeof Deno.build.os = Deno.build.os,
): Promise<Record<string, string>> {
  if (os !== "linux" || await isFolder(own)) return {};
  // The specification asks for a folder that nobody else can read.
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
