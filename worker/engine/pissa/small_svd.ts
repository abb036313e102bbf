/** Singular values and vectors of a few vectors, by one-sided rotations (Hestenes). */
import { dot, type Vectors } from "./products.ts";

const MAX_SWEEPS = 40;
/** Two vectors count as orthogonal below this share of their lengths. */
const ORTHOGONAL = 1e-15;

/**
 * Rotates the vectors against each other, in place, until they are orthogonal: the columns of M become those of M · V. Their
 * lengths are the singular values then, in no order.
 * @param others vectors, as many, that are rotated alike: the unit vectors become V's columns
 */
export function rotateApart(vectors: Vectors, others: Vectors): void {
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let isDone = true;
    for (let i = 0; i < vectors.length; i++) {
      for (let j = i + 1; j < vectors.length; j++) {
        const [a, b] = [vectors[i]!, vectors[j]!];
        const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
        if (ab === 0 || Math.abs(ab) <= ORTHOGONAL * Math.sqrt(aa) * Math.sqrt(bb)) continue;
        isDone = false;
        const half = (bb - aa) / (2 * ab);
        const tangent = (half >= 0 ? 1 : -1) / (Math.abs(half) + Math.sqrt(1 + half * half));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        rotate(a, b, cosine, cosine * tangent);
        rotate(others[i]!, others[j]!, cosine, cosine * tangent);
      }
    }
    if (isDone) return;
  }
}

function rotate(a: Float64Array, b: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    a[i] = cosine * x - sine * y;
    b[i] = sine * x + cosine * y;
  }
}
