/** deno std's stream helpers, typed (the npm build of deno std ships no types). */
// @ts-types="./streams.d.ts"
export * from "deno-std/streams/mod.js";
