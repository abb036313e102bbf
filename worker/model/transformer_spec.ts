/** The description of a base model that both sides read from its config.json, and what only a worker computes from it. */
export * from "../../shared/model/transformer_spec.ts";
export { checkPositions, inverseFrequencies, ropeTable } from "./transformer_spec_rope.ts";
