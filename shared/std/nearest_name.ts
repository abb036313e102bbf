/** The known name that a misspelled one most likely means. */

/** Longer names are cut, so that a hostile one costs nothing. */
const MAX_LENGTH = 64;

/**
 * The first candidate with the smallest edit distance, or null if even that one differs in more than a third of the letters.
 */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  const readable = name.slice(0, MAX_LENGTH);
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(readable.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return bestDistance <= Math.max(1, Math.floor(readable.length / 3)) ? best : null;
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
