/** The arguments of `deno task bench`. */
import { nearestName } from "../../../shared/std/nearest_name.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";

/**
 * The kernels to bench, each once, in the order of `known`; none without arguments, all for "all".
 * @throws LoraFleetError `usage` for an unknown name
 */
export function selectKernels(args: readonly string[], known: readonly string[]): string[] {
  for (const name of args) {
    if (name === "all" || known.includes(name)) continue;
    const nearest = nearestName(name, known);
    const hint = nearest === null ? "" : ` Did you mean ${quote(nearest)}?`;
    throw new LoraFleetError(
      "usage",
      `Benching ${quote(name)} failed: there is no such kernel.${hint} The kernels are ${known.join(", ")}.`,
    );
  }
  return args.includes("all") ? [...known] : known.filter((name) => args.includes(name));
}
