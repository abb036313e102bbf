/** A disk of a few megabytes that a test fills: a tmpfs of its own, which only root may mount. */
import { LoraFleetError } from "../../shared/errors.ts";

export interface SmallDisk extends AsyncDisposable {
  /** Takes what room there is. */
  fill(): Promise<void>;
  /** Gives it back. */
  free(): Promise<void>;
}

/** Mounts it at `folder`, which is made. Throws a `LoraFleetError` with code `missing_dependency` where that is not allowed. */
export async function mountSmallDisk(folder: string, megabytes: number): Promise<SmallDisk> {
  await Deno.mkdir(folder, { recursive: true });
  await run("mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder);
  const filler = `${folder}/filler`;
  return {
    async fill() {
      using file = await Deno.open(filler, { write: true, create: true });
      for (const bytes of [new Uint8Array(2 ** 20), new Uint8Array(4096)]) {
        await writeUntilFull(file, bytes);
      }
    },
    free: () => Deno.remove(filler),
    [Symbol.asyncDispose]: () => run("umount", "-l", folder),
  };
}

/** Null where small disks can be mounted here, else why not. */
export async function whyNoSmallDisk(): Promise<string | null> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-disk-" });
  try {
    await using _disk = await mountSmallDisk(folder, 1);
    return null;
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) return thrown.message;
    throw thrown;
  } finally {
    await Deno.remove(folder).catch(() => {});
  }
}

async function writeUntilFull(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  try {
    for (;;) await file.write(bytes);
  } catch (thrown) {
    if (!(thrown instanceof Error) || !/os error 28/.test(thrown.message)) throw thrown;
  }
}

async function run(command: string, ...args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args: [...args], stdin: "null" }).output();
  if (success) return;
  const words = new TextDecoder().decode(stderr).trim();
  throw new LoraFleetError("missing_dependency", `"${command} ${args.join(" ")}" failed: ${words}`);
}
