/** What CPython reads and prints; made by tests/differential/make_python_goldens.py. */
interface PythonGoldens {
  readonly read: readonly {
    readonly text: string;
    readonly repr: string;
    readonly json: string;
    readonly ascii: string;
    readonly indented: string;
    readonly tabbed: string;
    readonly compact: string;
  }[];
  readonly broken: readonly string[];
}

export const pythonGoldens: PythonGoldens = JSON.parse(
  await Deno.readTextFile(new URL("./python_goldens.json", import.meta.url)),
);
