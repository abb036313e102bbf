/** Orthonormal bases by Gram and Schmidt, each vector twice: the second time removes what rounding left. */
import { addTo, dot, scaleBy, type Vectors } from "./products.ts";

/** What is left of a vector within the span of others is rounding below this share of its length. */
const NOTHING = 1e-13;

/** Subtracts from `vector` what lies in the span of the orthonormal `basis`; vectors of zeros in it do not count. */
export function orthogonalise(vector: Float64Array, basis: Vectors): void {
  for (let pass = 0; pass < 2; pass++) {
    for (const other of basis) addTo(vector, -dot(vector, other), other);
  }
}

/** Makes the vectors orthonormal in place; one that lies in the span of those before it becomes zeros. */
export function orthonormalise(vectors: Vectors): void {
  vectors.forEach((vector, index) => {
    const before = Math.sqrt(dot(vector, vector));
    orthogonalise(vector, vectors.slice(0, index));
    const length = Math.sqrt(dot(vector, vector));
    if (length > NOTHING * before) scaleBy(vector, 1 / length);
    else vector.fill(0);
  });
}
