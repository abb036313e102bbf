/** Numbers at which arithmetic that is only nearly IEEE would differ. */

/** NaN, infinities, zeros, denormals, and neighbours of powers of two, of both signs. */
export function edgeFloats(): Float32Array {
  const bits = [
    0x7fc00000, // NaN
    0x7f800000, // infinity
    0x7f7fffff, // the largest
    0x00000000,
    0x00000001, // the smallest denormal
    0x007fffff, // the largest denormal
    0x00800000, // the smallest normal
    0x3f7fffff, // before 1
    0x3f800000, // 1
    0x3f800001, // after 1
    0x5f000000, // 2^63
    0x1fc00000, // its square is denormal
  ];
  return new Float32Array(Int32Array.from(bits.flatMap((word) => [word, word | 0x80000000])).buffer);
}

/** Ends of i32, and what f32 has to round. */
export const edgeSums: readonly number[] = [
  ...[0, 1, -1, 2 ** 24, 2 ** 24 + 1, -(2 ** 24) - 1, 2 ** 30, 2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1],
];
