/** JSON as Python writes it and W&B reads it: NaN and the infinities are bare words. */

/** A number as a state can keep it. */
export function storable(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** Values that `storable` wrote, as one JSON object in Python's manner. */
export function pythonJson(values: Readonly<Record<string, unknown>>): string {
  const fields = Object.entries(values).map(([name, value]) => {
    const isBare = value === "NaN" || value === "Infinity" || value === "-Infinity";
    return `${JSON.stringify(name)}:${isBare ? value : JSON.stringify(value)}`;
  });
  return `{${fields.join(",")}}`;
}
