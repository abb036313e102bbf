/**
 * Scripts as their languages' grammars read them: those that VS Code ships (npm's @vscode/tree-sitter-wasm, MIT). They need neither
 * a shell nor Python nor Windows, and nothing of a script runs.
 */
import { fromFileUrl, join } from "@std/path";
import type { Node, Parser as TreeSitterParser } from "@vscode/tree-sitter-wasm";
import * as bindings from "@vscode/tree-sitter-wasm";

export type Grammar = "bash" | "powershell" | "python";

// A module of CommonJS, whose types are those of one of ECMAScript.
const { Language, Parser } = (bindings as unknown as { readonly default: typeof bindings }).default;
const folder = fromFileUrl(new URL(".", import.meta.resolve("@vscode/tree-sitter-wasm")));
const parsers = new Map<Grammar, Promise<TreeSitterParser>>();

async function load(grammar: Grammar): Promise<TreeSitterParser> {
  await Parser.init({ locateFile: (name: string) => join(folder, name) });
  const parser = new Parser();
  parser.setLanguage(await Language.load(await Deno.readFile(join(folder, `tree-sitter-${grammar}.wasm`))));
  return parser;
}

/** The nodes of a script's syntax tree, in its order. */
export async function nodesOf(grammar: Grammar, text: string): Promise<readonly Node[]> {
  const parser = await parsers.getOrInsertComputed(grammar, load);
  const found: Node[] = [];
  const walk = (node: Node) => {
    found.push(node);
    for (const child of node.children) if (child !== null) walk(child);
  };
  walk(parser.parse(text)!.rootNode);
  return found;
}

/** What the grammar cannot read, each with its line; empty for a script. */
export async function syntaxErrors(grammar: Grammar, text: string): Promise<string[]> {
  return (await nodesOf(grammar, text)).filter(({ isError, isMissing }) => isError || isMissing)
    .map(({ startPosition, isMissing, type, text }) =>
      `line ${startPosition.row + 1}: ${isMissing ? `${type} is missing` : JSON.stringify(text.slice(0, 60))}`
    );
}
