// Shared by the tile kernels, which serve wide heads, whose rows do not fit in an invocation's registers: a workgroup of
// 8 × 16 invocations works on tiles of 32 rows × 64 columns, every operand passing through workgroup memory (15 KiB).

const THREAD_ROWS = 8u;
const THREAD_COLUMNS = 16u;
const THREADS = 128u;
const ROWS = 32u;
const COLUMNS = 64u;
const LOG2_E = 1.4426950408889634;

// Inner dimensions are one longer than their contents, so that stores spread over the banks of workgroup memory.

/** Part of the row operand: [vec4 along the head][row % 4][row / 4]. */
var<workgroup> rowTile: array<array<array<vec4f, 9>, 4>, 4>;
/** Part of the column operand: [vec4 along the head · 4 + column % 4][column / 4], or [row · HEAD_PARTS + part][vec4]. */
var<workgroup> columnTile: array<array<vec4f, 17>, 16>;
/** Probabilities, or gradients of scores: [row % 4][row / 4][column / 4]. */
var<workgroup> weights: array<array<array<vec4f, 17>, 8>, 4>;

/** The rows of one head for the tokens first … end − 1: row token · stride + head of a tensor. */
struct Rows { first: u32, end: u32, stride: u32, head: u32 }
