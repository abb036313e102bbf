/** The import graph of the whole tree, as `deno info --json` sees it, by paths from the repository's root. */
import { dirname, fromFileUrl, join, toFileUrl } from "@std/path";
import { z } from "zod";

export const repositoryRoot = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

/** For each file of ours the files of ours that it imports, for values or for types; both with `/`. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

const referenceSchema = z.object({ specifier: z.string().optional(), error: z.string().optional() });
const infoSchema = z.object({
  modules: z.array(z.object({
    specifier: z.string(),
    error: z.string().optional(),
    dependencies: z.array(z.object({
      specifier: z.string(),
      code: referenceSchema.optional(),
      type: referenceSchema.optional(),
    })).default([]),
  })),
});

/** The folders that hold code. */
export const codeFolders = ["coordinator", "worker", "shared", "deploy", "tests"] as const;

/** Tests and what only they use. */
export function isTest(path: string): boolean {
  return path.startsWith("tests/") || /(_test|_fixture|_contract)\.tsx?$|(^|\/)testing\//.test(path);
}

/** The graph without tests. */
export function productGraph(graph: ImportGraph): ImportGraph {
  return new Map(
    [...graph].filter(([path]) => !isTest(path)).map((
      [path, imports],
    ) => [path, imports.filter((to) => !isTest(to))]),
  );
}

export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** All TypeScript files of ours, sorted, as paths from the root. */
export function sourceFiles(root = repositoryRoot): string[] {
  const files: string[] = [];
  const walk = (relative: string) => {
    for (const entry of Deno.readDirSync(join(root, relative))) {
      const path = `${relative}/${entry.name}`;
      if (entry.isDirectory && entry.name !== "node_modules" && !entry.name.startsWith(".")) walk(path);
      else if (/\.tsx?$/.test(entry.name) && !entry.name.endsWith(".d.ts")) files.push(path);
    }
  };
  for (const folder of codeFolders) walk(folder);
  return files.sort();
}

/** Asks Deno for the graph of all files at once, through a temporary module that imports each of them. */
export async function readImportGraph(root = repositoryRoot): Promise<ImportGraph> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = sourceFiles(root).map((path) =>
      `import ${JSON.stringify(toFileUrl(join(root, path)).href)};\n`
    );
    await Deno.writeTextFile(entry, lines.join(""));
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", join(root, "deno.json"), entry],
      cwd: root,
    }).output();
    if (!output.success) throw new Error(`deno info failed: ${new TextDecoder().decode(output.stderr)}`);
    return parseGraph(new TextDecoder().decode(output.stdout), root);
  } finally {
    await Deno.remove(entry);
  }
}

/** Reads `deno info --json`, leaving out packages and anything outside of `root`. */
export function parseGraph(json: string, root: string): ImportGraph {
  const prefix = `${toFileUrl(root).href}/`;
  const graph = new Map<string, readonly string[]>();
  for (const module of infoSchema.parse(JSON.parse(json)).modules) {
    if (!module.specifier.startsWith(prefix)) continue;
    if (module.error !== undefined) throw new Error(`${module.specifier}: ${module.error}`);
    const imports = new Set<string>();
    for (const dependency of module.dependencies) {
      for (const target of [dependency.code?.specifier, dependency.type?.specifier]) {
        if (target?.startsWith(prefix)) imports.add(decodeURI(target.slice(prefix.length)));
      }
    }
    graph.set(decodeURI(module.specifier.slice(prefix.length)), [...imports].sort());
  }
  return graph;
}

/** Everything that a file imports, directly or not; without the file itself unless it is in a cycle. */
export function reachable(graph: ImportGraph, from: string): Set<string> {
  const seen = new Set<string>();
  const waiting = [...graph.get(from) ?? []];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    waiting.push(...graph.get(next) ?? []);
  }
  return seen;
}
