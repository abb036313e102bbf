/** deno std's YAML, typed (the npm build of deno std ships no types). */
// @ts-types="./yaml.d.ts"
export { parse } from "deno-std/yaml/parse.js";
