/** Links between the documents: files and headings that they name are there, and a reader of README.md finds every page. */
import { assert, assertEquals } from "@std/assert";
import { dirname, join } from "@std/path";
import { root } from "./named_tests.ts";
import { walkFiles } from "./walk_files.ts";

/** Relative links of a document, without code and without addresses. */
function linksOf(text: string): readonly string[] {
  const prose = text.replace(/^(```+|~~~+)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");
  const inline = [...prose.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)].map(([, link]) => link!);
  const references = [...prose.matchAll(/^\[[^\]]+\]:\s+(\S+)/gm)].map(([, link]) => link!);
  return [...inline, ...references].filter((link) => !/^[a-z]+:/.test(link));
}

/** Names of a document's headings in links, as GitHub makes them. */
function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading] of text.replace(/^(```+|~~~+)[\s\S]*?^\1/gm, "").matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const name = plain.replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(" ", "-");
    const same = [...anchors].filter((other) => other.replace(/-\d+$/, "") === name).length;
    anchors.add(anchors.has(name) ? `${name}-${same}` : name);
  }
  return anchors;
}

async function documents(): Promise<ReadonlyMap<string, string>> {
  const paths = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
  for (const folder of ["docs", "coordinator", "worker", "shared", "deploy", "tests"]) {
    for await (const path of walkFiles(folder, /\.md$/)) paths.push(path);
  }
  return new Map(
    await Promise.all(
      paths.map(async (path) => [path, await Deno.readTextFile(join(root, path))] as const),
    ),
  );
}

/** The path that a link names, from the root; of a link to a heading alone, the document's own. */
function targetOf(document: string, link: string): { readonly path: string; readonly anchor: string | null } {
  const [file, anchor] = link.split("#");
  return { path: file === "" ? document : join(dirname(document), file!), anchor: anchor ?? null };
}

Deno.test("no document has a relative link to a file or a heading that is not there", async () => {
  const pages = await documents();
  const broken: string[] = [];
  let count = 0;
  for (const [document, text] of pages) {
    for (const link of linksOf(text)) {
      count++;
      const { path, anchor } = targetOf(document, link);
      const isThere = await Deno.stat(join(root, path)).then(() => true, () => false);
      const page = pages.get(path);
      const hasAnchor = anchor === null || page === undefined || anchorsOf(page).has(anchor);
      if (!isThere || !hasAnchor) broken.push(`${document}: ${link}`);
    }
  }
  assertEquals(broken, []);
  assert(count > 200, `${count} links`);
});

Deno.test("every page of docs can be reached from README.md", async () => {
  const pages = await documents();
  const reached = new Set<string>(["README.md"]);
  for (const document of reached) {
    for (const link of linksOf(pages.get(document) ?? "")) {
      const { path } = targetOf(document, link);
      if (pages.has(path)) reached.add(path);
    }
  }
  const below = [...pages.keys()].filter((path) => path.startsWith("docs/"));
  assertEquals(below.filter((path) => !reached.has(path)), []);
});

Deno.test("links and headings are read as GitHub reads them", () => {
  const text =
    "# A `b`: c, d!\n[x](y.md#a) `[no](no.md)`\n```\n[no](no.md)\n# no\n```\n## A\n## A\n[z]: w.md\n[h](https://h)";
  assertEquals(linksOf(text), ["y.md#a", "w.md"]);
  assertEquals([...anchorsOf(text)], ["a-b-c-d", "a", "a-1"]);
});
