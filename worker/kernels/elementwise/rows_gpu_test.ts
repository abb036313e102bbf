import { encodeCopyColumns, encodeGatherRows, encodeScatterRows } from "./rows.ts";
import { floatsOf, packed } from "../testing/half_inputs.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";

for (const scale of [1, 9.5]) {
  Deno.test(`gather_rows picks rows across two slabs of a table, times ${scale}`, async () => {
    const columns = 37;
    const table = randomNormal(testPrng("gather"), 9 * columns);
    const indices = new Uint32Array([8, 0, 4, 5, 5, 3]);
    const expected = [...indices].flatMap((row) =>
      Array.from(table.subarray(row * columns, (row + 1) * columns), (value) => Math.fround(value * scale))
    );
    await checkKernel({
      label: "gather_rows",
      inputs: { low: table.slice(0, 5 * columns), high: table.slice(5 * columns), indices },
      expected: { y: expected },
      encode: (pass, { low, high, indices: picked, y }) =>
        encodeGatherRows(pass, {
          slabs: [{ tensor: low, firstRow: 0, rowCount: 5 }, { tensor: high, firstRow: 5, rowCount: 4 }],
          indices: picked,
          y,
          rows: 6,
          columns,
          scale,
        }),
      tolerance: 0,
    });
  });
}

Deno.test("scatter_rows writes its rows and leaves the others", async () => {
  const columns = 65;
  const prng = testPrng("scatter");
  const x = randomNormal(prng, 3 * columns);
  const before = randomNormal(prng, 5 * columns);
  const indices = new Uint32Array([4, 1, 2]);
  const y = before.slice();
  indices.forEach((row, i) => y.set(x.subarray(i * columns, (i + 1) * columns), row * columns));
  await checkKernel({
    label: "scatter_rows",
    inputs: { x, indices },
    initial: { y: before },
    expected: { y },
    encode: (pass, t) => encodeScatterRows(pass, { ...t, rows: 3, columns }),
    tolerance: 0,
  });
});

Deno.test("copy_columns moves columns from one place of each row to another and leaves the others", async () => {
  const prng = testPrng("columns");
  const [rows, columns, from, to] = [7, 5, { width: 13, first: 6 }, { width: 9, first: 3 }];
  const x = randomNormal(prng, rows * from.width);
  const before = randomNormal(prng, rows * to.width);
  const y = before.slice();
  for (let row = 0; row < rows; row++) {
    const start = row * from.width + from.first;
    y.set(x.subarray(start, start + columns), row * to.width + to.first);
  }
  await checkKernel({
    label: "copy_columns",
    inputs: { x },
    initial: { y: before },
    expected: { y },
    encode: (pass, t) => encodeCopyColumns(pass, { ...t, rows, columns, from, to }),
    tolerance: 0,
  });
});

for (const format of ["bf16", "f16"] as const) {
  Deno.test(`gather_rows decodes every number that ${format} has, bit by bit, from slabs of odd lengths`, async () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const table = all.filter((_, index) => !Number.isNaN(floatsOf(format, all.slice(index, index + 1))[0]!));
    const columns = 3;
    const rows = Math.floor(table.length / columns);
    const firstRow = 4001;
    const high = table.slice(firstRow * columns, rows * columns);
    const indices = Uint32Array.from({ length: rows }, (_, row) => rows - 1 - row);
    const values = floatsOf(format, table);
    const expected = Float32Array.from(
      { length: rows * columns },
      (_, i) => values[indices[Math.floor(i / columns)]! * columns + i % columns]!,
    );
    await checkKernel({
      label: `gather_rows ${format}`,
      inputs: {
        low: packed(table.slice(0, firstRow * columns)),
        high: packed(high),
        indices,
      },
      expected: { y: new Int32Array(expected.buffer) },
      integerOutputs: ["y"],
      encode: (pass, { low, high, indices, y }) =>
        encodeGatherRows(pass, {
          slabs: [
            { tensor: low, firstRow: 0, rowCount: firstRow, format },
            { tensor: high, firstRow, rowCount: rows - firstRow, format },
          ],
          ...{ indices, y, rows, columns },
        }),
      tolerance: 0,
    });
  });
}
