/** Circles of imports, among files and among folders. A type counts like a value: it takes a reader just as far. */
import { folderOf, type ImportGraph } from "./import_graph.ts";

/** Each circle as the sorted names of all that is in it: the strongly connected components (Tarjan 1972). */
export function circles(graph: ImportGraph): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (name: string): void => {
    order.set(name, order.size);
    lowest.set(name, order.get(name)!);
    stack.push(name);
    for (const to of graph.get(name) ?? []) {
      if (!order.has(to)) visit(to);
      if (stack.includes(to)) lowest.set(name, Math.min(lowest.get(name)!, lowest.get(to)!));
    }
    if (lowest.get(name) !== order.get(name)) return;
    const component = stack.splice(stack.indexOf(name));
    if (component.length > 1 || graph.get(name)?.includes(name)) found.push(component.sort());
  };
  for (const name of graph.keys()) if (!order.has(name)) visit(name);
  return found.sort((a, b) => a[0]! < b[0]! ? -1 : 1);
}

/** Folders, each with the other folders that its own files import. */
export function folderGraph(graph: ImportGraph): ImportGraph {
  const folders = new Map<string, Set<string>>();
  for (const [from, imports] of graph) {
    const folder = folderOf(from);
    const targets = folders.get(folder) ?? new Set();
    for (const to of imports) if (folderOf(to) !== folder) targets.add(folderOf(to));
    folders.set(folder, targets);
  }
  return new Map([...folders].map(([folder, targets]) => [folder, [...targets].sort()]));
}

/** A circle of folders in lines: which file of which folder imports what of another. */
export function describeFolderCircle(circle: readonly string[], graph: ImportGraph): string {
  const lines = [...graph].filter(([from]) => circle.includes(folderOf(from))).flatMap(([from, imports]) =>
    imports.filter((to) => folderOf(to) !== folderOf(from) && circle.includes(folderOf(to)))
      .map((to) => `  ${from} → ${to}`)
  );
  return [circle.join(" ⇄ "), ...lines].join("\n");
}
