/**
 * The folders under which local base models lie. Nothing outside of them and of the hub's cache is read, whatever the name
 * or a link says, and no response reveals whether something exists there.
 */
import { isAbsolute, join, normalize, resolve } from "@std/path";

export interface ModelRoots {
  /** The real path of a base model's folder, or what was tried and why it was refused. */
  locate(model: string): Promise<{ readonly folder: string } | { readonly tried: readonly string[] }>;
  /** The real path of a file of a base model; null for a link that leads nowhere or out of the roots. */
  realFile(path: string): Promise<string | null>;
  /** Folders with a config.json at most two levels below the roots, as `locate` takes them; earlier roots win. */
  list(): Promise<readonly ListedModel[]>;
}

export interface ListedModel {
  readonly name: string;
  /** Of its config.json, in milliseconds since 1970. */
  readonly modifiedAt: number;
}

/** @param cacheFolder the hub's cache, into which links of a snapshot lead */
export function createModelRoots(roots: readonly string[], cacheFolder: string): ModelRoots {
  const absoluteRoots = roots.map((root) => resolve(root));
  /** A root that does not exist contains nothing. */
  const realRoots = async (): Promise<readonly string[]> =>
    (await Promise.all([...roots, cacheFolder].map((root) => Deno.realPath(root).catch(() => null))))
      .filter((root) => root !== null);

  return {
    async locate(model) {
      const tried: string[] = [];
      const candidates = isAbsolute(model)
        ? [normalize(model).replace(/(.)\/$/, "$1")]
        : absoluteRoots.map((root) => join(root, model));
      for (const candidate of candidates) {
        // Checked before any look at the disk, and reported without the roots' paths.
        if (!isInside(candidate, absoluteRoots)) {
          tried.push(`${model} (outside of the model roots)`);
          continue;
        }
        const folder = await Deno.realPath(candidate).catch(() => null);
        if (folder === null) tried.push(`${candidate} (no such folder)`);
        else if (!isInside(folder, await realRoots())) {
          tried.push(`${candidate} (a link out of the model roots)`);
        } else if (!await isFile(`${folder}/config.json`)) tried.push(`${candidate} (no config.json in it)`);
        else return { folder };
      }
      return { tried };
    },

    async realFile(path) {
      const real = await Deno.realPath(path).catch(() => null);
      return real !== null && isInside(real, await realRoots()) ? real : null;
    },

    async list() {
      const found = new Map<string, number>();
      for (const root of roots) {
        for (const name of await foldersBelow(root, 2)) {
          const config = await Deno.stat(join(root, name, "config.json")).catch(() => null);
          if (config?.isFile === true && !found.has(name)) found.set(name, config.mtime?.getTime() ?? 0);
        }
      }
      return [...found].map(([name, modifiedAt]) => ({ name, modifiedAt }))
        .sort((a, b) => a.name < b.name ? -1 : 1);
    },
  };
}

function isInside(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`));
}

async function foldersBelow(root: string, levels: number): Promise<string[]> {
  if (levels === 0) return [];
  const entries = await Array.fromAsync(Deno.readDir(root)).catch(() => []);
  const names = entries
    .filter(({ name, isDirectory }) => isDirectory && !name.startsWith(".") && name !== "node_modules")
    .map(({ name }) => name);
  const deeper = await Promise.all(
    names.map(async (name) =>
      (await foldersBelow(join(root, name), levels - 1)).map((below) => `${name}/${below}`)
    ),
  );
  return [...names, ...deeper.flat()];
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((stat) => stat.isFile, () => false);
}
