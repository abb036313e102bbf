/** A node of a pattern; regex.ts computes what it matches from a position on. */
export type Node =
  | { readonly kind: "sequence"; readonly items: readonly Node[] }
  | { readonly kind: "choice"; readonly options: readonly Node[] }
  | { readonly kind: "repeat"; readonly item: Node; readonly min: number; readonly max: number }
  | { readonly kind: "set"; readonly has: (code: number) => boolean }
  | { readonly kind: "look"; readonly item: Node; readonly behind: boolean; readonly negated: boolean }
  | { readonly kind: "at"; readonly holds: (text: string, position: number) => boolean };

/** How many characters a node always takes; null if that depends on the text. */
export function widthOf(node: Node): number | null {
  switch (node.kind) {
    case "set":
      return 1;
    case "at":
    case "look":
      return 0;
    case "sequence": {
      const widths = node.items.map(widthOf);
      return widths.reduce((sum, width) => sum === null || width === null ? null : sum + width, 0);
    }
    case "choice": {
      const widths = new Set(node.options.map(widthOf));
      return widths.size === 1 ? [...widths][0]! : null;
    }
    case "repeat": {
      const width = widthOf(node.item);
      return width !== null && node.min === node.max ? width * node.min : null;
    }
  }
}
