/** The lines of files, functions and classes, as the linter's parser sees them. Runs inside `deno test` alone. */
import { isTestFile } from "./ratchet.ts";

/** In lines, first and last included. */
export const MAX_LINES = { function: 70, class: 150, file: 300 } as const;

/** Lengths by "path" for a file, "path name" for a function or class in it. */
export type Sizes = Readonly<Record<string, number>>;

/** What is longer than its limit in one file. */
export function oversized(path: string, source: string): Sizes {
  if (isTestFile(path)) return {};
  const found: Record<string, number> = {};
  const lines = source.trimEnd().split("\n").length;
  if (lines > MAX_LINES.file) found[path] = lines;
  const measure = (kind: "function" | "class") => (node: LongNode) => {
    const length = source.slice(...node.range).split("\n").length;
    if (length <= MAX_LINES[kind]) return;
    const key = `${path} ${nameOf(node)}`;
    found[key] = Math.max(found[key] ?? 0, length);
  };
  const [aFunction, aClass] = [measure("function"), measure("class")];
  const visitor: Deno.lint.LintVisitor = {
    FunctionDeclaration: aFunction,
    FunctionExpression: aFunction,
    ArrowFunctionExpression: aFunction,
    ClassDeclaration: aClass,
    ClassExpression: aClass,
  };
  Deno.lint.runPlugin({ name: "sizes", rules: { sizes: { create: () => visitor } } }, path, source);
  return found;
}

type LongNode =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression
  | Deno.lint.ClassDeclaration
  | Deno.lint.ClassExpression;

/** Its own name, or that of what it is assigned to or passed to. */
function nameOf(node: LongNode): string {
  const own = "id" in node ? node.id?.name : undefined;
  const { parent } = node;
  if (own !== undefined) return own;
  if (parent.type === "VariableDeclarator" && parent.id.type === "Identifier") return parent.id.name;
  if (
    (parent.type === "MethodDefinition" || parent.type === "Property") && parent.key.type === "Identifier"
  ) {
    return parent.key.name;
  }
  if (parent.type === "CallExpression" && parent.callee.type === "Identifier") {
    return `${parent.callee.name}(…)`;
  }
  return "(anonymous)";
}
