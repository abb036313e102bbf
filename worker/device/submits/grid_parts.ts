/**
 * Cuts a grid of workgroups into parts that are dispatched one after the other. A part computes what its workgroups would have
 * computed in the whole, so that bits stay: what changes is how long the GPU is busy without a break (decision 0048).
 */

/** Workgroup counts along x, y and z. */
export type WholeGroups = readonly [x: number, y: number, z: number];

export interface GridPart {
  readonly firstX: number;
  readonly firstY: number;
  readonly groups: WholeGroups;
  /** Of the whole grid's work. */
  readonly share: number;
}

/**
 * Workgroups of a line along x may differ in their work, as the queries of causal attention do: the heaviest part has twice the
 * mean. Lines along y are heads, or rows of a product, and alike.
 */
const UNEVENNESS = 2;

/**
 * Whole lines along y, as many as fit a part; parts of a line where one line is too much.
 * @param pieces parts of equal work that are wanted, 1 or less for a grid that may stay whole
 * @param limit workgroups of a dispatch along one dimension
 */
export function gridParts([x, y, z]: WholeGroups, pieces: number, limit: number): readonly GridPart[] {
  const lines = Math.min(limit, Math.max(1, Math.floor(y / Math.max(1, pieces))));
  const piecesOfLine = pieces / y;
  const length = Math.min(
    limit,
    piecesOfLine <= 1 ? x : Math.max(1, Math.floor(x / (UNEVENNESS * piecesOfLine))),
  );
  const parts: GridPart[] = [];
  for (let firstY = 0; firstY < y; firstY += lines) {
    const height = Math.min(lines, y - firstY);
    for (let firstX = 0; firstX < x; firstX += length) {
      const width = Math.min(length, x - firstX);
      parts.push({ firstX, firstY, groups: [width, height, z], share: width * height / (x * y) });
    }
  }
  return parts;
}
