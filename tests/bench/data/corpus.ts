/** A file of JSON lines from the texts of a machine: prose and code as they are, cut into rows. */

/** Endings of files that hold text. */
const TEXTS = /\.(py|md|rst|txt|html|js|ts|po)$/;
const ROW_CHARACTERS = 1800;
/** Of one file, so that no single one fills the corpus. */
const MAX_FILE_CHARACTERS = 400_000;

/**
 * Writes `bytes` of rows to `path`, from the files below `folder` in the order of their names, again and again if they are too
 * few. Returns how many bytes were written before anything came twice.
 */
export async function writeCorpus(path: string, folder: string, bytes: number): Promise<number> {
  const names = (await Array.fromAsync(textsBelow(folder))).sort();
  if (names.length === 0) throw new Error(`${folder} has no texts`);
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  let [written, unique] = [0, 0];
  while (written < bytes) {
    for (const name of names) {
      for (const row of await rowsOf(name)) {
        const line = new TextEncoder().encode(JSON.stringify({ text: row }) + "\n");
        for (let at = 0; at < line.length;) at += await file.write(line.subarray(at));
        written += line.length;
        if (written >= bytes) return unique === 0 ? written : unique;
      }
    }
    if (unique === 0) unique = written;
  }
  return unique;
}

async function* textsBelow(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* textsBelow(path);
    else if (isFile && TEXTS.test(name)) yield path;
  }
}

async function rowsOf(path: string): Promise<string[]> {
  const bytes = await Deno.readFile(path).catch(() => new Uint8Array());
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).slice(0, MAX_FILE_CHARACTERS);
  } catch {
    return [];
  }
  const rows: string[] = [];
  for (let at = 0; at < text.length; at += ROW_CHARACTERS) {
    const row = text.slice(at, at + ROW_CHARACTERS);
    // Half of a surrogate pair is no text, and a few characters are no row.
    if (row.length > 200 && row.isWellFormed()) rows.push(row);
  }
  return rows;
}
