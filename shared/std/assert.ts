/** deno std's assertions, typed (the npm build of deno std ships no types). */
// @ts-types="./assert.d.ts"
export * from "deno-std/assert/mod.js";
