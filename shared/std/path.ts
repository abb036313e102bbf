/** deno std's paths, typed (the npm build of deno std ships no types). */
// @ts-types="./path.d.ts"
export * from "deno-std/path/mod.js";
