/** The files that a build of the images sees, by .dockerignore. */
import { join } from "@std/path";

/** The last pattern that matches a path, or a folder above it, decides. */
export function parseIgnore(text: string): (path: string) => boolean {
  const rules = text.split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !line.startsWith("#")
  )
    .map((line) => {
      const isKept = line.startsWith("!");
      return { isKept, pattern: patternOf(isKept ? line.slice(1) : line) };
    });
  return (path) => rules.findLast(({ pattern }) => pattern.test(path))?.isKept === false;
}

/** `**` stands for any folders, `*` and `?` for what has no slash in it. */
function patternOf(glob: string): RegExp {
  const source = glob.replace(/^\/|\/$/g, "").replace(/\*\*\/|\*\*|\*|\?|[.+^${}()|[\]\\]/g, (found) => {
    if (found === "**/") return "(?:.*/)?";
    if (found === "**") return ".*";
    if (found === "*") return "[^/]*";
    return found === "?" ? "[^/]" : `\\${found}`;
  });
  return new RegExp(`^${source}(?:/.*)?$`);
}

/** Files below `source`, or that one file, as paths from `root`. @throws Deno.errors.NotFound without a `source` */
export function* contextFiles(
  root: string,
  source: string,
  isIgnored: (path: string) => boolean,
): Generator<string> {
  if (!Deno.statSync(join(root, source)).isDirectory) {
    if (!isIgnored(source)) yield source;
    return;
  }
  for (const { name } of Deno.readDirSync(join(root, source))) {
    yield* contextFiles(root, `${source}/${name}`, isIgnored);
  }
}
