/** The modules that `deno install --entrypoint` puts into an image, out of this machine's cache and without a registry. */
import { join } from "@std/path";
import { copyTree, exists, linkOrCopy } from "./copy_tree.ts";

interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly registryUrl: string;
  readonly localPath: string;
}
interface Info {
  readonly modules: readonly {
    readonly kind?: string;
    readonly specifier: string;
    readonly error?: string;
  }[];
  readonly npmPackages: Readonly<Record<string, NpmPackage>>;
}

/**
 * @param app the folder with deno.json
 * @param store becomes the folder `npm` of the image's DENO_DIR
 * @throws Error naming a module that is not in `app`
 */
export function installModules(app: string, entries: readonly string[], store: string): void {
  const registry = (one: NpmPackage) => join(store, new URL(one.registryUrl).host, one.name, one.version);
  for (const entry of entries) {
    // Deno takes every package of deno.json as soon as a module needs one of them.
    const { modules, npmPackages } = infoOf(app, entry);
    if (!modules.some(({ kind }) => kind === "npm")) continue;
    for (const one of Object.values(npmPackages)) {
      const folder = registry(one);
      if (!exists(folder)) copyTree(one.localPath, folder, linkOrCopy);
    }
  }
}

function infoOf(app: string, entry: string): Info {
  const { success, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    ...{ cwd: app, env: { NO_COLOR: "1" } },
  }).outputSync();
  if (!success) throw new Error(`deno info ${entry}: ${new TextDecoder().decode(stderr).trim()}`);
  const info: Info = JSON.parse(new TextDecoder().decode(stdout));
  const broken = info.modules.find(({ error }) => error !== undefined);
  if (broken !== undefined) throw new Error(`${entry}: ${broken.error}`);
  const remote = info.modules.find(({ specifier }) => /^https?:/.test(specifier));
  if (remote !== undefined) {
    throw new Error(`${entry} takes ${remote.specifier}, for which there is no stand-in`);
  }
  return info;
}
