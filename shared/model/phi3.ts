/** How Phi-3's configuration class reads RoPE. */
import { quote } from "../errors.ts";
import { type ConfigJson, refuse } from "./config_json.ts";

/** `rope_type` of Phi-3's files, old ones included, and what it means. */
const KINDS: Readonly<Record<string, string>> = {
  default: "default",
  longrope: "longrope",
  su: "longrope",
  yarn: "longrope",
};

/** config.json with the kinds of RoPE that all families know. */
export function phi3Ropes(config: ConfigJson): [ConfigJson] {
  const renamed = { ...config };
  for (const section of ["rope_scaling", "rope_parameters"] as const) {
    const rope = config[section];
    if (rope === undefined) continue;
    const kind = rope.rope_type ?? rope.type ?? "default";
    if (!Object.hasOwn(KINDS, kind)) {
      throw refuse(`${section}.rope_type`, kind, `Phi-3 has ${Object.keys(KINDS).map(quote).join(", ")}`);
    }
    renamed[section] = { ...rope, rope_type: KINDS[kind] };
  }
  return [renamed];
}
