import { assertEquals } from "@std/assert";
import { loadRows, rowBinding, storeRows } from "./row_access.ts";

Deno.test("rows of whole vec4s are bound, read and written as vec4s", () => {
  assertEquals(rowBinding("read", 20), "read vec4<f32>");
  assertEquals(
    loadRows("q", 20),
    "fn load_q(row: u32, c: u32) -> vec4f { return q[row * HEAD_DIM4 + c]; }\n",
  );
  assertEquals(
    storeRows("dq", 20),
    "fn store_dq(row: u32, c: u32, value: vec4f) { dq[row * HEAD_DIM4 + c] = value; }\n",
  );
});

Deno.test("other rows are read and written value by value, each inside the head alone", () => {
  assertEquals(rowBinding("read_write", 10), "read_write f32");
  for (const wgsl of [loadRows("q", 10), storeRows("q", 10)]) {
    assertEquals(wgsl.match(/c \* 4u \+ \du < HEAD_DIM/g)?.length, 4);
  }
});
